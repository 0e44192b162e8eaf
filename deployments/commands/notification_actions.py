"""What `watchkeeper notifications` does."""

from collections.abc import Callable, Iterator, Sequence
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
from storage import outbox_actions
from storage.database import Database
from storage.outbox_actions import NotificationNotFoundError, NotificationStateError
from storage.settings import load
from storage.storable import storable_text
from storage.tables import Notification
from storage.tables.base import utc_now
from storage.vocabulary import NotificationReason, NotificationStatus
from tasks.errors import PermanentError
from tasks.notify.text import humanize_duration, one_line
from webhook_app.notification_fields import counts_line, notification_details, notification_fields
from webhook_app.query import read_id

REFUSALS = (NotificationNotFoundError, NotificationStateError)


def list_all(
    *,
    status: Sequence[NotificationStatus],
    channel: str,
    incident_id: int | None,
    reason: Sequence[NotificationReason],
    trace_id: str,
    since: str,
    limit: int,
    as_json: bool,
) -> None:
    """Print messages, newest first, and what of all of them has not arrived."""
    since_at = read_since_flag(since)
    with installed_database(load()) as database, database.read() as session:
        rows = outbox_actions.list_notifications(
            session,
            statuses=status,
            reasons=reason,
            channel=storable_text(channel),
            incident_id=incident_id,
            trace_id=storable_text(trace_id),
            since=since_at,
            limit=limit,
        )
        counts = outbox_actions.count_by_status(session)
    if as_json:
        page = [notification_fields(row) for row in rows]
        print_strict_json({"counts": counts, "count": len(page), "notifications": page})
        return
    if rows:
        print_rows(lambda: _table(rows), lambda: _lines(rows))
    else:
        say("no notifications")
    if line := counts_line(counts):
        say(line)


def show(notification_id: str, *, as_json: bool) -> None:
    """Print one message."""
    settings = load()
    with installed_database(settings) as database, database.read() as session:
        pk = read_id(notification_id)
        row = outbox_actions.find(session, pk) if pk else None
        if row is None:
            raise PermanentError(_unknown(notification_id))
        details = notification_details(session, row, tries=len(settings.notify_retry_seconds) + 1)
    if as_json:
        print_strict_json(details)
    else:
        _print_details(details)


def retry(notification_ids: Sequence[str], *, all_dead: bool, channel: str) -> int:
    """Let each be sent now. Returns the exit code."""
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
                say("there is no dead letter" + (" to that channel" if channel else ""))
        return _do_each(database, wanted, outbox_actions.retry, done="retried")


def discard(notification_ids: Sequence[str], *, reason: str) -> int:
    """Set each aside for good. Returns the exit code."""
    with installed_database(load()) as database:
        act = partial(outbox_actions.discard, reason=storable_text(reason))
        return _do_each(database, notification_ids, act, done="discarded")


def _do_each(database: Database, names: Sequence[str], act: Callable[[Session, int], object], *, done: str) -> int:
    """Each in a transaction of its own, since each locks the run of its message."""

    def act_on(session: Session, name: str) -> None:
        pk = read_id(name)
        if pk is None:
            raise NotificationNotFoundError(_unknown(name))
        act(session, pk)

    return do_each(database, names, act_on, done=done, refusals=REFUSALS)


def _unknown(text: str) -> str:
    return f"there is no notification {storable_text(text)!r}"


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
                yield f"    {plain_lines(one_line(said))}"


def _line(pk: object, made_at: str, channel: str, incident: object, fate: str) -> str:
    return f"{pk:>8} {made_at:16} {plain_lines(channel)!s:16} {incident:>8} {fate}"


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
        table.add_row(*(plain_lines(value) for value in shown))
    return table


def _next_try(row: Notification) -> str:
    wait = row.due_at - utc_now()
    return f"in {humanize_duration(wait)}" if wait.total_seconds() > 0 else "now"


def _print_details(details: dict[str, Any]) -> None:
    runs = "\n".join(f"{run['run_id']} {run['pipeline']} {run['status']}" for run in details["runs"])
    stand_ins = "\n".join(f"{each['id']} {each['channel']} {each['status']}" for each in details["stand_ins"])
    print_fields({**details, "runs": runs, "stand_ins": stand_ins, "allowed": ", ".join(details["allowed"])})
