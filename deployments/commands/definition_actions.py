"""What `watchkeeper definitions` does, but for apply and export."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from sqlalchemy.orm import Session

from deployments.commands.applying.faults import DocumentError
from deployments.commands.applying.reading import read_file
from deployments.commands.rows_output import plain_lines, print_rows, print_strict_json, say
from deployments.installed import installed_database
from storage import definitions
from storage.definitions import DefinitionNotFoundError
from storage.redaction import redact
from storage.routes import routes_naming
from storage.settings import load
from storage.storable import storable_text
from storage.tables import PipelineDefinition
from tasks.definition.checking import faults_of
from tasks.definition.naming import fault_of_name
from tasks.definition.presets import PRESETS
from tasks.definition.saving import doubts_about
from tasks.errors import PermanentError
from webhook_app.definition_fields import definition_row

VERSIONS_SHOWN = 50
INVALID = "Pipeline definition invalid:"
HEADINGS = ("name", "version", "active", "nodes", "schedule", "created by", "updated")


def list_all(*, as_json: bool) -> None:
    """Print the definitions by name."""
    with installed_database(load()) as database, database.read() as session:
        rows = definitions.list_definitions(session)
    if as_json:
        print_strict_json({"count": len(rows), "definitions": [definition_row(row) for row in rows]})
    elif not rows:
        say("no definitions: `watchkeeper up` saves the presets")
    else:
        print_rows(lambda: _table(rows), lambda: _lines(rows))


def show(name: str, *, version: int | None, as_json: bool) -> None:
    """Print a definition's config, or everything that is known of it."""
    with installed_database(load()) as database, database.read() as session:
        row = definitions.find(session, storable_text(name))
        kept = definitions.list_versions(session, storable_text(name), limit=VERSIONS_SHOWN)
        if row is None and (version is None or not kept):
            raise PermanentError(f"there is no definition {name!r}")
        config = row.config if row else {}
        if version is not None and (row is None or version != row.version):
            config = definitions.config_of_version(session, storable_text(name), version) or {}
            if not config:
                known = ", ".join(str(each.version) for each in kept)
                raise PermanentError(f"--version: {name} has no version {version}; there are {known or 'none'}")
    if not as_json:
        say(json.dumps(redact(config), indent=2, ensure_ascii=False))
        return
    versions = [
        {"version": each.version, "created_by": each.created_by, "created_at": each.created_at} for each in kept
    ]
    print_strict_json(
        {**(definition_row(row) if row else {"name": name}), "config": redact(config), "versions": versions}
    )


def validate(name: str, *, as_json: bool) -> int:
    """Print every fault of a saved definition, or of a file. Returns the exit code."""
    config = _read_file(name) if name == "-" or Path(name).is_file() else _read_saved(name)
    faults = faults_of(config) if isinstance(config, dict) else ["a definition must be an object"]
    warnings = [] if faults else doubts_about(config)
    if as_json:
        print_strict_json({"is_valid": not faults, "faults": faults, "warnings": warnings})
    elif not faults:
        say("valid", *(f"note: {warning}" for warning in warnings))
    else:
        sys.stderr.write("\n".join([INVALID, *(f"  - {plain_lines(fault)}" for fault in faults)]) + "\n")
    return 1 if faults else 0


def activate(name: str) -> None:
    """Let a definition be run."""

    def act(session: Session) -> None:
        if faults := faults_of(_found(session, name).config):
            raise PermanentError(f"{name} cannot be run: {'; '.join(faults)}")
        definitions.set_active(session, name, is_active=True)

    _change(act, f"activated {name}")


def deactivate(name: str) -> None:
    """Let a definition not be run any more."""

    def act(session: Session) -> None:
        _refuse_if_needed(session, name, "deactivated")
        definitions.set_active(session, name, is_active=False)

    _change(act, f"deactivated {name}")


def rename(name: str, new_name: str) -> None:
    """Give a definition another name."""

    def act(session: Session) -> None:
        if fault := fault_of_name(new_name):
            raise PermanentError(f"{new_name!r} cannot be its name: it {fault}")
        _refuse_preset(name, "renamed")
        _refuse_if_needed(session, name, "renamed")
        definitions.rename(session, name, new_name)

    _change(act, f"renamed {name} to {new_name}")


def delete(name: str) -> None:
    """Forget a definition."""

    def act(session: Session) -> None:
        _refuse_preset(name, "deleted")
        _refuse_if_needed(session, name, "deleted")
        definitions.remove(session, name)

    _change(act, f"deleted {name}")


def schema() -> None:
    """Print the JSON Schema of a definition."""
    from tasks.definition.schema import definition_schema  # noqa: PLC0415  (needed by this alone)

    say(json.dumps(definition_schema(), indent=2))


def _change(act: Callable[[Session], None], done: str) -> None:
    with installed_database(load()) as database, database.write() as session:
        act(session)
    say(done)


def _found(session: Session, name: str) -> PipelineDefinition:
    row = definitions.find(session, storable_text(name))
    if row is None:
        raise DefinitionNotFoundError(f"there is no definition {name!r}")
    return row


def _refuse_preset(name: str, done: str) -> None:
    if name in PRESETS:
        raise PermanentError(
            f"{name} is a preset, which comes back with the next start; it cannot be {done}. "
            f"`watchkeeper definitions deactivate {name}` switches it off"
        )


def _refuse_if_needed(session: Session, name: str, done: str) -> None:
    row = _found(session, name)
    if not row.is_active:
        return
    naming = routes_naming(session, name)
    if naming:
        raise PermanentError(
            f"{name} cannot be {done}: the routes name it ({', '.join(naming)}); change them first"
        )
    if name == load().pipeline:
        raise PermanentError(
            f"{name} cannot be {done}: it takes the webhooks that name no pipeline; set WATCHKEEPER_PIPELINE first"
        )


def _read_saved(name: str) -> Any:
    with installed_database(load()) as database, database.read() as session:
        row = definitions.find(session, storable_text(name))
    if row is None:
        raise PermanentError(f"{name!r} is neither a saved definition nor a file")
    return row.config


def _read_file(name: str) -> Any:
    try:
        return read_file(name)
    except DocumentError as error:
        raise PermanentError(f"{name}: {error}") from None


def _cells(row: PipelineDefinition) -> tuple[str, ...]:
    fields = definition_row(row)
    return (
        row.name,
        str(row.version),
        "yes" if row.is_active else "no",
        str(fields["nodes"]),
        _schedule_text(row.schedule),
        row.created_by,
        f"{row.updated_at:%Y-%m-%d %H:%M}Z",
    )


def _schedule_text(schedule: dict[str, Any] | None) -> str:
    if not schedule:
        return ""
    seconds = schedule.get("every_seconds")
    return f"every {seconds:g} s" if seconds else f"{schedule.get('cron')} {schedule.get('timezone', 'UTC')}"


def _table(rows: Sequence[PipelineDefinition]) -> Table:
    table = Table(*HEADINGS)
    for row in rows:
        table.add_row(*map(plain_lines, _cells(row)))
    return table


def _lines(rows: Sequence[PipelineDefinition]) -> Iterator[str]:
    """The list for a terminal of 80 columns or a pipe."""
    for cells in (HEADINGS, *map(_cells, rows)):
        name, version, active, nodes, schedule, *_ = (str(plain_lines(cell)) for cell in cells)
        yield f"{name:28} {version:>7} {active:6} {nodes:>5} {schedule}".rstrip()
