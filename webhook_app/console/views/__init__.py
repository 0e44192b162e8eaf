"""Every list of the console, in the order of the menu."""

from webhook_app.console.table_view import TableView
from webhook_app.console.views.alert_history import AlertHistoryView
from webhook_app.console.views.alerts import AlertView
from webhook_app.console.views.analyses import AnalysisView
from webhook_app.console.views.audit import AuditView
from webhook_app.console.views.channels import ChannelView
from webhook_app.console.views.checks import CheckView
from webhook_app.console.views.definitions import DefinitionView
from webhook_app.console.views.deliveries import DeliveryView
from webhook_app.console.views.incidents import IncidentView
from webhook_app.console.views.notifications import NotificationView
from webhook_app.console.views.providers import ProviderView
from webhook_app.console.views.runs import RunView
from webhook_app.console.views.stages import StageView

VIEWS: tuple[type[TableView], ...] = (
    IncidentView,
    AlertView,
    AlertHistoryView,
    DeliveryView,
    RunView,
    StageView,
    CheckView,
    AnalysisView,
    NotificationView,
    ChannelView,
    ProviderView,
    DefinitionView,
    AuditView,
)
