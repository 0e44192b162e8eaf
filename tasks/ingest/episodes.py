"""What an incoming alert means for the stored one of the same identity. Pure.

An episode is one firing-to-resolved stretch. Any order and repetition of an alert's true history ends in
the same state: what belongs to an older episode, or to one that has ended, changes nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from storage.records import ParsedAlert
from storage.vocabulary import AlertStatus

CLOCK_SKEW = timedelta(minutes=5)


class Step(Enum):
    """How the stored alert moves."""

    CREATED = "created"
    REFIRED = "refired"
    REFRESHED = "refreshed"
    RESOLVED = "resolved"
    STALE = "stale"


@dataclass(frozen=True)
class Stored:
    """The part of a stored alert that decides."""

    status: AlertStatus
    started_at: datetime
    ended_at: datetime | None
    episode: str


def decide(stored: Stored | None, incoming: ParsedAlert) -> Step:
    """The step that `incoming` makes."""
    if stored is None:
        return Step.CREATED
    is_same = _is_same_episode(stored, incoming)
    is_later = not is_same and _is_later(stored, incoming)
    if not is_same and not is_later:
        return Step.STALE
    if incoming.status is AlertStatus.RESOLVED:
        return Step.RESOLVED if stored.status is AlertStatus.FIRING or is_later else Step.REFRESHED
    if is_later:
        return Step.REFIRED
    return Step.REFRESHED if stored.status is AlertStatus.FIRING else Step.STALE


def start_of(incoming: ParsedAlert, *, received_at: datetime) -> datetime:
    """When the episode began: as said, but not in the future, else the time of receipt."""
    if incoming.started_at is None or incoming.started_at > received_at + CLOCK_SKEW:
        return received_at
    return incoming.started_at


def end_of(incoming: ParsedAlert, *, started_at: datetime, received_at: datetime) -> datetime | None:
    """When the episode ended: None while it fires; never before its start, never in the future."""
    if incoming.status is AlertStatus.FIRING:
        return None
    ended_at = min(incoming.ended_at or received_at, received_at)
    return max(ended_at, started_at)


def _is_same_episode(stored: Stored, incoming: ParsedAlert) -> bool:
    if stored.episode and incoming.episode:
        return stored.episode == incoming.episode
    if incoming.started_at is None:
        # Nothing says which stretch it is: a firing one goes on, a resolved one is over.
        return stored.status is AlertStatus.FIRING or incoming.status is AlertStatus.RESOLVED
    return incoming.started_at == stored.started_at


def _is_later(stored: Stored, incoming: ParsedAlert) -> bool:
    return incoming.started_at is None or incoming.started_at > stored.started_at
