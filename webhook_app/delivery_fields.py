"""Deliveries as the API shows them, and the command line with `--json`. It knows no Flask."""

from typing import Any

from sqlalchemy.orm import Session

from storage import inbox
from storage.redaction import redact
from storage.tables import Delivery


def delivery_fields(delivery: Delivery) -> dict[str, Any]:
    """One delivery in a list."""
    fields = {
        "delivery_id": delivery.delivery_id,
        "trace_id": delivery.trace_id,
        "source": delivery.source,
        "pipeline": delivery.pipeline,
        "route": delivery.route,
        "environment": delivery.environment,
        "status": delivery.status,
        "reason": delivery.reason,
        "sender_delivery_id": delivery.sender_delivery_id,
        "body_bytes": delivery.body_bytes,
        "sha256": delivery.sha256,
        "received_at": delivery.received_at,
        "finished_at": delivery.finished_at,
    }
    shown: dict[str, Any] = redact(fields)
    return shown


def delivery_details(session: Session, delivery: Delivery) -> dict[str, Any]:
    """One delivery with its headers, the runs that took it, and how many alerts it was the last to change."""
    runs = inbox.runs_of(session, delivery.id)
    return {
        **delivery_fields(delivery),
        "headers": redact(delivery.headers),
        "is_body_kept": inbox.has_body(session, delivery.id),
        "counts": {"runs": len(runs), "alerts": inbox.count_alerts(session, delivery.trace_id)},
        "runs": [
            {"run_id": run.run_id, "status": run.status, "url": f"/orchestration/pipeline/{run.run_id}/"}
            for run in runs
        ],
    }
