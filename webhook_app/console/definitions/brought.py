"""What somebody at a form gives a pipeline to work on: a stored delivery, a payload of their own, or nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, undefer

from storage import inbox
from storage.storable import storable, storable_text
from storage.tables import Delivery
from tasks.ingest import sources
from tasks.ingest.body import BodyError, read_body, read_json
from webhook_app import query

NEWEST = 20


class BroughtError(Exception):
    """What was given cannot be used; the message begins with the field's name."""


@dataclass(frozen=True)
class Brought:
    """`body` is None for nothing. `environment` is empty where none was told."""

    body: bytes | None = None
    payload: Any = None
    source: str = ""
    environment: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    title: str = "nothing"


def newest_deliveries(session: Session) -> Sequence[Delivery]:
    """What there is to choose from, without bodies."""
    return inbox.list_deliveries(session, limit=NEWEST)


def read_brought(session: Session, form: Mapping[str, str]) -> Brought:
    """What a form says: `delivery` a number or an id, or `payload` with its `source`. Raises BroughtError."""
    given, chosen, payload = (form.get(name, "").strip() for name in ("delivery", "newest", "payload"))
    source = form.get("source", "")
    if source and source not in sources.SOURCES:
        raise BroughtError(f"source: one of {', '.join(sources.SOURCES)}")
    if payload and (given or chosen):
        raise BroughtError("payload: give either a delivery or a payload")
    if payload:
        return _of_payload(payload, source)
    return _of_delivery(session, given or chosen, source) if given or chosen else Brought(source=source)


def _of_payload(text: str, source: str) -> Brought:
    body = text.encode("utf-8", "replace")
    try:
        value = storable(read_json(body))
    except BodyError as error:
        raise BroughtError(f"payload: {str(error).replace('the body', 'this')}") from None
    if not isinstance(value, dict | list):
        raise BroughtError("payload: must be a JSON object or a list")
    return Brought(body, value, source, title="a payload of your own")


def _of_delivery(session: Session, given: str, source: str) -> Brought:
    pk = query.read_id(given)
    which = Delivery.delivery_id == storable_text(given) if pk is None else Delivery.id == pk
    row = session.scalar(select(Delivery).where(which).options(undefer(Delivery.body)))
    if row is None:
        raise BroughtError(f"delivery: there is none of the number or id {query.shown(given)}")
    if not row.body:
        raise BroughtError(f"delivery: the body of delivery {row.id} is no longer kept")
    try:
        payload = storable(read_body(row.body, row.headers.get("Content-Type", "")))
    except BodyError:
        payload = None  # what comes of that is worth seeing too
    return Brought(
        row.body, payload, source or row.source, row.environment, row.headers, title=f"delivery {row.id}"
    )
