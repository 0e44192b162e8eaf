"""One installation's rows as they are after a bad night: something of every kind and in every state."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

from rows import add_alert, add_delivery, add_incident, add_notification
from sqlalchemy import select
from sqlalchemy.orm import Session

from storage import audit, channels
from storage.alerts import add_history
from storage.database import Database
from storage.tables import (
    AnalysisRun,
    ChannelState,
    CheckRun,
    Delivery,
    Incident,
    IntelligenceProvider,
    PipelineRun,
    RunDelivery,
    StageExecution,
    Worker,
)
from storage.tables.base import utc_now
from storage.vocabulary import (
    AlertEvent,
    AlertStatus,
    AnalysisStatus,
    AuditOutcome,
    CheckStatus,
    DeliveryStatus,
    FailureKind,
    IncidentStatus,
    NotificationReason,
    NotificationStatus,
    RunStatus,
    RunVia,
    Severity,
    Stage,
    StageStatus,
)
from tasks.definition.library import save_presets

# What went wrong, where, and how bad it was.
TROUBLES = (
    ("Filesystem /var almost full", "db-03.example.net", Severity.CRITICAL, IncidentStatus.OPEN),
    ("Replication lag above 30 s", "db-04.example.net", Severity.WARNING, IncidentStatus.ACKNOWLEDGED),
    ("Certificate expires in 6 days", "www.example.net", Severity.INFO, IncidentStatus.OPEN),
    ("Checkout answers with 502", "shop-01.example.net", Severity.CRITICAL, IncidentStatus.RESOLVED),
    ("Load of 31 on 8 cores", "batch-02.example.net", Severity.WARNING, IncidentStatus.CLOSED),
)
# Without a place to break it, as hosts and paths are.
LONG_WORD = "averylonghostname" * 12
# How a run ended, and how far it came.
ENDS = (RunStatus.NOTIFIED, RunStatus.FAILED, RunStatus.RETRYING, RunStatus.PENDING, RunStatus.SKIPPED)
NODES = (
    (Stage.INGEST, "ingest"),
    (Stage.CHECK, "check"),
    (Stage.ANALYZE, "analyze"),
    (Stage.NOTIFY, "notify"),
)
ERROR = "PoolTimeout: no connection became free within 10 s (host hooks.example.net, try 3 of 3)"


def add_console_rows(database: Database) -> None:
    """Fill a fresh database."""
    with database.write() as session:
        save_presets(session)
        _add_settings(session)
        for number, trouble in enumerate(TROUBLES, start=1):
            _add_trouble(session, number, trouble)
        for status in DeliveryStatus:
            add_delivery(
                session,
                status=status,
                trace_id=_trace(90),
                source="alertmanager",
                reason="" if status is DeliveryStatus.DONE else "the body is no JSON: line 1, column 14",
            )
        _add_deeds(session)


def _add_settings(session: Session) -> None:
    hook = {"endpoint": "https://hooks.example.net/ops", "headers": {"Authorization": "Bearer not-to-be-seen"}}
    channels.add_channel(session, name="ops-hook", driver="generic", config=hook, description="The night shift")
    channels.add_channel(
        session, name="mail-old", driver="email", config={"smtp_host": "mail.example.net"}, is_active=False
    )
    session.add(
        ChannelState(
            channel="ops-hook",
            failures=7,
            failing_since=_ago(minutes=40),
            rests_until=utc_now() + timedelta(minutes=4),
            last_error=ERROR,
        )
    )
    session.add(IntelligenceProvider(name="main", provider="openai", config={"api_key": "sk-no"}, is_active=True))
    session.add(IntelligenceProvider(name="spare", provider="claude", config={}, description="If main is away"))
    session.add(Worker(owner="worker-1", hostname="watch-01", pid=4711, slots=4, in_flight=1, has_prefect=True))


def _add_trouble(session: Session, number: int, trouble: tuple[str, str, Severity, IncidentStatus]) -> None:
    what, host, severity, status = trouble
    began_at = _ago(hours=number * 3)
    incident = add_incident(
        session,
        title=f"{what} on {host}",
        severity=severity,
        status=status,
        group_label=f"alertname={what}, instance={host}",
        started_at=began_at,
        created_at=began_at,
        acknowledged_at=_ago(hours=1) if status is not IncidentStatus.OPEN else None,
        resolved_at=_ago(minutes=30) if status in {IncidentStatus.RESOLVED, IncidentStatus.CLOSED} else None,
        closed_at=_ago(minutes=10) if status is IncidentStatus.CLOSED else None,
        details={
            "notes": [{"at": began_at.isoformat(), "author": "mira", "text": "The nightly dump is the cause."}]
        },
    )
    has_ended = status in {IncidentStatus.RESOLVED, IncidentStatus.CLOSED}
    for each in (host, f"replica-of-{host}"):
        alert = add_alert(
            session,
            name=what,
            source="alertmanager",
            hostname=each,
            severity=severity,
            status=AlertStatus.RESOLVED if has_ended else AlertStatus.FIRING,
            incident_id=incident.id,
            trace_id=_trace(number),
            description=f"{what}: seen by three probes in a row.",
            labels={"alertname": what, "instance": each, "team": "storage", "password": "not-to-be-seen"},
            annotations={"runbook_url": "https://wiki.example.net/runbooks/disk", "summary": what},
            raw_payload={"status": "firing", "labels": {"alertname": what, "instance": each}},
            started_at=began_at,
            received_at=began_at,
            joined_at=began_at,
        )
        if has_ended:
            add_history(
                session, [{"alert_id": alert.id, "event": AlertEvent.RESOLVED, "trace_id": _trace(number)}]
            )
    _add_checks(session, number, host)
    run = _add_run(session, number, incident)
    _add_analysis(session, number, incident, run)
    _add_notifications(session, number, incident, run)


def _add_checks(session: Session, number: int, host: str) -> None:
    for status in CheckStatus:
        session.add(
            CheckRun(
                checker_name="disk",
                hostname=host,
                status=status,
                message=f"/var {91 + number}% used, 3.1 GiB left",
                metrics={"used_percent": 91.0 + number, "free_bytes": 3_328_599_654},
                warning_threshold=80.0,
                critical_threshold=90.0,
                duration_ms=12.5,
                executed_at=_ago(minutes=number),
                trace_id=_trace(number),
                error="" if status is not CheckStatus.UNKNOWN else "PermissionError: /mnt/backup",
            )
        )


def _add_run(session: Session, number: int, incident: Incident) -> PipelineRun:
    status = ENDS[number - 1]
    is_over = status not in {RunStatus.PENDING, RunStatus.RETRYING}
    began_at = _ago(hours=number)
    failed = {"last_error_type": "PoolTimeout", "last_error_message": ERROR, "last_error_retryable": True}
    run = PipelineRun(
        trace_id=_trace(number),
        run_id=str(UUID(int=number)),
        definition_name="full",
        definition_version=1,
        status=status,
        incident_id=incident.id,
        source="alertmanager",
        via=RunVia.DIRECT if number == len(ENDS) else RunVia.PREFECT,
        flow_run_id=str(UUID(int=100 + number)),
        total_attempts=1 + (status is RunStatus.FAILED),
        created_at=began_at,
        started_at=began_at,
        completed_at=began_at + timedelta(seconds=4) if is_over else None,
        total_duration_ms=4210.0 if is_over else None,
        **(failed if status in {RunStatus.FAILED, RunStatus.RETRYING} else {}),
    )
    session.add(run)
    session.flush()
    for stage in _stages_of(run, began_at):
        session.add(stage)
    delivery_id = add_delivery(
        session, status=DeliveryStatus.DONE, trace_id=_trace(number), source="alertmanager", received_at=began_at
    )
    delivery = session.scalars(select(Delivery).where(Delivery.delivery_id == delivery_id)).one()
    session.add(RunDelivery(run_id=run.id, delivery_id=delivery.id))
    return run


def _stages_of(run: PipelineRun, began_at: datetime) -> Iterator[StageExecution]:
    reached = {RunStatus.PENDING: 0, RunStatus.SKIPPED: 1, RunStatus.FAILED: 4, RunStatus.RETRYING: 4}
    for position, (stage, node_id) in enumerate(NODES[: reached.get(run.status, 4)]):
        is_bad = stage is Stage.NOTIFY and run.status in {RunStatus.FAILED, RunStatus.RETRYING}
        failed = {"error_type": "PoolTimeout", "error_message": ERROR, "error_stack": f"Traceback …\n{ERROR}"}
        for attempt in (1, 2) if is_bad else (1,):
            yield StageExecution(
                pipeline_run_id=run.id,
                stage=stage,
                node_id=node_id,
                status=StageStatus.FAILED if is_bad else StageStatus.SUCCEEDED,
                attempt=attempt,
                idempotency_key=f"{run.run_id}:{node_id}:{attempt}",
                output_snapshot=None if is_bad else {"alerts": 2, "created": [1, 2]},
                started_at=began_at + timedelta(seconds=position),
                completed_at=began_at + timedelta(seconds=position + 1),
                duration_ms=1043.0,
                **(failed if is_bad else {}),
            )


def _add_analysis(session: Session, number: int, incident: Incident, run: PipelineRun) -> None:
    is_well = number != len(ENDS)
    advice = {
        "type": "disk",
        "priority": "high",
        "title": f"Move the nightly dump off /var/{LONG_WORD}",
        "description": "The dump of 02:00 fills the filesystem; /srv has 400 GiB free.",
        "actions": ["Set DUMP_DIR=/srv/dumps", "Remove dumps older than 7 days"],
    }
    session.add(
        AnalysisRun(
            trace_id=run.trace_id,
            pipeline_run_id=run.run_id,
            provider="openai",
            model_name="a-model",
            status=AnalysisStatus.SUCCEEDED if is_well else AnalysisStatus.FAILED,
            failure_kind=None if is_well else FailureKind.NO_ANSWER,
            error_message="" if is_well else "no answer within 30 s",
            incident_id=incident.id,
            input_summary=incident.title,
            recommendations=[advice] if is_well else [],
            recommendations_count=1 if is_well else 0,
            summary=f"The disk of {LONG_WORD} fills up each night.",
            probable_cause="A dump that nothing removes.",
            confidence=0.82,
            prompt_tokens=812,
            completion_tokens=203,
            total_tokens=1015,
            created_at=_ago(hours=number),
            started_at=_ago(hours=number),
            completed_at=_ago(hours=number) + timedelta(seconds=2),
            duration_ms=2310.0,
        )
    )


def _add_notifications(session: Session, number: int, incident: Incident, run: PipelineRun) -> None:
    status = list(NotificationStatus)[number - 1]
    add_notification(
        session,
        channel="ops-hook",
        incident_id=incident.id,
        status=NotificationStatus.DEAD if number == len(TROUBLES) else status,
        trace_id=run.trace_id,
        run_id=run.run_id,
        title=f"[FIRING] {incident.severity}: {incident.title}",
        message="2 alerts are firing.\nProbable cause: a dump that nothing removes.",
        error_type="" if status is NotificationStatus.SENT else "PoolTimeout",
        error_message="" if status is NotificationStatus.SENT else ERROR,
        sent_at=_ago(minutes=5) if status is NotificationStatus.SENT else None,
    )
    add_notification(
        session,
        channel="ops-hook",
        incident_id=incident.id,
        reason=NotificationReason.ACKNOWLEDGED,
        status=NotificationStatus.SENT,
        trace_id=run.trace_id,
        run_id=run.run_id,
        attempts=1,
        sent_at=_ago(minutes=3),
    )


def _add_deeds(session: Session) -> None:
    deeds = (
        ("mira", "acknowledge", "incidents", 2, AuditOutcome.DONE, "I look at the replica"),
        ("jon", "retry", "pipeline_runs", 1, AuditOutcome.REFUSED, "it is not over as failed"),
        ("mira", "test", "notification_channels", 1, AuditOutcome.FAILED, ERROR),
    )
    for actor, action, kind, pk, outcome, detail in deeds:
        audit.record(
            session, actor=actor, action=action, object_type=kind, object_id=pk, outcome=outcome, detail=detail
        )


def _trace(number: int) -> str:
    return f"{number:032x}"


def _ago(**span: float) -> datetime:
    return utc_now() - timedelta(**span)
