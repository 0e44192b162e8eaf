"""Accepted webhooks, and what became of them."""

from typing import Any

from flask import g, url_for
from markupsafe import Markup
from sqlalchemy.orm import Session

from storage import inbox, trail, workers
from storage.inbox import REASON_MAX_CHARS, DeliveryNotFoundError, DeliveryStateError
from storage.storable import storable_text
from storage.tables import Delivery
from storage.vocabulary import DeliveryStatus
from tasks.ingest.sources import SOURCES
from webhook_app.console import cells, filters
from webhook_app.console.links import row_link
from webhook_app.console.row_actions import Deed, Input, RowAction
from webhook_app.console.run_deeds import WAITS_FOR_WORKER
from webhook_app.console.table_view import Related, TableView
from webhook_app.delivery_fields import next_run, next_step
from webhook_app.state import state

ALERTS_SHOWN = 50
RUNS_SHOWN = 50
# A claimed one can be replayed once its runs are over; only the attempt shows whether they are.
REPLAYABLE = (*inbox.FINISHED, DeliveryStatus.CLAIMED)
REFUSALS = (DeliveryNotFoundError, DeliveryStateError)


def _replay(deed: Deed) -> None:
    with deed.write() as session:
        delivery_id = _public_id(session, deed)
        delivery = inbox.replay(session, delivery_id, source=deed.inputs["source"] or None)
        deed.said = next_run(delivery.pipeline, is_known=state().is_known(delivery.pipeline))


def _discard(deed: Deed) -> None:
    with deed.write() as session:
        inbox.discard(session, _public_id(session, deed), reason=storable_text(deed.inputs["reason"]))


def _public_id(session: Session, deed: Deed) -> str:
    row = session.get(Delivery, deed.pk)
    if row is None:
        raise DeliveryNotFoundError(f"there is no delivery of number {deed.pk}")
    return row.delivery_id


def _can_be_replayed(row: Any) -> bool:
    return row.status in REPLAYABLE and getattr(row, "is_body_kept", True)


REPLAY = RowAction(
    "replay",
    "Replay",
    "replayed",
    _replay,
    refusals=REFUSALS,
    asks="A run reads it once more. What it says is stored again, and people may be told of it again.",
    inputs=(
        Input("source", "Read it as", options=(("", "the source it has"), *((each, each) for each in SOURCES))),
    ),
    fits=_can_be_replayed,
)
DISCARD = RowAction(
    "discard",
    "Discard",
    "discarded",
    _discard,
    refusals=REFUSALS,
    asks="No run reads it any more. It stays here, and can be replayed while its body is kept.",
    inputs=(Input("reason", "Why", is_long=True, max_chars=REASON_MAX_CHARS),),
    fits=lambda row: row.status in inbox.DISCARDABLE,
    is_grave=True,
)


class DeliveryView(TableView):
    """One row: one delivery. Its body is shown nowhere: there the secrets of senders stay."""

    table = Delivery
    noun = "delivery"
    columns = (
        "delivery_id",
        "status",
        "source",
        "pipeline",
        "route",
        "environment",
        "body_bytes",
        "received_at",
        "reason",
    )
    details = (
        "status",
        "reason",
        "source",
        "pipeline",
        "route",
        "environment",
        "received_at",
        "finished_at",
        "body_bytes",
        "sha256",
        "headers",
        "sender_delivery_id",
        "delivery_id",
        "trace_id",
    )
    labels = {
        "delivery_id": "Delivery",
        "body_bytes": "Size",
        "received_at": "Received",
        "finished_at": "Finished",
        "sha256": "SHA-256",
        "sender_delivery_id": "Sender's id",
        "trace_id": "Trace",
    }
    formatters = {
        "delivery_id": lambda view, _context, row, _name: Markup('<span class="whole">{}</span>').format(
            view.link(row, row.delivery_id[:8])
        ),
        "body_bytes": lambda _view, _context, row, _name: f"{row.body_bytes:,} bytes",
    }
    column_formatters_detail = {"body_bytes": lambda _view, _context, row, _name: _size(row)}
    orders = (Delivery.received_at,)
    filters = (
        filters.words("status", Delivery.status, DeliveryStatus),
        filters.exactly("source", Delivery.source, options=SOURCES),
        filters.exactly("pipeline", Delivery.pipeline),
        filters.exactly("environment", Delivery.environment),
        filters.since(Delivery.received_at),
    )
    led_by = ("status",)
    row_actions = (REPLAY, DISCARD)
    empty_hint = "A webhook to /alerts/webhook/<source>/ is one."
    search_hint = "delivery, trace or run"
    detail_template = "console/next_details.html"

    def __init__(self) -> None:
        super().__init__(name="Deliveries", endpoint="delivery_rows", url="deliveries")

    def title_of(self, row: Any) -> str:
        """Its public id."""
        return f"Delivery {row.delivery_id}"

    def get_one(self, id: Any) -> Any:  # noqa: A002  (Flask-Admin's name)
        """The row, and whether its body is still kept."""
        row = super().get_one(id)
        if row is not None:
            row.is_body_kept = inbox.has_body(g.session, row.id)
        return row

    def around(self, session: Session, row: Any) -> dict[str, Any]:
        """The runs that took it, the alerts it touched, and what happens next."""
        runs = inbox.runs_of(session, row.id)
        alerts = trail.alerts_of_traces(session, [row.trace_id], limit=ALERTS_SHOWN)
        next_said = next_step(
            row,
            runs=runs,
            is_body_kept=row.is_body_kept,
            is_pipeline_known=state().is_known(row.pipeline),
        )
        if row.status is DeliveryStatus.WAITING and not workers.alive(session):
            next_said += f"; {WAITS_FOR_WORKER}"
        return {
            "next": next_said,
            "related": [
                Related(
                    "Runs that took it",
                    ("run_id", "status", "definition_name", "created_at", "completed_at"),
                    runs[-RUNS_SHOWN:],
                    formatters={"run_id": cells.run},
                ),
                Related(
                    "Alerts of its trace",
                    ("name", "status", "severity", "hostname", "incident_id", "received_at"),
                    alerts,
                    url=url_for("alert_rows.index_view", search=row.trace_id) if alerts else "",
                    formatters={
                        "name": lambda _view, _context, alert, _name: row_link("alert_rows", alert.id, alert.name),
                        "incident_id": cells.incident,
                    },
                ),
            ],
        }


def _size(row: Any) -> Markup:
    kept = "kept, and shown nowhere" if row.is_body_kept else "no longer kept"
    return Markup("{} bytes; the body is {}").format(f"{row.body_bytes:,}", kept)
