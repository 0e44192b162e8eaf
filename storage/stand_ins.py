"""Who has heard of an episode, for whoever looks for somebody to stand in; one at a time for an incident."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select, text, tuple_
from sqlalchemy.orm import Session

from storage.notifications import CHUNK, UNSENT
from storage.tables import Notification
from storage.vocabulary import ALARMS, NotificationStatus

# By bucket, and in a space of its own: whoever holds one of these may lock nothing but messages after it.
LOCK_BUCKETS = 256
LOCK_SPACE = 0x57434C  # "WCL"


@dataclass(frozen=True)
class Heard:
    """A channel that an alarm was meant for. `is_begun`: it has the alarm, or may still get it."""

    incident_id: int
    episode: int
    channel: str
    is_begun: bool


def lock(session: Session, incident_ids: Collection[int]) -> None:
    """Let one transaction at a time find stand-ins for alarms of these incidents, until it ends.

    Two channels that refuse one alarm at the same moment would each count on the other. SQLite has one writer.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(
            text("SELECT pg_advisory_xact_lock(:space, bucket) FROM unnest(CAST(:buckets AS int[])) AS bucket"),
            {"space": LOCK_SPACE, "buckets": sorted({pk % LOCK_BUCKETS for pk in incident_ids})},
        )


def who_heard(session: Session, episodes: Collection[tuple[int, int]]) -> list[Heard]:
    """The channels that alarms of these (incident, episode)s were meant for, as the rows are now."""
    keys, found = sorted(episodes), list[Heard]()
    for start in range(0, len(keys), CHUNK):
        # Columns, not objects: those that the session has loaded before would stay as they were then.
        rows = session.execute(
            select(
                Notification.incident_id, Notification.episode, Notification.channel, Notification.status
            ).where(
                tuple_(Notification.incident_id, Notification.episode).in_(keys[start : start + CHUNK]),
                Notification.reason.in_(ALARMS),
            )
        )
        hopeful = (NotificationStatus.SENT, *UNSENT)
        found += [Heard(pk, episode, channel, status in hopeful) for pk, episode, channel, status in rows]
    return found
