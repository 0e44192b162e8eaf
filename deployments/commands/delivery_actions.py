"""What `watchkeeper deliveries` does."""

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from rich.table import Table
from sqlalchemy.orm import Session

from deployments.commands.rows_output import (
    do_each,
    plain_lines,
    print_fields,
    print_rows,
    print_strict_json,
    read_since_flag,
    say,
)
from deployments.installed import installed_database
from storage import inbox
from storage.inbox import DeliveryNotFoundError, DeliveryStateError
from storage.settings import load
from storage.storable import storable_text
from storage.tables import Delivery
from storage.vocabulary import DeliveryStatus
from tasks.errors import PermanentError
from tasks.ingest import sources
from webhook_app.delivery_fields import delivery_details, delivery_fields

CHUNK = 100
REFUSALS = (DeliveryNotFoundError, DeliveryStateError)


def list_all(
    *,
    status: DeliveryStatus | None,
    source: str | None,
    pipeline: str,
    trace_id: str,
    since: str,
    limit: int,
    as_json: bool,
) -> None:
    """Print deliveries, newest first."""
    since_at = read_since_flag(since)
    with installed_database(load()) as database, database.read() as session:
        rows = inbox.list_deliveries(
            session,
            statuses=[status] if status else [],
            source=storable_text(source) if source is not None else None,
            pipeline=storable_text(pipeline),
            trace_id=storable_text(trace_id),
            since=since_at,
            limit=limit,
        )
    if as_json:
        print_strict_json({"count": len(rows), "deliveries": [delivery_fields(row) for row in rows]})
    elif not rows:
        say("no deliveries")
    else:
        print_rows(lambda: _table(rows), lambda: _lines(rows))


def show(delivery_id: str, *, as_json: bool, body: bool) -> None:
    """Print one delivery."""
    with installed_database(load()) as database, database.read() as session:
        delivery = inbox.find_delivery(session, storable_text(delivery_id))
        if delivery is None:
            raise PermanentError(f"there is no delivery {delivery_id!r}")
        if body:
            _print_body(session, delivery)
            return
        details = delivery_details(session, delivery)
    if as_json:
        print_strict_json(details)
    else:
        _print_details(details)


def replay(delivery_ids: Sequence[str], *, all_quarantined: bool, source: str | None) -> int:
    """Let a run take each once more. Returns the exit code."""
    if bool(delivery_ids) == all_quarantined:
        raise PermanentError("name the deliveries to replay, or --all-quarantined")
    if source is not None and source not in sources.SOURCES:
        raise PermanentError(f"unknown source {source!r}; one of {', '.join(sources.SOURCES)}")
    with installed_database(load()) as database:
        wanted: Sequence[str] = delivery_ids
        if all_quarantined:
            with database.read() as session:
                wanted = inbox.quarantined_ids(session)
            if not wanted:
                say("no delivery is quarantined whose body is still kept")
        act = partial(inbox.replay, source=source)
        return do_each(database, wanted, act, done="replayed", refusals=REFUSALS, at_once=CHUNK)


def discard(delivery_ids: Sequence[str], *, reason: str) -> int:
    """Set each aside for good. Returns the exit code."""
    with installed_database(load()) as database:
        act = partial(inbox.discard, reason=storable_text(reason))
        return do_each(database, delivery_ids, act, done="discarded", refusals=REFUSALS, at_once=CHUNK)


def _lines(rows: Sequence[Delivery]) -> Iterator[str]:
    """The list for a terminal of 80 columns or a pipe: what does not fit there is left to `show`."""
    yield _line("delivery", "received (UTC)", "source", "status")
    for row in rows:
        yield _line(row.delivery_id, f"{row.received_at:%Y-%m-%d %H:%M}", row.source, row.status)
        if reason := delivery_fields(row)["reason"]:
            yield f"    {plain_lines(reason)}"


def _line(delivery_id: str, received_at: str, source: str, status: str) -> str:
    return f"{delivery_id:36} {received_at:16} {source:12} {status}"


def _table(rows: Sequence[Delivery]) -> Table:
    table = Table()
    for heading in ("delivery", "received", "source", "pipeline", "status", "bytes"):
        table.add_column(heading, no_wrap=heading == "delivery", justify="right" if heading == "bytes" else "left")
    table.add_column("reason", overflow="fold")
    for row in rows:
        fields = delivery_fields(row)
        received_at = f"{row.received_at:%Y-%m-%d %H:%M:%S}Z"
        shown = (
            row.delivery_id,
            received_at,
            row.source,
            row.pipeline,
            row.status,
            row.body_bytes,
            fields["reason"],
        )
        table.add_row(*(plain_lines(value) for value in shown))
    return table


def _print_details(details: dict[str, Any]) -> None:
    runs = "\n".join(f"{run['run_id']} {run['status']}" for run in details["runs"])
    headers = "\n".join(f"{name}: {value}" for name, value in details["headers"].items())
    counts = ", ".join(f"{name} {number}" for name, number in details["counts"].items())
    print_fields({**details, "headers": headers, "counts": counts, "runs": runs})


def _print_body(session: Session, delivery: Delivery) -> None:
    if not inbox.has_body(session, delivery.id):
        raise PermanentError(f"the body of delivery {delivery.delivery_id} is no longer kept")
    sys.stdout.buffer.write(delivery.body)
    sys.stdout.buffer.flush()
