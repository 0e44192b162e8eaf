"""All tables of the results database. Importing this package fills `Base.metadata`."""

from storage.tables.alerts import Alert, AlertHistory, Incident
from storage.tables.base import Base
from storage.tables.checks import CheckRun, CheckState
from storage.tables.console import AuditEntry, HourlyFigure, User
from storage.tables.inbox import Delivery, RunDelivery
from storage.tables.intelligence import AnalysisRun, IntelligenceProvider
from storage.tables.notify import ChannelState, Notification, NotificationChannel
from storage.tables.orchestration import (
    DefinitionVersion,
    PipelineDefinition,
    PipelineRun,
    RouteSet,
    StageExecution,
    Worker,
)
from storage.tables.pruning import Pruning
from storage.tables.tallies import Tally

__all__ = [
    "Alert",
    "AlertHistory",
    "AnalysisRun",
    "AuditEntry",
    "Base",
    "ChannelState",
    "CheckRun",
    "CheckState",
    "DefinitionVersion",
    "Delivery",
    "HourlyFigure",
    "Incident",
    "IntelligenceProvider",
    "Notification",
    "NotificationChannel",
    "PipelineDefinition",
    "PipelineRun",
    "Pruning",
    "RouteSet",
    "RunDelivery",
    "StageExecution",
    "Tally",
    "User",
    "Worker",
]
