"""An alert of our own about a channel that fails: people learn of it by the others.

It begins when the channel's circuit opens, or when it refuses a message for good, and ends with the next message
that goes well. It is told in the background, never to the channel that it is about.
"""

import logging
from collections.abc import Callable
from datetime import timedelta

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

NAME = "Notification channel fails"
PREFIX = "channel:"
# A channel that fails by turns is told of once in so long.
QUIET = timedelta(minutes=10)

Saying = Callable[..., None]

log = logging.getLogger("watchkeeper.notify")


def fingerprint_of(channel: str) -> str:
    """The identity of the alert about a channel."""
    return f"{PREFIX}{channel}"


def subject_of(session: Session, incident_id: int) -> str:
    """The channel that an incident is about; empty where it is about something else."""
    fingerprint = session.scalar(
        select(Alert.fingerprint).where(
            Alert.incident_id == incident_id, Alert.source == SOURCE, Alert.fingerprint.startswith(PREFIX)
        )
    )
    return fingerprint.removeprefix(PREFIX) if fingerprint else ""


def say_failing(channel: str, *, trace_id: str) -> None:
    """Let the alert begin, unless it fires, or did a moment ago, or the channel is well again."""
    with database.get().write() as session:
        _lock(session, channel)
        state = channels.find_states(session, [channel]).get(channel)
        before = known_alerts(session, source=SOURCE, fingerprints=[fingerprint_of(channel)]).get(
            fingerprint_of(channel)
        )
        is_told = before and (before.status is AlertStatus.FIRING or before.started_at > utc_now() - QUIET)
        if state is None or not state.failures or is_told:
            return
        others = [each for each in channels.active_channels(session) if each.name != channel]
        result, _ = apply(
            session,
            [_arrival(_failing(session, state, others), trace_id)],
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
        alert = known_alerts(session, source=SOURCE, fingerprints=[fingerprint_of(channel)]).get(
            fingerprint_of(channel)
        )
        if alert and alert.status is AlertStatus.FIRING:
            result, _ = apply(
                session,
                [_arrival(_alert(channel, AlertStatus.RESOLVED), trace_id)],
                reopen_window=timedelta(minutes=settings.load().reopen_minutes),
            )
            announce(session, result.changes, chosen=(), trace_id=trace_id)
    log.info("channel is well again", extra={"channel": channel, "trace_id": trace_id})


def _lock(session: Session, channel: str) -> None:
    """One at a time speaks of a channel; before anything else is locked, as ingest does it."""
    environment = settings.load().environment
    group, _ = group_of(_alert(channel, AlertStatus.FIRING), source=SOURCE, environment=environment)
    incidents.lock_groups(session, [group, f"{SOURCE}/{fingerprint_of(channel)}"])


def _alert(channel: str, status: AlertStatus) -> ParsedAlert:
    return ParsedAlert(
        fingerprint=fingerprint_of(channel),
        name=NAME,
        status=status,
        started_at=None,
        labels={"channel": channel},
        group_key=fingerprint_of(channel),
    )


def _failing(session: Session, state: ChannelState, others: list[ChannelConfig]) -> ParsedAlert:
    row = channels.find(session, state.channel)
    driver = row.driver if row else "unknown"
    since = f"{state.failing_since:%Y-%m-%d %H:%M} UTC" if state.failing_since else "now"
    unsent = held_back.count_unsent(session, state.channel)
    return _alert(state.channel, AlertStatus.FIRING).model_copy(
        update={
            "severity": Severity.WARNING if any(map(_takes_warnings, others)) else Severity.CRITICAL,
            "description": (
                f"Channel {state.channel} ({driver}) fails since {since}: {state.last_error}. "
                f"{unsent} of its messages wait; what it refused is a dead letter: watchkeeper notifications list"
            ),
            "labels": {"channel": state.channel, "driver": driver},
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
