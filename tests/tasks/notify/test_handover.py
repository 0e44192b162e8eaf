"""Messages that change hands: two workers at once, resumed runs, what is on its way, and whose turn it is."""

import threading
import time
from datetime import timedelta
from typing import Any, cast

import pytest
from notifying import (
    RESOLVED,
    add_channel,
    add_incidents,
    context_of,
    end_run,
    hold_run,
    messages,
    tell,
    told,
)
from redelivering import redeliver
from rows import add_notification
from sinks import Answer, HttpSink
from sqlalchemy import event, select, update

from flows.relay import Relay
from storage import channels, handover, notifications, outbox_actions, settings
from storage.database import Database
from storage.tables import ChannelState, Notification, PipelineRun
from storage.tables.base import utc_now
from storage.vocabulary import NotificationStatus
from tasks.errors import PermanentError
from tasks.notify import outbox, sending
from tasks.notify.channels import CHANNELS
from tasks.notify.outbox import announce
from tasks.notify.sending import LONGEST_TIMEOUT_SECONDS, TimeLimit
from tasks.notify.stage import work

MINUTE = timedelta(minutes=1)


def relay() -> Relay:
    nobody = cast("Any", None)
    return Relay(settings.load(), link=nobody, executor=nobody, flow_of=nobody)


def change_all(database: Database, **values: Any) -> None:
    with database.write() as session:
        session.execute(update(Notification).values(**values))


def let_rest(database: Database, channel: str, **values: Any) -> None:
    """The channel's circuit is open."""
    given = {"failures": 9, "failing_since": utc_now(), "rests_until": utc_now() + MINUTE, "last_error": "503"}
    with database.write() as session:
        session.add(ChannelState(channel=channel, **(given | values)))


def test_a_relay_whose_look_began_before_anothers_end_does_not_take_its_messages(database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("it has one writer")
    with database.write() as session:
        add_notification(session, status=NotificationStatus.PENDING, attempts=0)
    slow = threading.Event()

    @event.listens_for(database.engine, "before_cursor_execute", retval=True)
    def nap(_conn: Any, _cursor: Any, statement: str, params: Any, *_: Any) -> tuple[str, Any]:
        if slow.is_set() and "SKIP LOCKED" in statement:
            slow.clear()
            statement = statement.replace(
                "FROM notifications", "FROM (SELECT pg_sleep(0.7)) AS nap, notifications", 1
            )
        return statement, params

    taken: list[Any] = []
    slow.set()
    second = threading.Thread(target=lambda: taken.extend(relay()._take_unsent()))
    second.start()
    while slow.is_set():
        time.sleep(0.01)
    taken += relay()._take_unsent()
    second.join()

    assert len(taken) == 1


def test_a_claim_takes_nothing_that_was_sent_or_taken_since_it_looked(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_channel(database, "ops", "http://127.0.0.1:9/")
    held, changes = hold_run(database), add_incidents(database, 3)
    with database.write() as session:
        announce(session, changes, run=held)
        active = {each.name: each for each in channels.active_channels(session)}
    sent, taken, mine = messages(database)
    lock = channels.lock_states

    def meanwhile(session: Any, names: Any) -> Any:
        # In the same transaction, so that this goes for SQLite too: the rows that were read are old by now.
        table = Notification.__table__
        session.execute(update(table).where(table.c.id == sent.id).values(status=NotificationStatus.SENT))
        session.execute(update(table).where(table.c.id == taken.id).values(claim=7))
        return lock(session, names)

    monkeypatch.setattr(outbox.channels, "lock_states", meanwhile)

    with database.write() as session:
        claimed = outbox.claim(session, held, active, lost_at=utc_now() + MINUTE)

    assert [message.pk for message in claimed.messages] == [mine.id]
    assert [row.claim for row in messages(database)] == [0, 7, 1]


def test_what_is_still_on_its_way_is_not_sent_again_by_its_run_that_somebody_resumes(database: Database) -> None:
    with HttpSink(default=Answer(delay_seconds=0.8)) as slow:
        add_channel(database, "ops", slow.url)
        held, changes = hold_run(database), add_incidents(database)
        work(context_of(held, changes, timeout_seconds=0.3))
        end_run(database, held)

        again = hold_run(database, held.run_id)
        work(context_of(again, changes))
        end_run(database, again)
        until = time.monotonic() + 10
        while messages(database)[0].status is NotificationStatus.SENDING and time.monotonic() < until:
            time.sleep(0.02)
        redeliver(database)

        assert len(slow.requests) == 1
    assert told(database) == [("ops", "firing", "sent")]


def test_what_another_process_may_still_be_sending_is_left_alone_by_a_resumed_run(
    database: Database, http_sink: HttpSink
) -> None:
    add_channel(database, "ops", http_sink.url)
    held, changes = hold_run(database), add_incidents(database)
    with database.write() as session:
        announce(session, changes, run=held)
        [row] = notifications.unsent_in_hand(session, held.run_id)
        notifications.claim(row, send_at=utc_now(), lost_at=utc_now() + MINUTE)
    end_run(database, held)

    again = hold_run(database, held.run_id)
    work(context_of(again, changes))
    end_run(database, again)
    early = len(http_sink.requests)
    change_all(database, due_at=utc_now())
    redeliver(database)

    assert (early, told(database)) == (0, [("ops", "firing", "sent")])


def test_nothing_is_taken_for_lost_before_the_slowest_driver_must_be_done() -> None:
    limit = TimeLimit.of(context_of(cast("Any", None), timeout_seconds=300))

    lost_after = (limit.lost_at() - utc_now()).total_seconds()

    assert 300 * 0.75 + LONGEST_TIMEOUT_SECONDS < lost_after < 300 * 0.75 + LONGEST_TIMEOUT_SECONDS + 60


@pytest.mark.parametrize("kind", sorted(CHANNELS))
def test_no_driver_may_be_told_to_wait_for_longer(kind: str) -> None:
    properties = CHANNELS[kind].Config.model_json_schema()["properties"]

    assert properties["timeout"]["maximum"] <= LONGEST_TIMEOUT_SECONDS


def test_what_this_process_sends_for_too_long_is_not_taken_by_run_after_run(
    database: Database, http_sink: HttpSink
) -> None:
    add_channel(database, "ops", http_sink.url)
    held, changes = hold_run(database), add_incidents(database)
    with database.write() as session:
        announce(session, changes, run=held)
        [row] = notifications.unsent_in_hand(session, held.run_id)
        late = notifications.claim(row, send_at=utc_now(), lost_at=utc_now())
    end_run(database, held)

    with sending._on_their_way.holding(late.pk):
        count = redeliver(database)

    assert (count, len(http_sink.requests)) == (1, 0)
    assert messages(database)[0].due_at > utc_now() + MINUTE


def test_a_redelivery_run_that_is_resumed_sends_again_what_it_had_in_hand(
    database: Database, http_sink: HttpSink
) -> None:
    with HttpSink(default=410) as gone:
        add_channel(database, "ops", gone.url)
        [change] = add_incidents(database)
        with database.write() as session:
            announce(session, [change])
        redeliver(database)
    with database.write() as session:
        channels.edit_channel(session, "ops", config={"endpoint": http_sink.url})
        run_id = session.scalars(select(PipelineRun.run_id).order_by(PipelineRun.id)).first()
    assert told(database) == [("ops", "firing", "dead")]

    work(context_of(hold_run(database, str(run_id))))

    assert told(database) == [("ops", "firing", "sent")]


@pytest.mark.parametrize("is_retry", [True, False], ids=["retried", "revived"])
def test_an_old_dead_letter_that_is_sent_once_more_waits_as_long_as_a_new_one(
    database: Database, *, is_retry: bool
) -> None:
    add_channel(database, "ops", "http://127.0.0.1:9/")
    held = hold_run(database)
    end_run(database, held)
    old = utc_now() - timedelta(days=3)
    with database.write() as session:
        pk = add_notification(session, created_at=old, waiting_since=old, run_id=held.run_id)
    if is_retry:
        with database.write() as session:
            outbox_actions.retry(session, pk)
    else:
        end_run(database, hold_run(database, held.run_id))
    let_rest(database, "ops")

    redeliver(database)

    [row] = messages(database, id=pk)
    assert row.status is NotificationStatus.PENDING or row.status is NotificationStatus.FAILED
    assert row.error_type != "GivenUp"


def test_a_dead_channels_messages_do_not_keep_out_those_of_another(
    database: Database, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHKEEPER_BATCH_LIMIT", "20")
    add_channel(database, "bad", "http://127.0.0.1:9/")
    add_channel(database, "good", http_sink.url)
    with database.write() as session:
        for number in range(1000):
            held_before = {"error_message": "left alone", "error_type": ""} if number % 2 else {}
            add_notification(session, channel="bad", status=NotificationStatus.PENDING, attempts=0, **held_before)
        pk = add_notification(session, channel="good", status=NotificationStatus.PENDING, attempts=0)
    let_rest(database, "bad")

    [order] = relay()._take_unsent()

    assert len(messages(database, sender_run_id=order.run_id)) == 20
    assert messages(database, id=pk)[0].sender_run_id == order.run_id
    # What was held back before is not taken in vain, and what comes after it in its lane neither.
    assert redeliver(database) <= 500 / 20
    assert {row.error_message for row in messages(database, channel="bad")} != {""}


def test_what_follows_in_the_lane_of_a_held_message_is_not_taken_by_run_after_run(database: Database) -> None:
    add_channel(database, "bad", "http://127.0.0.1:9/")
    with database.write() as session:
        pk = add_notification(
            session, channel="bad", status=NotificationStatus.PENDING, attempts=0, error_message="left alone"
        )
        incident_id = session.get_one(Notification, pk).incident_id
        waiting = {"channel": "bad", "incident_id": incident_id, "status": NotificationStatus.PENDING}
        add_notification(session, reason=RESOLVED, attempts=0, **waiting)
    let_rest(database, "bad")

    assert redeliver(database) == 0


def test_a_look_for_new_messages_finds_those_that_no_run_has_had(database: Database) -> None:
    now = utc_now()
    with database.write() as session:
        pk = add_notification(session, sender_run_id="long-over", status=NotificationStatus.PENDING)

    def has_new() -> bool:
        with database.read() as session:
            return handover.has_new(session, now=utc_now(), given_up_before=now - timedelta(days=2))

    before = has_new()
    with database.write() as session:
        outbox_actions.retry(session, pk)
    after = has_new()
    relay()._take_unsent()

    assert (before, after, has_new()) == (False, True, False)


def test_a_channel_that_is_back_gets_at_once_what_had_failed(database: Database, http_sink: HttpSink) -> None:
    add_channel(database, "ops", http_sink.url)
    http_sink.answer_with(503)
    first, second = add_incidents(database, 2)
    with pytest.raises(PermanentError):
        tell(database, first)

    tell(database, second)
    redeliver(database)

    assert {status for _, _, status in told(database)} == {"sent"}
