"""Many rows of long ago, written in bulk: what an installation that has run for a while holds."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from rows import add_alert, add_incident
from sqlalchemy import func, insert, select, text
from sqlalchemy.orm import Session

from storage.database import Database
from storage.tables import (
    AlertHistory,
    AnalysisRun,
    CheckRun,
    Delivery,
    Notification,
    PipelineRun,
    RunDelivery,
    StageExecution,
)
from storage.tables.base import Base, utc_now
from storage.vocabulary import (
    AlertEvent,
    AlertStatus,
    AnalysisStatus,
    CheckStatus,
    DeliveryStatus,
    IncidentStatus,
    NotificationReason,
    NotificationStatus,
    RunStatus,
    Stage,
    StageStatus,
)

# Of one webhook: a delivery, its run with three stages, and what came of it.
ROWS_OF_ONE = 12
TABLES: tuple[type[Base], ...] = (
    Delivery,
    PipelineRun,
    RunDelivery,
    StageExecution,
    CheckRun,
    AlertHistory,
    Notification,
    AnalysisRun,
)
BODY = b'{"alerts": [' + b'{"status": "firing", "labels": {"alertname": "DiskFull"}},' * 30 + b"{}]}"
CHUNK = 500
STAGES = (Stage.INGEST, Stage.CHECK, Stage.NOTIFY)


def add_old_webhooks(database: Database, count: int, *, days_ago: float) -> None:
    """So many webhooks of that day, worked to their end, a second apart; all of one closed incident."""
    began_at = utc_now() - timedelta(days=days_ago)
    with database.write() as session:
        over = {"created_at": began_at, "updated_at": began_at, "closed_at": began_at}
        incident = add_incident(session, status=IncidentStatus.CLOSED, started_at=began_at, **over)
        alert = add_alert(
            session,
            status=AlertStatus.RESOLVED,
            incident_id=incident.id,
            received_at=began_at,
            updated_at=began_at,
            trace_id="",
        )
    for start in range(0, count, CHUNK):
        numbers = range(start, min(start + CHUNK, count))
        with database.write() as session:
            if not database.is_sqlite:  # nobody takes one of these numbers meanwhile: a live stack writes runs too
                session.execute(text("LOCK TABLE pipeline_runs, deliveries IN EXCLUSIVE MODE"))
            first = (session.scalar(select(func.max(PipelineRun.id))) or 0) + 1
            first_delivery = (session.scalar(select(func.max(Delivery.id))) or 0) + 1
            for table, of_one in _rows(incident.id, alert.id, first - start, first_delivery - start):
                rows = [row for n in numbers for row in of_one(n, began_at + timedelta(seconds=n % 3600))]
                session.execute(insert(table), rows)
            if not database.is_sqlite:
                _set_sequences(session)


def count_rows(database: Database) -> dict[str, int]:
    """How many rows each of the tables has."""
    with database.read() as session:
        return {
            table.__tablename__: session.scalar(select(func.count()).select_from(table)) or 0 for table in TABLES
        }


def _rows(incident_id: int, alert_id: int, run: int, delivery: int) -> list[tuple[type[Base], Any]]:
    """Each table with a function from a number and a time to its rows of one webhook."""
    done = {"status": StageStatus.SUCCEEDED, "attempt": 1, "output_snapshot": {"text": "x" * 500}}
    return [
        (Delivery, lambda n, at: [{
            "id": delivery + n, "delivery_id": str(uuid4()), "trace_id": f"trace-{n}", "source": "alertmanager",
            "pipeline": "full", "headers": {}, "body": BODY, "body_bytes": len(BODY), "sha256": "0" * 64,
            "sender_delivery_id": str(uuid4()), "status": DeliveryStatus.DONE,
            "received_at": at, "finished_at": at,
        }]),
        (PipelineRun, lambda n, at: [{
            "id": run + n, "run_id": str(uuid4()), "trace_id": f"trace-{n}", "definition_name": "full",
            "definition_version": 1, "status": RunStatus.NOTIFIED, "created_at": at, "updated_at": at,
            "completed_at": at, "incident_id": incident_id,
        }]),
        (RunDelivery, lambda n, _at: [{"run_id": run + n, "delivery_id": delivery + n}]),
        (StageExecution, lambda n, at: [
            {"pipeline_run_id": run + n, "stage": stage, "node_id": stage, "idempotency_key": f"{n}:{stage}",
             "started_at": at, "completed_at": at, **done}
            for stage in STAGES
        ]),
        (CheckRun, lambda n, at: [
            {"checker_name": name, "hostname": "db-1", "status": CheckStatus.OK, "executed_at": at,
             "metrics": {"used_percent": 51.5}, "trace_id": f"trace-{n}", "alert_id": alert_id}
            for name in ("cpu", "disk")
        ]),
        (AlertHistory, lambda n, at: [
            {"alert_id": alert_id, "event": event, "created_at": at, "trace_id": f"trace-{n}"}
            for event in (AlertEvent.REFIRED, AlertEvent.RESOLVED)
        ]),
        (Notification, lambda n, at: [{
            "channel": "ops", "driver": "generic", "incident_id": incident_id, "episode": 1,
            "reason": NotificationReason.REMINDER, "sequence": n, "status": NotificationStatus.SENT,
            "idempotency_key": str(uuid4()), "created_at": at, "updated_at": at, "sent_at": at,
            "message": "x" * 1000,
        }]),
        (AnalysisRun, lambda _n, at: [{
            "provider": "local", "status": AnalysisStatus.SUCCEEDED, "incident_id": incident_id, "created_at": at,
        }]),
    ]  # fmt: skip


def _set_sequences(session: Session) -> None:
    """The ids that were given here are taken."""
    for table in ("pipeline_runs", "deliveries"):
        session.execute(
            text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))")
        )
