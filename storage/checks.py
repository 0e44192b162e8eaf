"""The audit trail of health checks, and what is held to be true of what they look at."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from storage.records import CheckResult
from storage.redaction import redact, redact_text
from storage.tables import CheckRun, CheckState
from storage.tables.base import utc_now
from storage.upsert import insert_if_absent
from storage.vocabulary import CheckStatus

# PostgreSQL takes 65,535 values in one statement, SQLite half as many.
CHUNK = 1000
# "WCKC": advisory locks of hosts. A transaction takes one of them, and before any of incidents' groups, so that
# no two can each wait for the other.
LOCK_SPACE = 0x57434B43
# A checker's name, and the thing it looks at.
Target = tuple[str, str]


def add_check_runs(
    session: Session, results: Sequence[CheckResult], *, hostname: str, trace_id: str
) -> list[CheckRun]:
    """Store one row per result."""
    rows = [
        CheckRun(
            checker_name=result.checker_name,
            hostname=hostname,
            status=result.status,
            message=redact_text(result.message),
            metrics=redact(result.metrics),
            error=redact_text(result.error or ""),
            warning_threshold=result.warning_threshold,
            critical_threshold=result.critical_threshold,
            duration_ms=result.duration_ms,
            trace_id=trace_id,
        )
        for result in results
    ]
    session.add_all(rows)
    session.flush()
    return rows


def checked_since(session: Session, *, hostname: str, since: datetime) -> set[str]:
    """The checkers that ran on a host since then."""
    ran = select(CheckRun.checker_name).where(CheckRun.hostname == hostname, CheckRun.executed_at >= since)
    return set(session.scalars(ran.distinct()))


def lock_states(session: Session, *, hostname: str, targets: Iterable[Target]) -> dict[Target, CheckState]:
    """All that is held of a host's targets, with a row for each one given; the caller's until its end.

    Two runs that check one host at once are worked one after the other.
    """
    _lock_host(session, hostname)
    absent = [_empty(hostname, target) for target in sorted(set(targets))]
    for start in range(0, len(absent), CHUNK):
        session.execute(insert_if_absent(session, CheckState).values(absent[start : start + CHUNK]))
    rows = session.scalars(select(CheckState).where(CheckState.hostname == hostname).order_by(CheckState.id))
    return {(row.checker_name, row.target): row for row in rows}


def _lock_host(session: Session, hostname: str) -> None:
    """Let one transaction at a time work on this host. SQLite has one writer anyway.

    Locks on the rows would not do: one that is there at our insert may be deleted before we lock it.
    """
    if session.get_bind().dialect.name != "postgresql":
        return
    key = int.from_bytes(hashlib.sha256(hostname.encode()).digest()[:4], signed=True)
    session.execute(text("SELECT pg_advisory_xact_lock(:space, :key)"), {"space": LOCK_SPACE, "key": key})


def _empty(hostname: str, target: Target) -> dict[str, Any]:
    checker_name, thing = target
    return {
        "hostname": hostname,
        "checker_name": checker_name,
        "target": thing,
        "status": CheckStatus.OK,
        "bad_in_a_row": 0,
        "critical_in_a_row": 0,
        "unknown_in_a_row": 0,
        "updated_at": utc_now(),
    }


def forget_states(session: Session, states: Iterable[CheckState]) -> None:
    """Delete what is held of things that are no longer there."""
    for state in states:
        session.delete(state)
    session.flush()
