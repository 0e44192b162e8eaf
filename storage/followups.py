"""Which channels are to be told again of an incident that goes on, and which such messages came too late."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Subquery, and_, bindparam, case, exists, false, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from storage.notifications import UNSENT
from storage.tables import Alert, Incident, Notification, NotificationChannel
from storage.vocabulary import (
    ALARMS,
    FOLLOW_UPS,
    LIVE_INCIDENT,
    AlertStatus,
    IncidentStatus,
    NotificationReason,
    NotificationStatus,
    Severity,
)

REMINDER, UPDATED = NotificationReason.REMINDER, NotificationReason.UPDATED
OVERTAKEN = "the incident had moved on"

Word = TypeVar("Word", bound=StrEnum)


@dataclass(frozen=True)
class Terms:
    """On what a channel is told again: if it heard last before then (None: never), of these severities.

    What began there on its behalf of another channel goes on there, whatever its severity.
    """

    channel: str
    driver: str
    remind_before: datetime | None
    update_before: datetime | None
    severities: Sequence[Severity]


@dataclass(frozen=True)
class DueFollowUp:
    """A message that is due: the next of its reason in this episode, after one that came from a run."""

    channel: str
    driver: str
    incident_id: int
    episode: int
    reason: NotificationReason
    sequence: int
    run_id: str
    trace_id: str


def lock_looking(session: Session) -> None:
    """Let one worker at a time look: two that see different things would tell of both. SQLite has one writer."""
    session.execute(select(NotificationChannel.id).order_by(NotificationChannel.id).with_for_update())


def find_due(session: Session, terms: Iterable[Terms], *, limit: int) -> list[DueFollowUp]:
    """What the channels are to be told again, the longest silence first; nothing while a message is under way."""
    by_channel = {each.channel: each for each in terms}
    lanes = _lanes(by_channel)
    is_under_way = exists().where(
        Notification.channel == lanes.c.channel,
        Notification.incident_id == lanes.c.incident_id,
        Notification.status.in_(UNSENT),
    )
    source = aliased(Notification)
    rows = session.execute(
        select(
            lanes, source.run_id, source.trace_id, _is_update_due(lanes, by_channel.values()).label("is_update")
        )
        .join(source, source.id == lanes.c.source_id)
        .where(or_(false(), *(_is_due(lanes, each) for each in by_channel.values())), ~is_under_way)
        .order_by(lanes.c.last_at)
        .limit(limit)
    )
    return [_due(row, by_channel[row.channel]) for row in rows]


def find_overtaken(session: Session) -> list[Notification]:
    """Reminders and updates that wait, of what is over, or where nobody needs to be reminded any more; locked.

    What another transaction has locked is left out.
    """
    is_wanted = exists().where(
        Incident.id == Notification.incident_id,
        Incident.episode == Notification.episode,
        or_(
            Incident.status == IncidentStatus.OPEN,
            and_(Incident.status == IncidentStatus.ACKNOWLEDGED, Notification.reason == UPDATED),
        ),
    )
    return list(
        session.scalars(
            select(Notification)
            .where(
                _is_one_of(Notification.status, UNSENT),
                Notification.status != NotificationStatus.SENDING,
                Notification.reason.in_(FOLLOW_UPS),
                ~is_wanted,
            )
            .with_for_update(skip_locked=True)
        )
    )


def take_back(row: Notification) -> None:
    """Not to be sent any more: events have overtaken it."""
    row.status = NotificationStatus.DISCARDED
    row.error_message = OVERTAKEN


def _lanes(channels: Iterable[str]) -> Subquery:
    """What the channels have been told of each live incident in its present episode, where that is an alarm."""
    is_sent = Notification.status == NotificationStatus.SENT
    knew_until = func.coalesce(Notification.knew_until, Notification.claimed_at, Notification.created_at)
    return (
        select(
            Notification.channel,
            Incident.id.label("incident_id"),
            Incident.episode,
            Incident.status,
            Incident.severity,
            # One that was given up counts too, or the next would be made at once.
            func.max(func.coalesce(Notification.sent_at, Notification.updated_at)).label("last_at"),
            func.max(case((is_sent, knew_until))).label("knew_until"),
            func.max(case((is_sent, Notification.sent_at))).label("sent_at"),
            func.max(case((Notification.status == NotificationStatus.DEAD, Notification.updated_at))).label(
                "dead_at"
            ),
            func.coalesce(
                func.max(case((and_(is_sent, Notification.run_id != ""), Notification.id))),
                func.max(Notification.id),
            ).label("source_id"),
            _count(Notification.reason == REMINDER).label("reminders"),
            _count(Notification.reason == UPDATED).label("updates"),
            _count(Notification.instead_of != "").label("stand_ins"),
        )
        .join(Incident, and_(Incident.id == Notification.incident_id, Incident.episode == Notification.episode))
        .where(_is_one_of(Incident.status, LIVE_INCIDENT), Notification.channel.in_(sorted(channels)))
        .group_by(Notification.channel, Incident.id)
        .having(_count(and_(is_sent, Notification.reason.in_(ALARMS))) > 0)
        .subquery("lanes")
    )


def _is_one_of(column: InstrumentedAttribute[Word], words: Sequence[Word]) -> ColumnElement[bool]:
    """The words stand in the statement: only so are the indexes over just these rows found."""
    return column.in_(bindparam(None, list(words), expanding=True, literal_execute=True, type_=column.type))


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def _is_due(lanes: Subquery, terms: Terms) -> ColumnElement[bool]:
    is_meant = or_(lanes.c.stand_ins > 0, lanes.c.severity.in_(terms.severities))
    is_open = lanes.c.status == IncidentStatus.OPEN
    is_reminder_due = and_(is_open, _is_before(lanes, terms.remind_before))
    return and_(lanes.c.channel == terms.channel, is_meant, or_(is_reminder_due, _is_update_due(lanes, [terms])))


def _is_update_due(lanes: Subquery, terms: Iterable[Terms]) -> ColumnElement[bool]:
    has_grown = exists().where(
        Alert.incident_id == lanes.c.incident_id,
        Alert.status == AlertStatus.FIRING,
        Alert.joined_at > lanes.c.knew_until,
    )
    # After one that was given up the next waits as long as a reminder does: the channel may have gone for good.
    is_well = or_(lanes.c.dead_at.is_(None), lanes.c.dead_at < lanes.c.sent_at)
    due = (
        and_(
            lanes.c.channel == each.channel,
            _is_before(lanes, each.update_before),
            or_(is_well, _is_before(lanes, each.remind_before)),
        )
        for each in terms
    )
    return and_(or_(false(), *due), has_grown)


def _is_before(lanes: Subquery, moment: datetime | None) -> ColumnElement[bool]:
    return false() if moment is None else lanes.c.last_at <= moment


def _due(row: Any, terms: Terms) -> DueFollowUp:
    return DueFollowUp(
        channel=row.channel,
        driver=terms.driver,
        incident_id=row.incident_id,
        episode=row.episode,
        reason=UPDATED if row.is_update else REMINDER,
        sequence=1 + (row.updates if row.is_update else row.reminders),
        run_id=row.run_id,
        trace_id=row.trace_id,
    )
