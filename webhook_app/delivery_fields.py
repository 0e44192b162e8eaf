"""Deliveries as the API shows them, and the command line with `--json`. It knows no Flask."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy.orm import Session

from storage import inbox
from storage.redaction import redact
from storage.tables import Delivery, PipelineRun
from storage.vocabulary import DeliveryStatus


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


def next_step(
    delivery: Delivery, *, runs: Iterable[PipelineRun], is_body_kept: bool, is_pipeline_known: bool
) -> str:
    """What becomes of a delivery now, in plain words. `runs` are those that took it."""
    match delivery.status:
        case DeliveryStatus.WAITING:
            return next_run(delivery.pipeline, is_known=is_pipeline_known)
        case DeliveryStatus.CLAIMED:
            holder = next((run for run in runs if run.completed_at is None), None)
            left = "nothing by itself: its runs ended before they had read it; replay lets another take it"
            return f"run {holder.run_id} has it in hand" if holder else left
        case DeliveryStatus.QUARANTINED if delivery.finished_at is None:
            return "a run looks at it once more, and raises an alert about it"
    return _AT_REST[delivery.status] if is_body_kept else "nothing: its body is no longer kept"


def next_run(pipeline: str, *, is_known: bool) -> str:
    """What becomes of a delivery that waits."""
    if is_known:
        return f"a run of pipeline {pipeline} takes it next"
    return f"no active pipeline {pipeline} takes webhooks: unless one does by then, it is quarantined"


_AT_REST = {
    DeliveryStatus.DONE: "nothing: it was dealt with; replay lets a run take it once more",
    DeliveryStatus.QUARANTINED: "nothing by itself: replay lets a run read it again, also as another source;"
    " discard sets it aside",
    DeliveryStatus.DISCARDED: "nothing: it was set aside; replay lets a run take it after all",
}
