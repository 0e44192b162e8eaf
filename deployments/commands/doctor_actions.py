"""What `watchkeeper doctor` does."""

from rich.text import Text

from deployments.commands.check_output import plain, print_json, print_table
from deployments.commands.doctor import checks, sending
from deployments.commands.doctor.finding import Finding, Level
from storage.settings import load

STYLES = {Level.OK: "green", Level.UNKNOWN: "dim", Level.WARNING: "yellow", Level.FAULT: "bold red"}


def examine(*, send: bool, as_json: bool) -> int:
    """Print what was found. Returns 1 where a fault is among it, else 0. Raises SettingsError."""
    current = load()
    found = checks.examine(current)
    if send:
        found["sending"] = sending.send_to_all(current)
    level = checks.worst(found)
    if as_json:
        print_json({"status": level, "checks": [_fields(name, each) for name, each in _flat(found)]})
    else:
        rows = [row for name, each in _flat(found) for row in _rows(name, each)]
        print_table((), rows, after=plain(_summary(found), STYLES[level]))
    return 1 if level is Level.FAULT else 0


def _flat(found: dict[str, list[Finding]]) -> list[tuple[str, Finding]]:
    return [(name, each) for name, several in found.items() for each in several]


def _fields(name: str, finding: Finding) -> dict[str, str]:
    return {"check": name, **finding._asdict()}


def _rows(name: str, finding: Finding) -> list[tuple[Text | str, ...]]:
    first = (plain(finding.level, STYLES[finding.level]), plain(name), plain(finding.message))
    return [first, ("", "", plain(f"-> {finding.remedy}"))] if finding.remedy else [first]


def _summary(found: dict[str, list[Finding]]) -> str:
    levels = [each.level for _, each in _flat(found)]
    faults, warnings = levels.count(Level.FAULT), levels.count(Level.WARNING)
    if not faults and not warnings:
        return "nothing stands against it"
    return f"{_counted(faults, 'fault')}, {_counted(warnings, 'warning')}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
