"""All checks, by name; they run side by side, each within its time."""

import os
from contextlib import ExitStack
from functools import partial

from deployments.commands.doctor import database, host, prefect_server, records
from deployments.commands.doctor.finding import Check, Finding, Level, Scene, fault
from storage.redaction import redact_text
from storage.settings import Settings
from tasks.check.calls import HungError, side_by_side

CHECKS: dict[str, Check] = {
    "settings": host.settings,
    "home": host.home,
    "disk": host.disk,
    "database": database.answers,
    "migrations": database.migrations,
    "receiver": host.receiver,
    "sources": host.sources,
    "inbox": records.inbox,
    "worker": records.worker,
    "runs": records.runs,
    "prefect": prefect_server.reached,
    "deployments": prefect_server.deployments,
    "schedules": prefect_server.schedules,
    "clock": host.clock,
    "channels": records.channels_can_tell,
    "provider": records.provider,
    "retention": records.pruning,
}
CHECK_SECONDS = 12.0


def examine(current: Settings) -> dict[str, list[Finding]]:
    """What each check found, in their order. Whatever is down, this ends within a few seconds."""
    opened, missing = database.open_running(current)
    with ExitStack() as stack:
        if opened:
            stack.callback(opened.dispose)
        scene = Scene(current, os.environ, opened, missing, prefect_server.find(current, os.environ))
        looks = {name: partial(_look, check, scene) for name, check in CHECKS.items()}
        found = side_by_side(looks, timeout_seconds=CHECK_SECONDS)
    return {name: _told(outcome) for name, outcome in found.items()}


def _look(check: Check, scene: Scene) -> list[Finding]:
    return list(check(scene))


def _told(outcome: list[Finding] | BaseException) -> list[Finding]:
    if isinstance(outcome, HungError):
        return [fault(f"no answer within {CHECK_SECONDS:g} s", "what it looks at hangs")]
    if isinstance(outcome, BaseException):
        said = redact_text(str(getattr(outcome, "orig", outcome)).partition("\n")[0])
        return [fault(f"could not be looked at: {type(outcome).__name__}: {said}", "see the findings above")]
    return outcome


def worst(found: dict[str, list[Finding]]) -> Level:
    """The level of the worst finding."""
    return max((each.level for several in found.values() for each in several), key=lambda level: level.rank)
