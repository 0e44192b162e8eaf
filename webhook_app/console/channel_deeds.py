"""What people may do to channels: switch them on and off, try them, end their rest."""

from typing import Any

from storage import channel_standing, channels
from storage.tables import NotificationChannel
from storage.tables.base import utc_now
from tasks.errors import PermanentError, TransientError
from tasks.notify import one_off, retiring, saving
from tasks.notify.one_off import RateError, RestingError
from webhook_app.console.row_actions import Deed, FailedError, RefusedError, RowAction
from webhook_app.places import BusyError, sending


def rests(row: Any) -> bool:
    """Whether nothing is tried for a while; `row` has its standing."""
    standing = getattr(row, "standing", None)
    return bool(standing and standing.rests_until and standing.rests_until > utc_now())


def _enable(deed: Deed) -> None:
    row = _row(deed)
    if row.is_active:
        raise RefusedError(f"{row.name} is switched on already")
    # Before anything is locked, since a secret's keeper may take its time.
    try:
        saving.check_config(row.driver, row.config, stored=row.config)
    except (PermanentError, TransientError) as error:
        raise RefusedError(f"{row.name}: config: {error}") from None
    with deed.write() as session:
        if not channels.set_active(session, row.name, is_active=True):
            raise RefusedError(f"{row.name} was just removed")


def _disable(deed: Deed) -> None:
    row = _row(deed)
    if not row.is_active:
        raise RefusedError(f"{row.name} is switched off already")
    with deed.write() as session:
        retiring.switch_off(session, row.name)
        waiting = channel_standing.standings(session, [row.name])[row.name].waiting
        deed.said = f"{waiting} of its messages wait until it is on again" if waiting else ""


def _test(deed: Deed) -> None:
    channel = channels.record_of(_row(deed))
    with sending():
        with deed.database.write() as session:
            channels.wake(session, [channel.name])
        try:
            sent = one_off.try_out(channel)
        except (RateError, RestingError) as error:
            raise RefusedError(str(error)) from None
        except (PermanentError, TransientError) as error:
            raise FailedError(str(error)) from None
    detail = f" ({sent.receipt.detail})" if sent.receipt.detail else ""
    deed.said = f"{channel.name} took it after {sent.duration_seconds * 1000:.0f} ms{detail}"


def _wake(deed: Deed) -> None:
    name = _row(deed).name
    with deed.write() as session:
        state = channels.find_states(session, [name]).get(name)
        if state is None or state.rests_until is None or state.rests_until <= utc_now():
            raise RefusedError(f"{name} does not rest")
        channels.wake(session, [name])
        deed.said = "the next message shows whether it is back"


def _row(deed: Deed) -> NotificationChannel:
    with deed.database.read() as session:
        row = session.get(NotificationChannel, deed.pk)
    if row is None:
        raise RefusedError(f"there is no channel of number {deed.pk}")
    return row


ACTIONS = (
    RowAction(
        "test",
        "Send a test message",
        "reached by a test message",
        _test,
        refusals=(BusyError,),
        asks="A real message goes out now, also through a channel that is switched off. If it rests, that ends.",
        is_bulk=False,
    ),
    RowAction("wake", "End its rest", "tried again from now on", _wake, fits=rests),
    RowAction("enable", "Switch on", "switched on", _enable, fits=lambda row: not row.is_active),
    RowAction(
        "disable",
        "Switch off",
        "switched off",
        _disable,
        asks="No message goes to it until it is switched on again. What waits for it stays, and is sent then."
        " An alert that it fails ends.",
        fits=lambda row: row.is_active,
        is_grave=True,
    ),
)
