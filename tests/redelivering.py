"""What the relay does with messages in nobody's hands, for tests, without its loop and without Prefect."""

from typing import Any, cast

from notifying import context_of, end_run, hold_run

from flows.relay import Relay
from storage import settings
from storage.database import Database
from tasks.notify.stage import work

MANY = 40


def redeliver(database: Database) -> int:
    """Send what is due, until nothing is. Returns how many runs that took."""
    nobody = cast("Any", None)
    relay, count = Relay(settings.load(), link=nobody, executor=nobody, flow_of=nobody), 0
    while orders := relay._take_unsent():
        for order in orders:
            held = hold_run(database, order.run_id)
            try:
                work(context_of(held))
            except Exception as error:  # noqa: BLE001  (such a run fails, and its messages are tried again)
                print(error)
            end_run(database, held)
            count += 1
            assert count < MANY, "there is no end to it"
    return count
