"""Who is asked what is wrong."""

from storage.tables import IntelligenceProvider
from webhook_app.console.table_view import TableView


class ProviderView(TableView):
    """One row: one provider."""

    table = IntelligenceProvider
    noun = "provider"
    columns = ("name", "provider", "is_active", "updated_at")
    details = ("name", "provider", "config", "is_active", "description", "created_at", "updated_at")
    orders = (IntelligenceProvider.name,)
    is_highest_first = False

    def __init__(self) -> None:
        super().__init__(name="Providers", endpoint="provider_rows", url="providers")
