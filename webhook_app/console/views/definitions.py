"""Pipelines as they are saved."""

from storage.tables import PipelineDefinition
from webhook_app.console.table_view import TableView


class DefinitionView(TableView):
    """One row: one definition."""

    table = PipelineDefinition
    noun = "definition"
    columns = ("name", "version", "is_active", "updated_at")
    details = (
        "name",
        "description",
        "version",
        "config",
        "tags",
        "is_active",
        "schedule",
        "created_by",
        "created_at",
        "updated_at",
    )
    orders = (PipelineDefinition.name,)
    is_highest_first = False

    def __init__(self) -> None:
        super().__init__(name="Definitions", endpoint="definition_rows", url="definitions")
