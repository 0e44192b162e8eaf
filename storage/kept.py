"""What is kept for a time only, and what of it must stay longer because something still stands on it."""

from datetime import datetime

from sqlalchemy import ColumnElement, Exists, and_, case, or_, select
from sqlalchemy.orm import InstrumentedAttribute, aliased

from storage.inbox import FINISHED, HAS_BODY
from storage.notifications import UNSENT
from storage.retention import Conditions, Kept
from storage.settings import Settings
from storage.tables import (
    Alert,
    AlertHistory,
    AnalysisRun,
    AuditEntry,
    CheckRun,
    Delivery,
    Incident,
    Notification,
    PipelineRun,
    RunDelivery,
)
from storage.vocabulary import (
    LIVE_INCIDENT,
    AlertEvent,
    AlertStatus,
    AnalysisStatus,
    DeliveryStatus,
    NotificationStatus,
)

# Events that come with every repetition of an alert, and on which nothing stands.
REPETITIONS = (AlertEvent.REFRESHED, AlertEvent.STALE)
OVER = (NotificationStatus.SENT, NotificationStatus.DEAD, NotificationStatus.DISCARDED)
ENDED = (AnalysisStatus.SUCCEEDED, AnalysisStatus.FAILED)

# What nobody has looked at for so long can no longer be replayed: it leaves the quarantine, and the alert about
# that may end.
_WITHOUT_BODY = case(
    (Delivery.status == DeliveryStatus.QUARANTINED, DeliveryStatus.DISCARDED), else_=Delivery.status
)


def _dealt_with(before: datetime) -> Conditions:
    """Finished before then, or left behind: all runs that took it had failed by then, and nobody replayed it."""
    held = select(RunDelivery.run_id).where(
        RunDelivery.delivery_id == Delivery.id,
        RunDelivery.run_id == PipelineRun.id,
        or_(PipelineRun.completed_at.is_(None), PipelineRun.completed_at >= before),
    )
    is_finished = and_(Delivery.status.in_(FINISHED), Delivery.finished_at < before)
    return (or_(is_finished, and_(Delivery.status == DeliveryStatus.CLAIMED, ~held.exists())),)


def _delivery_is_due(before: datetime) -> Conditions:
    going = select(RunDelivery.run_id).where(
        RunDelivery.delivery_id == Delivery.id,
        RunDelivery.run_id == PipelineRun.id,
        PipelineRun.completed_at.is_(None),
    )
    return (*_dealt_with(before), ~going.exists())


def _run_is_due(before: datetime) -> Conditions:
    """Over, and without a message that is still to be sent: who was told stands with the run."""
    unsent = Notification.status.in_(UNSENT)
    own = select(Notification.id).where(Notification.run_id == PipelineRun.run_id, unsent)
    in_hand = select(Notification.id).where(Notification.sender_run_id == PipelineRun.run_id, unsent)
    # A lease on a run that is over: somebody is just starting it again.
    return (PipelineRun.completed_at < before, PipelineRun.lease_owner == "", ~own.exists(), ~in_hand.exists())


def _message_is_due(before: datetime) -> Conditions:
    """Over, and its incident as well: who was told that it fires is told its end, and reminded until then."""
    incident = select(Incident.id).where(
        Incident.id == Notification.incident_id,
        or_(Incident.status.in_(LIVE_INCIDENT), Incident.updated_at >= before),
    )
    going = select(PipelineRun.id).where(
        PipelineRun.run_id == Notification.sender_run_id, PipelineRun.completed_at.is_(None)
    )
    return (
        Notification.status.in_(OVER),
        Notification.updated_at < before,
        ~incident.exists(),
        ~going.exists(),
    )


def _history_is_due(before: datetime) -> Conditions:  # noqa: ARG001  (its time is all that counts)
    """Of one that fires, or whose incident lives, only repetitions: the rest says what channels do not know."""
    resolved = select(Alert.id).where(
        Alert.id == AlertHistory.alert_id, Alert.status == AlertStatus.RESOLVED, ~_is_live(Alert.incident_id)
    )
    return (or_(AlertHistory.event.in_(REPETITIONS), resolved.exists()),)


def _analysis_is_due(before: datetime) -> Conditions:  # noqa: ARG001  (its time is all that counts)
    """Not of a live incident, and not the newest answer about one: later incidents of its group are told that."""
    newer = aliased(AnalysisRun)
    replaced = select(newer.id).where(
        newer.incident_id == AnalysisRun.incident_id,
        newer.status == AnalysisStatus.SUCCEEDED,
        newer.id > AnalysisRun.id,
    )
    is_no_answer = or_(AnalysisRun.status == AnalysisStatus.FAILED, AnalysisRun.incident_id.is_(None))
    return (
        AnalysisRun.status.in_(ENDED),
        or_(is_no_answer, replaced.exists()),
        ~_is_live(AnalysisRun.incident_id),
    )


def _is_live(incident_id: InstrumentedAttribute[int | None]) -> Exists:
    live = select(Incident.id).where(Incident.id == incident_id, Incident.status.in_(LIVE_INCIDENT))
    return live.exists()


def _is_over(before: datetime) -> Conditions:
    """Ended, and none of its alerts still fires: somebody may have closed it before that."""
    alert = aliased(Alert)
    firing = select(alert.id).where(alert.incident_id == Incident.id, alert.status == AlertStatus.FIRING)
    return (Incident.status.not_in(LIVE_INCIDENT), Incident.updated_at < before, ~firing.exists())


def _of_over_incident(incident_id: InstrumentedAttribute[int | None], before: datetime) -> Exists:
    return select(Incident.id).where(Incident.id == incident_id, *_is_over(before)).exists()


def _alert_is_over(before: datetime) -> ColumnElement[bool]:
    return and_(
        Alert.status == AlertStatus.RESOLVED,
        Alert.updated_at < before,
        or_(Alert.incident_id.is_(None), _of_over_incident(Alert.incident_id, before)),
    )


def _alert_is_due(before: datetime) -> Conditions:
    history = select(AlertHistory.id).where(AlertHistory.alert_id == Alert.id)
    return (_alert_is_over(before), ~history.exists())


def _incident_is_due(before: datetime) -> Conditions:
    """Over, and nothing else is left of it: what belongs to it goes first, in batches of its own."""
    left = (
        select(Alert.id).where(Alert.incident_id == Incident.id),
        select(Notification.id).where(Notification.incident_id == Incident.id),
        select(AnalysisRun.id).where(AnalysisRun.incident_id == Incident.id),
        select(PipelineRun.id).where(PipelineRun.incident_id == Incident.id, PipelineRun.completed_at.is_(None)),
    )
    return (*_is_over(before), *(~each.exists() for each in left))


BODIES = Kept(
    "bodies of deliveries",
    Delivery.id,
    Delivery.received_at,
    lambda before: (*_dealt_with(before), HAS_BODY),
    emptied={"body": b"", "status": _WITHOUT_BODY},
)
SENDER_IDS = Kept(
    "sender delivery ids",
    Delivery.id,
    Delivery.received_at,
    lambda before: (*_dealt_with(before), Delivery.sender_delivery_id.is_not(None)),
    emptied={"sender_delivery_id": None},
)
DELIVERIES = Kept("deliveries", Delivery.id, Delivery.received_at, _delivery_is_due)
RUNS = Kept("runs", PipelineRun.id, PipelineRun.created_at, _run_is_due)
CHECKS = Kept("check runs", CheckRun.id, CheckRun.executed_at, lambda _before: ())
HISTORY = Kept("alert history", AlertHistory.id, AlertHistory.created_at, _history_is_due)
MESSAGES = Kept("notifications", Notification.id, Notification.created_at, _message_is_due)
ANALYSES = Kept("analyses", AnalysisRun.id, AnalysisRun.created_at, _analysis_is_due)
AUDIT = Kept("audit entries", AuditEntry.id, AuditEntry.at, lambda _before: ())

# An incident goes with all that belongs to it, in this order.
WITH_INCIDENTS = (
    Kept(
        "alert history of old incidents",
        AlertHistory.id,
        AlertHistory.created_at,
        lambda before: (
            select(Alert.id).where(Alert.id == AlertHistory.alert_id, _alert_is_over(before)).exists(),
        ),
    ),
    Kept("notifications of old incidents", Notification.id, Notification.created_at, _message_is_due),
    Kept(
        "analyses of old incidents",
        AnalysisRun.id,
        AnalysisRun.created_at,
        lambda before: (AnalysisRun.status.in_(ENDED), _of_over_incident(AnalysisRun.incident_id, before)),
    ),
    Kept("alerts", Alert.id, Alert.received_at, _alert_is_due),
    Kept("incidents", Incident.id, Incident.created_at, _incident_is_due, named_in=(PipelineRun.incident_id,)),
)


def kept_days(settings: Settings) -> list[tuple[Kept, int]]:
    """Each kind, in the order in which they go, with the days that it stays; 0 for ever."""
    days = [
        (SENDER_IDS, settings.retain_delivery_ids_days),
        (BODIES, settings.retain_bodies_days),
        (RUNS, settings.retain_runs_days),
        (DELIVERIES, settings.retain_deliveries_days),
        (CHECKS, settings.retain_checks_days),
        (HISTORY, settings.retain_history_days),
        (MESSAGES, settings.retain_notifications_days),
        (ANALYSES, settings.retain_analyses_days),
        (AUDIT, settings.retain_audit_days),
    ]
    return days + [(kept, settings.retain_incidents_days) for kept in WITH_INCIDENTS]
