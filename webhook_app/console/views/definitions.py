"""Pipelines as they are saved."""

from collections.abc import Sequence
from typing import Any

from flask import abort, g, redirect, request, url_for
from flask_admin import expose
from markupsafe import Markup
from sqlalchemy.orm import Session

from storage import definitions
from storage.definition_runs import last_runs
from storage.tables import DefinitionVersion, PipelineDefinition
from tasks.definition.presets import PRESETS
from webhook_app import query
from webhook_app.console import filters, formats
from webhook_app.console.definitions.deeds import DELETE, DISABLE, ENABLE
from webhook_app.console.definitions.editor import DefinitionEditor
from webhook_app.console.definitions.page import (
    VERSIONS_SHOWN,
    difference,
    drawing_of,
    related_rows,
    remarks_on,
    routes_to,
    schedule_text,
)
from webhook_app.console.definitions.trial import DefinitionTrial
from webhook_app.console.links import row_link
from webhook_app.console.table_view import reading
from webhook_app.definition_fields import definition_row


def _last_run(_view: Any, _context: Any, row: Any, _name: str) -> Any:
    run = g.last_runs.get(row.name)
    if run is None:
        return formats.NOTHING
    return Markup("{} {}").format(row_link("run_rows", run.id, run.status), formats.moment(run.created_at))


def _schedule(_view: Any, _context: Any, row: Any, _name: str) -> Any:
    return formats.shortened(schedule_text(row.schedule)) or formats.NOTHING


class DefinitionView(DefinitionEditor, DefinitionTrial):
    """One row: one definition."""

    table = PipelineDefinition
    noun = "definition"
    columns = ("name", "version", "is_active", "kind", "nodes", "schedule", "last_run", "updated_at")
    details = (
        "description",
        "version",
        "is_active",
        "kind",
        "tags",
        "schedule",
        "created_by",
        "created_at",
        "updated_at",
    )
    exported = (
        "id",
        "name",
        "version",
        "is_active",
        "description",
        "tags",
        "schedule",
        "config",
        "created_by",
        "created_at",
        "updated_at",
    )
    labels = {"is_active": "Active", "updated_at": "Updated", "created_by": "Saved by", "created_at": "Created"}
    orders = (PipelineDefinition.name,)
    is_highest_first = False
    filters = (filters.yes_no("active", PipelineDefinition.is_active),)
    row_actions = (ENABLE, DISABLE, DELETE)
    search_hint = "name"
    list_template = "console/definitions.html"
    detail_template = "console/definition.html"

    formatters = {
        "name": lambda view, _context, row, _name: view.link(row, row.name),
        "kind": lambda _view, _context, row, _name: "preset" if row.name in PRESETS else "own",
        "nodes": lambda _view, _context, row, _name: definition_row(row)["nodes"],
        "tags": lambda _view, _context, row, _name: ", ".join(map(str, row.tags)) or formats.NOTHING,
        "schedule": _schedule,
        "last_run": _last_run,
    }

    def __init__(self) -> None:
        super().__init__(name="Definitions", endpoint="definition_rows", url="definitions")

    def title_of(self, row: Any) -> str:
        """Its name."""
        return f"Definition {row.name}"

    def complete(self, session: Session, rows: Sequence[Any]) -> None:
        """The newest run of each."""
        g.last_runs = last_runs(session, [row.id for row in rows])

    def around(self, session: Session, row: Any) -> dict[str, Any]:
        """Its graph, what is wrong with it, who sends it webhooks, its runs and versions."""
        return {
            "related": related_rows(session, row),
            "drawing": drawing_of(row.config),
            "remarks": remarks_on(session, row.config),
            "naming": routes_to(session, row.name),
        }

    @expose("/details/")
    def details_view(self) -> Any:
        """One definition; of a run's link, the version that it followed."""
        version = query.read_id(request.args.get("version", ""))
        if version:
            return redirect(url_for(".version_view", id=request.args.get("id", ""), version=version))
        return super().details_view()

    @expose("/version/")
    def version_view(self) -> Any:
        """A definition as it was at one version, or how that differs from another."""
        with reading() as session:
            row = self.get_one(request.args.get("id", ""))
            if row is None:
                abort(404, "there is no definition of that number")
            each, before = (_version(session, row, name) for name in ("version", "against"))
            if each is None:
                abort(404, "say which version")
            names = (f"version {before.version}", f"version {each.version}") if before else ("", "")
            return self.render(
                "console/definition_version.html",
                row=row,
                each=each,
                before=before,
                kept=definitions.list_versions(session, row.name, limit=VERSIONS_SHOWN),
                lines=difference(before.config, each.config, names=names) if before else [],
                drawing=drawing_of(each.config),
            )


def _version(session: Session, row: PipelineDefinition, name: str) -> DefinitionVersion | None:
    """The version that a parameter of the URL names."""
    wanted = query.read_id(request.args.get(name, ""))
    found = definitions.find_version(session, row.name, wanted) if wanted else None
    if wanted and found is None:
        abort(404, f"version {wanted} of {row.name} is not kept")
    return found
