"""Checking this machine now, as somebody at the console asks for it."""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from storage import audit, settings
from storage.checks import add_check_runs
from storage.database import Database
from storage.records import CheckResult
from storage.storable import storable_text
from storage.tables import CheckRun
from storage.vocabulary import AuditOutcome
from tasks.check import apart
from tasks.check.checkers import CHECKERS, DEFAULTS
from tasks.check.checks import build_checkers
from tasks.check.stage import HOSTNAME_MAX_CHARS
from tasks.errors import PermanentError
from webhook_app.console import access
from webhook_app.console.access import Person
from webhook_app.places import advising

# Nobody waits longer than that at a page.
WITHIN_SECONDS = 30.0


@dataclass(frozen=True)
class Choice:
    """A checker to choose. `fault` says why it cannot be run; `is_usual`: it is run where none is named."""

    name: str
    measures: str
    is_usual: bool
    fault: str


def choices() -> list[Choice]:
    """Every checker. Raises SettingsError."""
    configs = settings.load().checkers
    return [
        Choice(name, checker.measures, name in DEFAULTS or name in configs, _fault(name, configs))
        for name, checker in CHECKERS.items()
    ]


def hostname() -> str:
    """How this machine is called on what is stored."""
    return storable_text(socket.gethostname())[:HOSTNAME_MAX_CHARS]


def check(database: Database, names: Sequence[str], *, person: Person) -> str:
    """Run these checkers, or the usual ones, and store what they found; the trace_id that it has.

    No alert comes of it. Raises PermanentError that names what cannot be run, BusyError, SettingsError.
    """
    configs = settings.load().checkers
    wanted = [checker.kind for checker in build_checkers(names or None, configs)]
    with advising():
        # In a process of its own: this one has threads, and must not hang with a dead mount.
        results = apart.measure(wanted, configs, within_seconds=WITHIN_SECONDS).results
    trace_id = str(uuid4())
    with database.write() as session:
        add_check_runs(session, results, hostname=hostname(), trace_id=trace_id)
        audit.record(
            session,
            actor=person.name,
            action="check",
            object_type=CheckRun.__tablename__,
            outcome=AuditOutcome.DONE,
            detail=_told(results),
            address=access.address(),
        )
    return trace_id


def _fault(name: str, configs: Mapping[str, Mapping[str, Any]]) -> str:
    try:
        build_checkers([name], {name: configs.get(name, {})})
    except PermanentError as error:
        return str(error).removeprefix(f"checker {name}: ")
    return ""


def _told(results: Sequence[CheckResult]) -> str:
    return "; ".join(f"{result.checker_name}: {result.status}" for result in results)
