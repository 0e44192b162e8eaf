"""Opening, joining, reopening, resolving, closing and listing incidents."""

import hashlib
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ScalarSelect, func, or_, select, text
from sqlalchemy.orm import Session, aliased, defer

from storage.alerts import matching
from storage.pages import Place, kinds_of, newest, tested_last
from storage.records import EarlierIncident
from storage.redaction import redact_text
from storage.tables import Alert, AnalysisRun, Incident
from storage.tables.base import utc_now
from storage.vocabulary import LIVE_INCIDENT, AlertStatus, AnalysisStatus, IncidentStatus, Severity

CHUNK = 1000
# Groups are locked by bucket: a body of 5,000 groups must not need 5,000 of PostgreSQL's lock slots.
LOCK_BUCKETS = 256
LOCK_SPACE = 0x57434B  # "WCK": keeps our advisory locks apart from others in the database
# An incident that flaps for years keeps its newest entries, and how many older ones it had.
NOTES_KEPT = 100
TRANSITIONS_KEPT = 200
NOTE_MAX_CHARS = 4000


def lock_groups(session: Session, group_keys: Iterable[str]) -> None:
    """Let one transaction at a time work on these groups. SQLite has one writer anyway."""
    if session.get_bind().dialect.name != "postgresql":
        return
    buckets = sorted({int(hashlib.sha256(key.encode()).hexdigest(), 16) % LOCK_BUCKETS for key in group_keys})
    if buckets:
        # Sorted, so that two transactions cannot each wait for the other.
        session.execute(
            text("SELECT pg_advisory_xact_lock(:space, bucket) FROM unnest(CAST(:buckets AS int[])) AS bucket"),
            {"space": LOCK_SPACE, "buckets": buckets},
        )


def last_of_groups(session: Session, group_keys: Iterable[str]) -> dict[str, Incident]:
    """The newest incident of each group; the live one, where there is one, since only the newest can live."""
    wanted = sorted(group_keys)
    found: dict[str, Incident] = {}
    for start in range(0, len(wanted), CHUNK):
        newest = (
            select(func.max(Incident.id))
            .where(Incident.group_key.in_(wanted[start : start + CHUNK]))
            .group_by(Incident.group_key)
        )
        rows = session.scalars(select(Incident).where(Incident.id.in_(newest)))
        found.update((incident.group_key, incident) for incident in rows)
    return found


def earlier_of_group(session: Session, incident_id: int, *, limit: int) -> list[EarlierIncident]:
    """The incidents of the same group before this one that are over, newest first."""
    return earlier_of_groups(session, [incident_id], limit=limit)[incident_id]


def earlier_of_groups(
    session: Session, incident_ids: Iterable[int], *, limit: int
) -> dict[int, list[EarlierIncident]]:
    """For each of these incidents those of the same group before it that are over, newest first."""
    wanted = sorted(set(incident_ids))
    earlier = {incident_id: list[int]() for incident_id in wanted}
    for start in range(0, len(wanted), CHUNK):
        rows = session.execute(
            select(Incident.id, *(_earlier_id(place) for place in range(limit))).where(
                Incident.id.in_(wanted[start : start + CHUNK])
            )
        )
        earlier.update((row[0], [found for found in row[1:] if found is not None]) for row in rows)
    ids = {found for each in earlier.values() for found in each}
    found, causes = by_ids(session, ids), _newest_causes(session, ids)
    return {
        incident_id: [_earlier(found[each], causes.get(each, "")) for each in each_earlier]
        for incident_id, each_earlier in earlier.items()
    }


def _earlier_id(place: int) -> ScalarSelect[int]:
    """One look into the index for each place: a group with a long past is never read as a whole."""
    before = aliased(Incident)
    return (
        select(before.id)
        .where(before.group_key == Incident.group_key, before.id < Incident.id)
        .where(before.status.not_in(LIVE_INCIDENT))
        .order_by(before.id.desc())
        .offset(place)
        .limit(1)
        .correlate(Incident)
        .scalar_subquery()
    )


def _newest_causes(session: Session, ids: Iterable[int]) -> dict[int, str]:
    wanted = sorted(ids)
    causes: dict[int, str] = {}
    for start in range(0, len(wanted), CHUNK):
        newest = (
            select(func.max(AnalysisRun.id))
            .where(AnalysisRun.incident_id.in_(wanted[start : start + CHUNK]))
            .where(AnalysisRun.status == AnalysisStatus.SUCCEEDED)
            .group_by(AnalysisRun.incident_id)
        )
        rows = session.execute(
            select(AnalysisRun.incident_id, AnalysisRun.probable_cause).where(AnalysisRun.id.in_(newest))
        )
        causes.update((row.incident_id, row.probable_cause) for row in rows if row.incident_id is not None)
    return causes


def _earlier(incident: Incident, cause: str) -> EarlierIncident:
    return EarlierIncident(
        title=incident.title,
        severity=incident.severity,
        status=incident.status,
        started_at=incident.started_at,
        resolved_at=incident.resolved_at,
        probable_cause=cause,
        notes=[str(note.get("text", "")) for note in (incident.details or {}).get("notes", [])],
    )


def by_ids(session: Session, ids: Iterable[int]) -> dict[int, Incident]:
    """Incidents by id."""
    wanted = sorted(ids)
    found: dict[int, Incident] = {}
    for start in range(0, len(wanted), CHUNK):
        rows = session.scalars(select(Incident).where(Incident.id.in_(wanted[start : start + CHUNK])))
        found.update((incident.id, incident) for incident in rows)
    return found


def may_reopen(incident: Incident, started_at: datetime, *, window: timedelta) -> bool:
    """Whether an episode that began then belongs to this ended incident rather than to a new one."""
    is_recent = incident.resolved_at is not None and started_at <= incident.resolved_at + window
    return incident.status is IncidentStatus.RESOLVED and is_recent


def reopen(incident: Incident, *, started_at: datetime) -> None:
    """A new episode of a resolved incident."""
    _move(incident, IncidentStatus.OPEN)
    incident.episode += 1
    incident.started_at = started_at
    incident.acknowledged_at = None
    incident.resolved_at = None
    incident.truncated_alerts = 0


def acknowledge(incident: Incident, *, author: str = "") -> None:
    """Somebody works on it; without effect on one that is not open. No author: its sender's people do."""
    if incident.status is IncidentStatus.OPEN:
        _move(incident, IncidentStatus.ACKNOWLEDGED, author=author)
        incident.acknowledged_at = utc_now()


def unacknowledge(incident: Incident) -> None:
    """Nobody works on it any more; without effect on one that is not acknowledged."""
    if incident.status is IncidentStatus.ACKNOWLEDGED:
        _move(incident, IncidentStatus.OPEN)
        incident.acknowledged_at = None


def resolve(incident: Incident, *, resolved_at: datetime | None, author: str = "") -> None:
    """It has ended, then or now. No author: its last alert ended."""
    _move(incident, IncidentStatus.RESOLVED, author=author)
    incident.resolved_at = resolved_at or utc_now()


def close(incident: Incident, *, author: str) -> None:
    """Nothing is left to be done about it, and no later episode may reopen it."""
    _move(incident, IncidentStatus.CLOSED, author=author)
    incident.closed_at = utc_now()


def add_note(incident: Incident, *, text: str, author: str, at: datetime) -> None:
    """Keep somebody's words, redacted and cut to NOTE_MAX_CHARS; the same ones of the same time only once."""
    text = redact_text(text)
    kept = text if len(text) <= NOTE_MAX_CHARS else f"{text[: NOTE_MAX_CHARS - 1]}…"
    note = {"at": at.isoformat(), "author": author, "text": kept}
    if note not in (incident.details or {}).get("notes", []):
        _append(incident, "notes", note, most=NOTES_KEPT)


def _move(incident: Incident, status: IncidentStatus, *, author: str = "") -> None:
    entry = {"at": utc_now().isoformat(), "author": author, "from": incident.status.value, "to": status.value}
    _append(incident, "transitions", entry, most=TRANSITIONS_KEPT)
    incident.status = status


def _append(incident: Incident, trail: str, entry: dict[str, str], *, most: int) -> None:
    # A new dict each time: a change within the old one would not be seen, and so not be written.
    details: dict[str, Any] = dict(incident.details or {})
    entries = [*details.get(trail, []), entry]
    if len(entries) > most:
        details[f"{trail}_dropped"] = details.get(f"{trail}_dropped", 0) + len(entries) - most
    incident.details = {**details, trail: entries[-most:]}


def firing_severities(session: Session, incident_ids: Iterable[int]) -> dict[int, Severity]:
    """The highest severity among the firing alerts of each incident; none for one without any."""
    wanted = sorted(incident_ids)
    highest: dict[int, Severity] = {}
    for start in range(0, len(wanted), CHUNK):
        rows = session.execute(
            select(Alert.incident_id, Alert.severity)
            .where(Alert.incident_id.in_(wanted[start : start + CHUNK]), Alert.status == AlertStatus.FIRING)
            .group_by(Alert.incident_id, Alert.severity)
        )
        for incident_id, severity in rows:
            if incident_id is not None:
                highest[incident_id] = max(highest.get(incident_id, severity), severity, key=lambda s: s.rank)
    return highest


def list_incidents(
    session: Session,
    *,
    statuses: Collection[IncidentStatus] = (),
    severities: Collection[Severity] = (),
    source: str = "",
    name: str = "",
    trace_id: str = "",
    since: datetime | None = None,
    after: Place | None = None,
    limit: int,
) -> list[Incident]:
    """Incidents without their details, newest first. One alert of each has the source, name part and trace_id."""
    conditions = [] if since is None else [Incident.created_at >= since]
    wanted = matching(source=source, name=name, trace_id=trace_id)
    if trace_id:  # few alerts: found first, and their incidents from them
        conditions.append(Incident.id.in_(select(Alert.incident_id).where(*wanted)))
    elif wanted:  # maybe most alerts: looked up for each incident, until the page is full
        conditions.append(select(Alert.id).where(Alert.incident_id == Incident.id, *wanted).exists())
    kinds = kinds_of(
        Incident.status,
        Incident.severity,
        statuses=statuses,
        severities=severities,
        all_statuses=IncidentStatus,
    )
    if kinds and trace_id:
        conditions, kinds = [*conditions, tested_last(or_(*kinds))], []
    return newest(
        session,
        Incident,
        order=(Incident.created_at, Incident.id),
        conditions=conditions,
        kinds=kinds,
        options=[defer(Incident.details), defer(Incident.description), defer(Incident.summary)],
        after=after,
        limit=limit,
    )
