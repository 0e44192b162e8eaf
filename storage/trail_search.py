"""What somebody means by an id that they type: an alert, a run, a delivery or a trace."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from storage.tables import Alert, AlertHistory, Delivery, PipelineRun

PREFIX_MIN_CHARS = 8
ID_MAX = 2**63 - 1
ALERT = "alert:"


@dataclass(frozen=True)
class Subject:
    """`kind`: alert, run, delivery or trace; `id` the alert's number as text, or the public id."""

    kind: str
    id: str
    about: str = ""


def find_subjects(session: Session, text: str, *, limit: int) -> list[Subject]:
    """What the text names: the exact ids, else whatever begins with it where it has PREFIX_MIN_CHARS or more.

    Exact ids are looked for in the order alert, run, delivery, trace, fingerprint; the first that fits is meant.
    """
    if text.startswith(ALERT):
        return _alerts(session, _by_number(text.removeprefix(ALERT)))
    for found in _exact(session, text, limit=limit):
        if found:
            return found
    return _beginning_with(session, text, limit=limit) if len(text) >= PREFIX_MIN_CHARS else []


def _exact(session: Session, text: str, *, limit: int) -> Iterator[list[Subject]]:
    yield _alerts(session, _by_number(text))
    yield [Subject("run", text)] if _has(session, PipelineRun.run_id, text) else []
    yield [Subject("delivery", text)] if _has(session, Delivery.delivery_id, text) else []
    traced = any(_has(session, column, text) for column in _TRACES)
    yield [Subject("trace", text)] if traced else []
    yield _alerts(session, select(Alert).where(Alert.fingerprint == text).order_by(Alert.id.desc()).limit(limit))


def _beginning_with(session: Session, text: str, *, limit: int) -> list[Subject]:
    ids = {
        "run": _starting(session, PipelineRun.run_id, text, limit),
        "delivery": _starting(session, Delivery.delivery_id, text, limit),
        "trace": {found for column in _TRACES for found in _starting(session, column, text, limit)},
    }
    begins = Alert.fingerprint.startswith(text, autoescape=True)
    alerts = _alerts(session, select(Alert).where(begins).order_by(Alert.id.desc()).limit(limit))
    return [*alerts, *(Subject(kind, found) for kind, several in ids.items() for found in sorted(several))]


_TRACES = (Delivery.trace_id, PipelineRun.trace_id, AlertHistory.trace_id)


def _by_number(text: str) -> Select[tuple[Alert]] | None:
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(ID_MAX)) and int(text) <= ID_MAX
    return select(Alert).where(Alert.id == int(text)) if is_number else None


def _alerts(session: Session, query: Select[tuple[Alert]] | None) -> list[Subject]:
    rows: Iterable[Alert] = () if query is None else session.scalars(query)
    return [Subject("alert", str(row.id), f"{row.source}: {row.name}") for row in rows]


def _has(session: Session, column: InstrumentedAttribute[str], text: str) -> bool:
    return session.scalar(select(column).where(column == text).limit(1)) is not None


def _starting(session: Session, column: InstrumentedAttribute[str], text: str, limit: int) -> set[Any]:
    query = select(column).where(column.startswith(text, autoescape=True)).distinct().limit(limit)
    return set(session.scalars(query))
