"""`/alerts/deliveries/<delivery_id>/`: what became of an accepted webhook."""

from flask import Blueprint, Response, url_for

from storage import inbox
from webhook_app.access import require_api_token
from webhook_app.answers import answer, error_answer
from webhook_app.state import state

deliveries = Blueprint("deliveries", __name__, url_prefix="/alerts/deliveries")


@deliveries.get("/<delivery_id>/")
@require_api_token
def show(delivery_id: str) -> Response:
    """One delivery with the runs that took it."""
    with state().database.read() as session:
        delivery = inbox.find_delivery(session, delivery_id)
        if delivery is None:
            return error_answer(404, "unknown delivery")
        runs = inbox.runs_of(session, delivery.id)
        return answer(
            {
                "delivery_id": delivery.delivery_id,
                "trace_id": delivery.trace_id,
                "source": delivery.source,
                "pipeline": delivery.pipeline,
                "status": delivery.status,
                "reason": delivery.reason,
                "body_bytes": delivery.body_bytes,
                "sha256": delivery.sha256,
                "received_at": delivery.received_at.isoformat(),
                "finished_at": delivery.finished_at.isoformat() if delivery.finished_at else None,
                "runs": [
                    {
                        "run_id": run.run_id,
                        "status": run.status,
                        "url": url_for("orchestration.show_run", run_id=run.run_id),
                    }
                    for run in runs
                ],
            }
        )
