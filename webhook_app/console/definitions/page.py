"""What stands on the pages of a definition beside its own fields."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flask import url_for
from markupsafe import Markup
from sqlalchemy.orm import Session

from storage import definitions, routes, run_list
from storage.tables import DefinitionVersion, PipelineDefinition
from tasks.definition.checking import faults_of
from tasks.definition.saving import doubts_about, warnings_of
from webhook_app.console import cells
from webhook_app.console.definitions.text import text_of
from webhook_app.console.flow_drawing import DrawnNode, draw, nodes_in_order
from webhook_app.console.formats import duration
from webhook_app.console.table_view import Related

VERSIONS_SHOWN = 50
RUNS_SHOWN = 10


@dataclass(frozen=True)
class Remarks:
    """What is wrong with a definition, and what may not be meant."""

    faults: list[str]
    warnings: list[str]


def drawing_of(config: Mapping[str, Any]) -> Markup:
    """A definition as a flow, each node with its config."""
    nodes = [
        DrawnNode(node["id"], str(node.get("type", "")), notes=list(_notes(node)), config=_config(node))
        for node in nodes_in_order(config)
    ]
    return draw(nodes, label="Nodes in their order")


def remarks_on(session: Session, config: Mapping[str, Any]) -> Remarks:
    """The faults of a config; its warnings where it has none."""
    faults = faults_of(config)
    return Remarks(faults, doubts_about(config) if faults else warnings_of(session, config))


def routes_to(session: Session, name: str) -> list[str]:
    """The rules that send webhooks to it."""
    return routes.rules_naming(routes.current(session), name)


def related_rows(session: Session, row: PipelineDefinition) -> list[Related]:
    """Its newest runs and its versions; one statement for each."""
    runs = run_list.list_runs(session, pipeline=row.name, limit=RUNS_SHOWN)
    kept = definitions.list_versions(session, row.name, limit=VERSIONS_SHOWN)
    return [
        Related(
            "Newest runs",
            ("run_id", "status", "definition_version", "created_at", "total_duration_ms"),
            runs,
            url=url_for("run_rows.index_view", pipeline=row.name),
            formatters={
                "run_id": cells.run,
                "total_duration_ms": cells.milliseconds,
            },
        ),
        Related(
            "Versions",
            ("version", "created_by", "created_at", "difference"),
            kept,
            formatters={
                "version": lambda _view, _context, each, _name: _version_link(row, each),
                "difference": lambda _view, _context, each, _name: _difference_link(row, each, kept),
            },
        ),
    ]


def schedule_text(schedule: Mapping[str, Any] | None) -> str:
    """When it runs by itself, in words."""
    if not schedule:
        return ""
    if seconds := schedule.get("every_seconds"):
        return f"every {duration(float(seconds) * 1000)}"
    return f"cron {schedule.get('cron', '')}, {schedule.get('timezone', 'UTC')}"


def difference(old: Mapping[str, Any], new: Mapping[str, Any], *, names: tuple[str, str]) -> list[tuple[str, str]]:
    """The lines in which two configs differ, with three around each: added, removed, place, or same."""
    old_lines, new_lines = text_of(old).splitlines(), text_of(new).splitlines()
    kinds = {"+": "added", "-": "removed", "@": "place"}
    lines = list(difflib.unified_diff(old_lines, new_lines, *names, lineterm=""))
    return [(kinds.get(line[:1], "same"), line) for line in lines[2:]]


def _notes(node: Mapping[str, Any]) -> Iterator[str]:
    if node.get("when"):
        yield f"when {node['when']}"
    if node.get("skip_if_condition"):
        yield f"skipped if {node['skip_if_condition']}"
    if isinstance(named := node.get("skip_if_errors"), list) and named:
        yield f"skipped if errors in {', '.join(map(str, named))}"
    if node.get("required") is False:
        yield "may fail"
    if (retries := node.get("max_retries")) is not None:
        yield f"retries: {retries}"
    if timeout := node.get("timeout_seconds"):
        yield f"time limit: {timeout} s"


def _config(node: Mapping[str, Any]) -> Mapping[str, Any]:
    config = node.get("config")
    return config if isinstance(config, Mapping) else {}


def _version_link(row: PipelineDefinition, each: DefinitionVersion) -> Markup:
    url = url_for("definition_rows.version_view", id=row.id, version=each.version)
    text = f"{each.version} (in use)" if each.version == row.version else str(each.version)
    return Markup('<a href="{}">{}</a>').format(url, text)


def _difference_link(row: PipelineDefinition, each: DefinitionVersion, kept: list[DefinitionVersion]) -> Markup:
    before = next((other.version for other in kept if other.version < each.version), None)
    if before is None:
        return Markup("")
    url = url_for("definition_rows.version_view", id=row.id, version=each.version, against=before)
    return Markup('<a href="{}">to version {}</a>').format(url, before)
