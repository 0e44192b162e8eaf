"""`watchkeeper notifications`: the messages to people, to look through and to put right."""

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

from deployments.installed import installed_database
from storage import outbox_actions
from storage.database import Database, strict_json
from storage.outbox_actions import NotificationNotFoundError, NotificationStateError
from storage.settings import load
from storage.storable import storable_text
from storage.tables import Notification
from storage.tables.base import utc_now
from storage.vocabulary import NotificationReason, NotificationStatus
from tasks.errors import PermanentError
from tasks.notify.text import humanize_duration, one_line
from webhook_app.notification_fields import counts_line, notification_details, notification_fields

notifications = App(name="notifications")

LIMIT_MAX = 1000
# From this width on a row of the table takes a few lines at most.
TABLE_COLUMNS = 140
# A larger number makes the databases raise.
ID_MAX = 2**63 - 1
Json = Annotated[bool, Parameter(name="--json", help="Print JSON, as the API answers it.", negative="")]


@notifications.command(name="list")
def list_all(
    *,
    status: Annotated[
        list[NotificationStatus] | None, Parameter(help="Only those that are that; repeatable.", negative="")
    ] = None,
    channel: Annotated[str, Parameter(help="Only those to this channel.")] = "",
    incident_id: Annotated[
        int | None, Parameter(help="Only those about this incident.", validator=Number(gte=1, lte=ID_MAX))
    ] = None,
    reason: Annotated[
        list[NotificationReason] | None, Parameter(help="Only those for this reason; repeatable.", negative="")
    ] = None,
    trace_id: Annotated[str, Parameter(help="Only those of this trace.")] = "",
    since: Annotated[str, Parameter(help="Only those made then or later: 2h, 7d, 2026-09-14T06:00:00Z.")] = "",
    limit: Annotated[int, Parameter(validator=Number(gte=1, lte=LIMIT_MAX))] = 20,
    as_json: Json = False,
) -> None:
    """List messages, newest first, and what of all of them has not arrived."""
    since_at = _read_since(since) if since else None
    with installed_database(load()) as database, database.read() as session:
        rows = outbox_actions.list_notifications(
            session,
            statuses=status or [],
            reasons=reason or [],
            channel=storable_text(channel),
            incident_id=incident_id,
            trace_id=storable_text(trace_id),
            since=since_at,
            limit=limit,
        )
        counts = outbox_actions.count_by_status(session)
    if as_json:
        page = [notification_fields(row) for row in rows]
        _print_json({"counts": counts, "count": len(page), "notifications": page})
        return
    _print_list(rows)
    if line := counts_line(counts):
        _say(line)


@notifications.command
def show(notification_id: str, /, *, as_json: Json = False) -> None:
    """Show what was said in one message, what became of it, and what happens next."""
    settings = load()
    with installed_database(settings) as database, database.read() as session:
        pk = _read_id(notification_id)
        row = outbox_actions.find(session, pk) if pk else None
        if row is None:
            raise PermanentError(_unknown(notification_id))
        details = notification_details(session, row, tries=len(settings.notify_retry_seconds) + 1)
    if as_json:
        _print_json(details)
    else:
        _print_details(details)


@notifications.command
def retry(
    *notification_ids: str,
    all_dead: Annotated[bool, Parameter(help="All dead letters.", negative="")] = False,
    channel: Annotated[str, Parameter(help="With --all-dead: only those to this channel.")] = "",
) -> int:
    """Let messages be sent now that are dead letters, wait, or were discarded. Whatever worker runs takes them."""
    if bool(notification_ids) == all_dead:
        raise PermanentError("name the notifications to retry, or --all-dead")
    if channel and not all_dead:
        raise PermanentError("--channel goes with --all-dead")
    with installed_database(load()) as database:
        wanted: Sequence[str] = notification_ids
        if all_dead:
            with database.read() as session:
                wanted = [str(pk) for pk in outbox_actions.dead_ids(session, channel=storable_text(channel))]
            if not wanted:
                _say("there is no dead letter" + (" to that channel" if channel else ""))
        return _do_each(database, wanted, outbox_actions.retry, done="retried")


@notifications.command
def discard(
    *notification_ids: Annotated[str, Parameter(required=True)],
    reason: Annotated[str, Parameter(help="Why, for those who look at it later.")] = "",
) -> int:
    """Set messages aside for good that wait or are dead letters."""
    with installed_database(load()) as database:
        act = partial(outbox_actions.discard, reason=storable_text(reason))
        return _do_each(database, notification_ids, act, done="discarded")


def _read_since(text: str) -> datetime | None:
    from werkzeug.datastructures import MultiDict  # noqa: PLC0415  (keeps the other commands fast)

    from webhook_app.query import QueryError, read_since  # noqa: PLC0415

    try:
        return read_since(MultiDict({"since": text}), now=utc_now())
    except QueryError as error:
        raise PermanentError(f"--{error}") from None


def _read_id(text: str) -> int | None:
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(ID_MAX))
    return int(text) if is_number and 0 < int(text) <= ID_MAX else None


def _unknown(text: str) -> str:
    return f"there is no notification {storable_text(text)!r}"


def _do_each(database: Database, texts: Sequence[str], act: Callable[..., object], *, done: str) -> int:
    """Do it to each and say so, one line for each. Returns the exit code: 1 where one was refused.

    Each in a transaction of its own, since each locks the run of its message.
    """
    refused = 0
    for text in texts:
        pk = _read_id(text)
        try:
            if pk is None:
                raise NotificationNotFoundError(_unknown(text))  # noqa: TRY301
            with database.write() as session:
                act(session, pk)
            _say(f"{done} {pk}")
        except (NotificationNotFoundError, NotificationStateError) as error:
            sys.stderr.write(f"watchkeeper: {error}\n")
            refused += 1
    return 1 if refused else 0


def _print_list(rows: Sequence[Notification]) -> None:
    console = Console()
    if not rows:
        _say("no notifications")
    elif console.width >= TABLE_COLUMNS:
        console.print(_table(rows))
    else:
        lines = "\n".join(_lines(rows))
        console.print(lines, markup=False, highlight=False, soft_wrap=True)


def _lines(rows: Sequence[Notification]) -> Iterator[str]:
    """The list for a terminal of 80 columns or a pipe: what does not fit there is left to `show`."""
    yield _line("id", "made (UTC)", "channel", "incident", "reason and status")
    for row in rows:
        fields = notification_fields(row)
        made_at = f"{row.created_at:%Y-%m-%d %H:%M}"
        yield _line(row.id, made_at, row.channel, row.incident_id, f"{row.reason} {row.status}")
        tries = f"{row.attempts} {'try' if row.attempts == 1 else 'tries'} so far, next {_next_try(row)}"
        waits = tries if fields["next_try_at"] else ""
        for said in (fields["title"], waits, fields["error_message"]):
            if said:
                yield f"    {_plain(one_line(said))}"


def _line(pk: object, made_at: str, channel: str, incident: object, fate: str) -> str:
    return f"{pk:>8} {made_at:16} {_plain(channel)!s:16} {incident:>8} {fate}"


def _table(rows: Sequence[Notification]) -> Table:
    table = Table()
    for heading in ("id", "made", "channel", "incident", "reason", "status", "tries", "next try"):
        is_number = heading in ("id", "incident", "tries")
        table.add_column(heading, no_wrap=heading == "id", justify="right" if is_number else "left")
    table.add_column("title", overflow="fold")
    table.add_column("error", overflow="fold")
    for row in rows:
        fields = notification_fields(row)
        shown = (
            row.id,
            f"{row.created_at:%Y-%m-%d %H:%M:%S}Z",
            row.channel + (f" for {row.instead_of}" if row.instead_of else ""),
            row.incident_id,
            row.reason,
            row.status,
            row.attempts,
            _next_try(row) if fields["next_try_at"] else "",
            one_line(fields["title"]),
            one_line(fields["error_message"]),
        )
        table.add_row(*(_plain(value) for value in shown))
    return table


def _next_try(row: Notification) -> str:
    wait = row.due_at - utc_now()
    return f"in {humanize_duration(wait)}" if wait.total_seconds() > 0 else "now"


def _print_details(details: dict[str, Any]) -> None:
    table = Table("field", Column("value", overflow="fold"), show_header=False)
    runs = "\n".join(f"{run['run_id']} {run['pipeline']} {run['status']}" for run in details["runs"])
    stand_ins = "\n".join(f"{each['id']} {each['channel']} {each['status']}" for each in details["stand_ins"])
    allowed = ", ".join(details["allowed"])
    shown = {**details, "runs": runs, "stand_ins": stand_ins, "allowed": allowed}
    for name, value in shown.items():
        table.add_row(name, _plain("" if value is None else value))
    Console().print(table)


def _print_json(fields: dict[str, Any]) -> None:
    sys.stdout.buffer.write(strict_json(fields).encode() + b"\n")


def _say(*lines: str) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


def _plain(value: object) -> Text:
    """Text in which nothing that a sender wrote steers the terminal, or counts as markup."""
    return Text("".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in str(value)))
