"""An alert of our own about a channel that fails: people learn of it by the others.

It begins when the channel's circuit opens, or when it refuses a message for good, and ends with the next message
that goes well, or when the channel is switched off or removed. It is told in the background, never to the channel
that it is about.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage import channels, database, held_back, incidents, settings
from storage.alerts import known_alerts
from storage.records import ChannelConfig, ParsedAlert, ParsedPayload
from storage.tables import Alert, ChannelState
from storage.tables.base import utc_now
from storage.vocabulary import AlertStatus, NotificationReason, Severity
from tasks.ingest.apply import Arrival, apply
from tasks.ingest.grouping import group_of
from tasks.ingest.unreadable import SOURCE
from tasks.notify.outbox import announce

PREFIX = "channel:"
# A channel that fails by turns is told of once in so long.
QUIET = timedelta(minutes=10)

Saying = Callable[..., None]

log = logging.getLogger("watchkeeper.notify")


def fingerprint_of(channel: str) -> str:
    """The identity of the alert about a channel."""
    return f"{PREFIX}{channel}"


def subjects(session: Session) -> dict[int, str]:
    """The channels that incidents are about, by the incident's id."""
    rows = session.execute(
        select(Alert.incident_id, Alert.fingerprint).where(
            Alert.source == SOURCE, Alert.fingerprint.startswith(PREFIX), Alert.incident_id.is_not(None)
        )
    )
    return {incident_id: fingerprint.removeprefix(PREFIX) for incident_id, fingerprint in rows}


def say_failing(channel: str, *, trace_id: str) -> None:
    """Let the alert begin, unless it fires, or did a moment ago, or the channel is well again or switched off."""
    with database.get().write() as session:
        _lock(session, channel)
        state = channels.find_states(session, [channel]).get(channel)
        before = _known(session, channel)
        is_told = before and (before.status is AlertStatus.FIRING or before.started_at > utc_now() - QUIET)
        active = {each.name: each for each in channels.active_channels(session)}
        # Of one that was switched off meanwhile nobody needs to hear.
        own = active.pop(channel, None)
        if own is None or state is None or not state.failures or is_told:
            return
        others = list(active.values())
        result, _ = apply(
            session,
            [_arrival(_failing(session, own, state, others), trace_id)],
            reopen_window=timedelta(minutes=settings.load().reopen_minutes),
        )
        announce(session, result.changes, chosen=[each.name for each in others], trace_id=trace_id)
    log.error("channel fails", extra={"channel": channel, "error": state.last_error, "trace_id": trace_id})


def say_recovered(channel: str, *, trace_id: str) -> None:
    """Forget the channel's failures, let what was held back go, and end the alert where there is one."""
    with database.get().write() as session:
        _lock(session, channel)
        if not channels.forget_failures(session, channel):
            return
        held_back.hurry(session, channel)
        _end(session, channel, trace_id)
    log.info("channel is well again", extra={"channel": channel, "trace_id": trace_id})


def withdraw(session: Session, channel: str) -> None:
    """End the alert, where there is one: the channel is about to be switched off or removed.

    Comes before anything else that the transaction locks.
    """
    _lock(session, channel)
    _end(session, channel, trace_id=str(uuid4()))


def _end(session: Session, channel: str, trace_id: str) -> None:
    alert = _known(session, channel)
    if alert and alert.status is AlertStatus.FIRING:
        result, _ = apply(
            session,
            [_arrival(_alert(channel, AlertStatus.RESOLVED), trace_id)],
            reopen_window=timedelta(minutes=settings.load().reopen_minutes),
        )
        announce(session, result.changes, chosen=(), trace_id=trace_id)


def _known(session: Session, channel: str) -> Alert | None:
    fingerprint = fingerprint_of(channel)
    return known_alerts(session, source=SOURCE, fingerprints=[fingerprint]).get(fingerprint)


def _lock(session: Session, channel: str) -> None:
    """One at a time speaks of a channel; before anything else is locked, as ingest does it."""
    environment = settings.load().environment
    group, _ = group_of(_alert(channel, AlertStatus.FIRING), source=SOURCE, environment=environment)
    incidents.lock_groups(session, [group, f"{SOURCE}/{fingerprint_of(channel)}"])


def _alert(channel: str, status: AlertStatus) -> ParsedAlert:
    return ParsedAlert(
        fingerprint=fingerprint_of(channel),
        name=f"Notification channel {channel} fails",
        status=status,
        started_at=None,
        labels={"channel": channel},
        group_key=fingerprint_of(channel),
    )


def _failing(
    session: Session, own: ChannelConfig, state: ChannelState, others: list[ChannelConfig]
) -> ParsedAlert:
    since = f"{state.failing_since:%Y-%m-%d %H:%M} UTC" if state.failing_since else "now"
    unsent = held_back.count_unsent(session, own.name)
    waiting = f"{unsent} of its messages wait. " if unsent else ""
    return _alert(own.name, AlertStatus.FIRING).model_copy(
        update={
            "severity": Severity.WARNING if any(map(_takes_warnings, others)) else Severity.CRITICAL,
            "description": (
                f"Channel {own.name} ({own.driver}) fails since {since}: {state.last_error}. "
                f"{waiting}What it refuses for good is a dead letter: watchkeeper notifications list"
            ),
            "labels": {"channel": own.name, "driver": own.driver},
        }
    )


def _takes_warnings(channel: ChannelConfig) -> bool:
    """Where no other channel does, a failing one is worse than a warning: nobody would be told."""
    policy = channel.policy
    return NotificationReason.FIRING in policy.on and policy.min_severity.rank <= Severity.WARNING.rank


def _arrival(alert: ParsedAlert, trace_id: str) -> Arrival:
    return Arrival(
        payload=ParsedPayload(source=SOURCE, alerts=[alert]),
        trace_id=trace_id,
        environment=settings.load().environment,
        received_at=utc_now(),
    )
