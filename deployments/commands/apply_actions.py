"""What `watchkeeper apply` and `watchkeeper export` do."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployments.commands.applying import doing
from deployments.commands.applying.difference import Plan, Sections, read_document, value_at
from deployments.commands.applying.exporting import as_yaml, document_of
from deployments.commands.applying.faults import DocumentError, place
from deployments.commands.applying.reading import STDIN, read_file
from deployments.commands.applying.sections import SECTIONS
from deployments.commands.applying.sections.base import Action, Change
from deployments.commands.check_output import plain, print_json, print_table
from deployments.errors import WrongUseError
from deployments.installed import installed_database
from storage.database import Database
from storage.settings import load
from tasks.definition.saving import doubts_here

if TYPE_CHECKING:
    from rich.text import Text

# With --exit-code, where something differs: not 1, which is a failure, and not 2, which is wrong use.
DIFFERS = 3
SIGNS = {Action.ADDED: ("+", "green"), Action.CHANGED: ("~", "yellow"), Action.REMOVED: ("-", "red")}
VALUE_MAX_CHARS = 60


@dataclass(frozen=True)
class Options:
    """What was typed beside the file."""

    dry_run: bool = False
    prune: bool = False
    exit_code: bool = False
    as_json: bool = False


def apply(file: str, options: Options) -> int:
    """Make the installation as the file says, or show what that would change."""
    try:
        return apply_sections(read_document(read_file(file)), options)
    except DocumentError as error:
        return say_faults(file, error, as_json=options.as_json)


def apply_sections(wanted: Sections, options: Options) -> int:
    """The same for what was read. Raises DocumentError."""
    with installed_database(load()) as database:
        plan = (doing.plan if options.dry_run else doing.do)(database, wanted, prune=options.prune)
        doubts = [] if options.dry_run else _doubts(database, plan)
    if options.as_json:
        print_json(_fields(plan, dry_run=options.dry_run))
    else:
        print_plan(plan, dry_run=options.dry_run)
    if not options.dry_run:
        warn_of_clear_text(plan)
        sys.stderr.writelines(f"watchkeeper: {plain(doubt)}\n" for doubt in doubts)
    return DIFFERS if options.exit_code and plan.changes else 0


def _doubts(database: Database, plan: Plan) -> list[str]:
    """What the definitions that changed cannot do here and now, such as tell a channel that is not there."""
    changed = [each for each in plan.changes if each.section == "definitions" and each.after]
    with database.read() as session:
        return [
            f"{each.place}: {doubt}"
            for each in changed
            for doubt in doubts_here(session, (each.after or {})["config"])
        ]


def say_faults(file: str, error: DocumentError, *, as_json: bool) -> int:
    """Every fault of a file, a line for each. Returns the exit code."""
    name = "standard input" if file == STDIN else file
    if as_json:
        print_json({"status": "error", "file": name, "faults": error.faults})
    else:
        sys.stderr.writelines(f"watchkeeper: {name}: {plain(fault)}\n" for fault in error.faults)
    return 1


def export(output: str) -> int:
    """Write the installation as a file that `apply` takes."""
    with installed_database(load()) as database, database.read() as session:
        sections = doing.present(session)
    return write_document(sections, output)


def write_document(sections: Sections, output: str) -> int:
    """Write it, with variables in place of secrets that are kept in clear, each of which is said."""
    document, variables = document_of(sections)
    is_json = output.endswith(".json")
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n" if is_json else as_yaml(document, variables)
    if output == STDIN:
        sys.stdout.buffer.write(text.encode())
    else:
        write_file(output, text)
    for name, where in variables.items():
        sys.stderr.write(
            f"watchkeeper: {place(*where)} is kept in clear text, so it is not written: "
            f"set {name} where this is applied\n"
        )
    return 0


def write_file(output: str, text: str, *, flag: str = "--output") -> None:
    """Raises WrongUseError for a place that cannot be written to."""
    try:
        Path(output).expanduser().write_text(text, "utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a usable path"
        raise WrongUseError(f"{flag}: {output} cannot be written: {reason}") from None


def warn_of_clear_text(plan: Plan) -> None:
    """Say on standard error which secrets were saved themselves."""
    for change in plan.changes:
        for path in SECTIONS[change.section].clear_text(change.after or {}):
            sys.stderr.write(
                f"watchkeeper: {change.place}.{place(*path)} is saved in clear text; "
                'better a reference such as {"env": "NAME"}\n'
            )


def print_plan(plan: Plan, *, dry_run: bool) -> None:
    """A line for each entry, or for each key that changed; then all in a sentence."""
    rows = [row for change in plan.changes for row in _rows(change)]
    print_table((), rows, after=plain(_summary(plan, dry_run=dry_run)))


def _summary(plan: Plan, *, dry_run: bool) -> str:
    if not plan.changes:
        return f"nothing to change; {plan.unchanged} as the file says"
    counts = Counter(change.action for change in plan.changes)
    told = ", ".join(
        f"{counts[action]} {'to be ' if dry_run else ''}{action}" for action in Action if counts[action]
    )
    return f"{told}; {plan.unchanged} unchanged{'; nothing was done' if dry_run else ''}"


def _rows(change: Change) -> Iterator[tuple["Text | str", ...]]:
    sign, style = SIGNS[change.action]
    if not change.paths:
        yield plain(sign, style), plain(change.place), plain(_kind(change))
        return
    for key in _keys(change):
        old, new = (_short(key[which]) for which in ("old", "new"))
        said = f"{old} -> {new}" if old != new else f"{old}, another one"
        yield plain(sign, style), plain(change.place), plain(f"{key['key']}: {said}")


def _kind(change: Change) -> str:
    form = change.after or change.before or {}
    return str(form.get("driver") or form.get("provider") or form.get("description") or "")


def _keys(change: Change) -> Iterator[dict[str, Any]]:
    section = SECTIONS[change.section]
    before, after = (form and section.shown(form) for form in (change.before, change.after))
    for path in change.paths:
        yield {"key": place(*path), "old": value_at(before, path), "new": value_at(after, path)}


def _short(value: Any) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= VALUE_MAX_CHARS else f"{text[: VALUE_MAX_CHARS - 1]}…"


def _fields(plan: Plan, *, dry_run: bool) -> dict[str, Any]:
    changes = [
        {"section": each.section, "name": each.name, "action": each.action, "keys": list(_keys(each))}
        for each in plan.changes
    ]
    return {"status": "ok", "dry_run": dry_run, "changes": changes, "unchanged": plan.unchanged}
