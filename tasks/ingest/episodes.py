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
# Longer than a firing is under way, shorter than the group interval after which Alertmanager says it again.
UNDER_WAY = timedelta(minutes=2)


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
    occurred_at: datetime | None = None
    last_received_at: datetime | None = None


def decide(stored: Stored | None, incoming: ParsedAlert, *, received_at: datetime) -> Step:
    """The step that `incoming` makes."""
    if stored is None:
        return Step.CREATED
    is_same = is_same_episode(stored, incoming)
    is_later = not is_same and (_is_later(stored, incoming) or _ends_what_fires(stored, incoming))
    if _is_overtaken(stored, incoming, received_at) or not (is_same or is_later):
        return Step.STALE
    if incoming.status is AlertStatus.RESOLVED:
        return Step.RESOLVED if stored.status is AlertStatus.FIRING or is_later else Step.REFRESHED
    if is_later:
        return Step.REFIRED
    if stored.status is AlertStatus.RESOLVED:
        return Step.REFIRED if _is_said_again(stored, incoming, received_at) else Step.STALE
    return Step.STALE if _is_older(stored, incoming) else Step.REFRESHED


def clamped(incoming: ParsedAlert, *, received_at: datetime) -> ParsedAlert:
    """The alert without a start in the future, which would hide every later episode.

    What the sender said stays as the episode's id, so that its repeats are known as such.
    """
    if incoming.started_at is None or incoming.started_at <= received_at + CLOCK_SKEW:
        return incoming
    episode = incoming.episode or incoming.started_at.isoformat()
    return incoming.model_copy(update={"started_at": received_at, "episode": episode})


def start_after(stored: Stored | None, incoming: ParsedAlert, step: Step, *, received_at: datetime) -> datetime:
    """When the episode began in which this step leaves the alert.

    Of two starts that one episode is given, the first counts: a vendor may stamp each event anew.
    """
    start = incoming.started_at or min(incoming.ended_at or received_at, received_at)
    if stored is None or step is Step.REFIRED:
        return start
    if is_same_episode(stored, incoming):
        return min(stored.started_at, start) if incoming.started_at else stored.started_at
    return stored.started_at if step is Step.STALE else max(stored.started_at, start)


def end_of(incoming: ParsedAlert, *, started_at: datetime, received_at: datetime) -> datetime | None:
    """When the episode ended: None while it fires; never before its start, never in the future."""
    if incoming.status is AlertStatus.FIRING:
        return None
    ended_at = min(incoming.ended_at or received_at, received_at)
    return max(ended_at, started_at)


def is_same_episode(stored: Stored, incoming: ParsedAlert) -> bool:
    """Whether both speak of one firing-to-resolved stretch."""
    if stored.episode and incoming.episode:
        return stored.episode == incoming.episode
    if incoming.started_at is None:
        if incoming.ended_at and incoming.ended_at < stored.started_at - CLOCK_SKEW:
            return False
        # Nothing says which stretch it is: a firing one goes on, a resolved one is over.
        return stored.status is AlertStatus.FIRING or incoming.status is AlertStatus.RESOLVED
    return incoming.started_at == stored.started_at


def _ends_what_fires(stored: Stored, incoming: ParsedAlert) -> bool:
    """Whether it names an earlier start but ended after the present one, and so ends that.

    Replicas of a sender (Grafana, Prometheus) see a start at different moments, and any of them tells the end.
    """
    if stored.status is not AlertStatus.FIRING or incoming.status is not AlertStatus.RESOLVED:
        return False
    is_named = bool(stored.episode and incoming.episode)  # then it is known to be another episode's
    return not is_named and incoming.ended_at is not None and incoming.ended_at > stored.started_at


def _is_overtaken(stored: Stored, incoming: ParsedAlert, received_at: datetime) -> bool:
    """Whether what came in later is applied already. That decides for an event that names no time at all.

    Two workers may swap two deliveries, and a person may replay an old one. The vendor's own id of the episode
    says more than the order.
    """
    is_timed = incoming.started_at or incoming.ended_at or incoming.occurred_at
    if is_timed or stored.last_received_at is None or (incoming.episode and incoming.episode == stored.episode):
        return False
    return received_at < stored.last_received_at


def _is_said_again(stored: Stored, incoming: ParsedAlert, received_at: datetime) -> bool:
    """Whether an ended alert fires all the same: a sender that repeats itself says so when nothing is under way.

    Alertmanager ends what a Prometheus has not repeated for some minutes, and when it is back the start is the
    old one: https://prometheus.io/docs/alerting/latest/clients/
    """
    if not incoming.is_repeated or stored.last_received_at is None:
        return False
    return received_at > stored.last_received_at + UNDER_WAY


def _is_later(stored: Stored, incoming: ParsedAlert) -> bool:
    if incoming.started_at:
        return incoming.started_at > stored.started_at
    if incoming.lifecycle:  # what somebody did about an alert begins no episode of it
        return False
    known_until = stored.occurred_at or stored.ended_at or stored.started_at
    happened_at = incoming.occurred_at or incoming.ended_at
    return happened_at is None or happened_at > known_until


def _is_older(stored: Stored, incoming: ParsedAlert) -> bool:
    """Whether a later event of the episode is known already: it says how things stand."""
    if stored.occurred_at is None or incoming.occurred_at is None:
        return False
    return incoming.occurred_at < stored.occurred_at
