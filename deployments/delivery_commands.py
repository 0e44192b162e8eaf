"""`watchkeeper deliveries`: the inbox, to look through and to put right."""

import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text
from sqlalchemy.orm import Session

from deployments.installed import installed_database
from storage import inbox
from storage.database import Database, strict_json
from storage.inbox import DeliveryNotFoundError, DeliveryStateError
from storage.settings import load
from storage.storable import storable_text
from storage.tables import Delivery
from storage.tables.base import utc_now
from storage.vocabulary import DeliveryStatus
from tasks.errors import PermanentError
from tasks.ingest import sources
from webhook_app.delivery_fields import delivery_details, delivery_fields

deliveries = App(name="deliveries")

CHUNK = 100
LIMIT_MAX = 1000
# From this width on a row of the table takes a few lines at most.
TABLE_COLUMNS = 140
Json = Annotated[bool, Parameter(name="--json", help="Print JSON, as the API answers it.", negative="")]


@deliveries.command(name="list")
def list_all(
    *,
    status: Annotated[DeliveryStatus | None, Parameter(help="Only those that are that.")] = None,
    source: Annotated[str | None, Parameter(help='Only those of this source; "" where it is not known.')] = None,
    pipeline: Annotated[str, Parameter(help="Only those for this pipeline.")] = "",
    trace_id: Annotated[str, Parameter(help="Only those of this trace.")] = "",
    since: Annotated[str, Parameter(help="Only those received then or later: 2h, 7d, 2026-09-14T06:00:00Z.")] = "",
    limit: Annotated[int, Parameter(validator=Number(gte=1, lte=LIMIT_MAX))] = 20,
    as_json: Json = False,
) -> None:
    """List deliveries, newest first."""
    since_at = _read_since(since) if since else None
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
        _print_json({"count": len(rows), "deliveries": [delivery_fields(row) for row in rows]})
    else:
        _print_list(rows)


@deliveries.command
def show(
    delivery_id: str,
    /,
    *,
    as_json: Json = False,
    body: Annotated[bool, Parameter(help="Print the body, byte for byte, and nothing else.", negative="")] = False,
) -> None:
    """Show what became of one delivery."""
    with installed_database(load()) as database, database.read() as session:
        delivery = inbox.find_delivery(session, storable_text(delivery_id))
        if delivery is None:
            raise PermanentError(f"there is no delivery {delivery_id!r}")
        if body:
            _print_body(session, delivery)
            return
        details = delivery_details(session, delivery)
    if as_json:
        _print_json(details)
    else:
        _print_details(details)


@deliveries.command
def replay(
    *delivery_ids: str,
    all_quarantined: Annotated[bool, Parameter(help="All that could not be read.", negative="")] = False,
    source: Annotated[str | None, Parameter(help="Have them read as this source's.")] = None,
) -> int:
    """Let a run take deliveries once more. Alerts that are up to date are not changed by that."""
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
                _say("no delivery is quarantined whose body is still kept")
        return _do_each(database, wanted, partial(inbox.replay, source=source), done="replayed")


@deliveries.command
def discard(
    *delivery_ids: Annotated[str, Parameter(required=True)],
    reason: Annotated[str, Parameter(help="Why, for those who look at it later.")] = "",
) -> int:
    """Set deliveries aside for good that wait or are quarantined."""
    with installed_database(load()) as database:
        act = partial(inbox.discard, reason=storable_text(reason))
        return _do_each(database, delivery_ids, act, done="discarded")


def _read_since(text: str) -> datetime | None:
    from werkzeug.datastructures import MultiDict  # noqa: PLC0415  (keeps the other commands fast)

    from webhook_app.query import QueryError, read_since  # noqa: PLC0415

    try:
        return read_since(MultiDict({"since": text}), now=utc_now())
    except QueryError as error:
        raise PermanentError(f"--{error}") from None


def _do_each(database: Database, delivery_ids: Sequence[str], act: Callable[..., object], *, done: str) -> int:
    """Do it to each and say so, one line for each. Returns the exit code: 1 where one was refused."""
    refused = 0
    for start in range(0, len(delivery_ids), CHUNK):
        said: list[str] = []
        faults: list[str] = []
        with database.write() as session:
            for delivery_id in map(storable_text, delivery_ids[start : start + CHUNK]):
                try:
                    act(session, delivery_id)
                    said.append(f"{done} {delivery_id}")
                except (DeliveryNotFoundError, DeliveryStateError) as error:
                    faults.append(f"watchkeeper: {error}")
        # Only what is committed is said.
        _say(*said)
        sys.stderr.writelines(f"{fault}\n" for fault in faults)
        refused += len(faults)
    return 1 if refused else 0


def _print_list(rows: Sequence[Delivery]) -> None:
    console = Console()
    if not rows:
        _say("no deliveries")
    elif console.width >= TABLE_COLUMNS:
        console.print(_table(rows))
    else:
        console.print("\n".join(_lines(rows)), markup=False, highlight=False, soft_wrap=True)


def _lines(rows: Sequence[Delivery]) -> Iterator[str]:
    """The list for a terminal of 80 columns or a pipe: what does not fit there is left to `show`."""
    yield _line("delivery", "received (UTC)", "source", "status")
    for row in rows:
        yield _line(row.delivery_id, f"{row.received_at:%Y-%m-%d %H:%M}", row.source, row.status)
        if reason := delivery_fields(row)["reason"]:
            yield f"    {_plain(reason)}"


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
        table.add_row(*(_plain(value) for value in shown))
    return table


def _print_details(details: dict[str, Any]) -> None:
    table = Table("field", Column("value", overflow="fold"), show_header=False)
    runs = "\n".join(f"{run['run_id']} {run['status']}" for run in details["runs"])
    headers = "\n".join(f"{name}: {value}" for name, value in details["headers"].items())
    counts = ", ".join(f"{name} {number}" for name, number in details["counts"].items())
    for name, value in {**details, "headers": headers, "counts": counts, "runs": runs}.items():
        table.add_row(name, _plain("" if value is None else value))
    Console().print(table)


def _print_body(session: Session, delivery: Delivery) -> None:
    if not inbox.has_body(session, delivery.id):
        raise PermanentError(f"the body of delivery {delivery.delivery_id} is no longer kept")
    sys.stdout.buffer.write(delivery.body)
    sys.stdout.buffer.flush()


def _print_json(fields: dict[str, Any]) -> None:
    sys.stdout.buffer.write(strict_json(fields).encode() + b"\n")


def _say(*lines: str) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


def _plain(value: object) -> Text:
    """Text in which nothing that a sender wrote steers the terminal, or counts as markup."""
    return Text("".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in str(value)))
