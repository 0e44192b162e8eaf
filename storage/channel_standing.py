"""How channels stand, for people to look at: failures in a row, what was sent last, what waits, what is dead."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, union_all
from sqlalchemy.orm import Session

from storage.channels import find_states
from storage.notifications import UNSENT
from storage.tables import Notification
from storage.vocabulary import NotificationStatus


@dataclass(frozen=True)
class Standing:
    """One channel's. `failures` counts the tries in a row; until `rests_until` nothing is tried."""

    failures: int = 0
    failing_since: datetime | None = None
    rests_until: datetime | None = None
    last_error: str = ""
    last_sent_at: datetime | None = None
    waiting: int = 0
    dead: int = 0


def standings(session: Session, names: Collection[str]) -> dict[str, Standing]:
    """Of each of these channels."""
    states = find_states(session, names)
    counts, sent_at = _counts(session), _last_sent_at(session, names)
    found = {}
    for name in names:
        state, of_channel = states.get(name), counts[name]
        found[name] = Standing(
            failures=state.failures if state else 0,
            failing_since=state.failing_since if state else None,
            rests_until=state.rests_until if state else None,
            last_error=state.last_error if state else "",
            last_sent_at=sent_at.get(name),
            waiting=sum(of_channel[status] for status in UNSENT),
            dead=of_channel[NotificationStatus.DEAD],
        )
    return found


def _counts(session: Session) -> dict[str, dict[NotificationStatus, int]]:
    rows = session.execute(
        select(Notification.channel, Notification.status, func.count())
        .where(Notification.status.in_((*UNSENT, NotificationStatus.DEAD)))
        .group_by(Notification.channel, Notification.status)
    )
    counts: dict[str, dict[NotificationStatus, int]] = defaultdict(lambda: defaultdict(int))
    for channel, status, count in rows:
        counts[channel][status] = count
    return counts


def _last_sent_at(session: Session, names: Collection[str]) -> dict[str, datetime | None]:
    """When the newest message that arrived was sent, for all of them in one statement."""
    newest = [
        select(Notification.channel, Notification.sent_at)
        .where(Notification.status == NotificationStatus.SENT, Notification.channel == name)
        .order_by(Notification.created_at.desc())
        .limit(1)
        .subquery()
        for name in names
    ]
    if not newest:
        return {}
    rows = session.execute(union_all(*(select(each) for each in newest)))
    return {channel: sent_at for channel, sent_at in rows}  # noqa: C416  (a row is no tuple to the type checker)
