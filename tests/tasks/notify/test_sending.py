"""Sending what a run has in hand: who waits for whom, what is tried again, and who stands in."""

import json
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from notifying import (
    FIRING,
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
from sinks import Answer, HttpSink
from sqlalchemy import update

from storage import channels
from storage.database import Database
from storage.tables import ChannelState, Incident, Notification
from storage.tables.base import utc_now
from storage.vocabulary import NotificationReason, NotificationStatus, Severity
from tasks.errors import PermanentError, TransientError
from tasks.notify import facts
from tasks.notify.outbox import RESTING
from tasks.notify.stage import work


@pytest.fixture(autouse=True)
def slow_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing comes due by itself while a test runs."""
    monkeypatch.setenv("WATCHKEEPER_NOTIFY_RETRY_SECONDS", "[40, 4000, 4000]")


def set_state(database: Database, channel: str, **values: Any) -> None:
    with database.write() as session:
        for name, value in values.items():
            setattr(channels.lock_states(session, [channel])[channel], name, value)


def state_of(database: Database, channel: str) -> ChannelState:
    with database.read() as session:
        return channels.find_states(session, [channel])[channel]


def let_rests_end(database: Database) -> None:
    """As if the time had passed that channels are left alone, and messages wait."""
    with database.write() as session:
        session.execute(update(ChannelState).values(rests_until=utc_now() - timedelta(seconds=1)))
        session.execute(update(Notification).values(due_at=utc_now()))


def test_a_run_in_which_there_is_no_channel_at_all_fails_with_that_reason(database: Database) -> None:
    with pytest.raises(PermanentError, match="no active notification channel"):
        tell(database, *add_incidents(database))


def test_a_disabled_channel_counts_as_none(database: Database, http_sink: HttpSink) -> None:
    with database.write() as session:
        channels.add_channel(
            session, name="off", driver="generic", config={"endpoint": http_sink.url, "disabled": True}
        )

    with pytest.raises(PermanentError, match="no active notification channel"):
        tell(database, *add_incidents(database))

    assert http_sink.requests == []


def test_a_node_that_names_a_channel_that_is_not_there_says_so_and_tells_the_others(
    database: Database, http_sink: HttpSink
) -> None:
    add_channel(database, "a", http_sink.url)

    found = tell(database, *add_incidents(database), channels=["a", "ghost"], drivers=["slack"])

    assert found.missing == ["channel 'ghost' is not active", "no channel of driver 'slack' is active"]
    assert told(database) == [("a", "firing", "sent")]


def test_a_channel_at_its_limit_slows_down_no_other(database: Database, http_sink: HttpSink) -> None:
    add_channel(database, "slow", f"{http_sink.url}/slow", rate_per_minute=3000)
    add_channel(database, "free", f"{http_sink.url}/free")
    changes = add_incidents(database, 30)
    # Its burst is spent: from now on the pace is 2,500 a minute, one in 24 ms.
    spent_at = time.monotonic()
    set_state(database, "slow", next_slot_at=utc_now() + timedelta(seconds=499 * 0.024))

    tell(database, *changes)

    at = {
        path: sorted(each.received_at for each in http_sink.requests if each.path == path)
        for path in ("/slow", "/free")
    }
    assert (len(at["/slow"]), len(at["/free"])) == (30, 30)
    assert at["/slow"][-1] - spent_at >= 0.024 * 28
    assert at["/free"][20] < at["/slow"][-1]


def test_a_hanging_channel_holds_up_no_other_and_its_circuit_ends_the_batch(
    database: Database, http_sink: HttpSink
) -> None:
    with HttpSink(default=Answer(delay_seconds=3)) as hung:
        add_channel(database, "hung", hung.url, timeout=0.3)
        add_channel(database, "good", http_sink.url)
        changes = add_incidents(database, 200)
        began = time.monotonic()

        tell(database, *changes, timeout_seconds=60)

    tried = [row for row in messages(database, channel="hung") if row.attempts]
    print(f"{time.monotonic() - began:.1f} s, {len(tried)} tries")
    held_back = [row for row in messages(database, channel="hung") if not row.attempts]
    assert sum(each == ("good", "firing", "sent") for each in told(database, reason=FIRING)) == 200
    assert (5 <= len(tried) <= 20, len(tried) + len(held_back)) == (True, 200)
    assert all(row.error_message.startswith(RESTING) for row in held_back)


def test_a_try_does_not_outlast_the_nodes_limit_though_a_channel_hangs_longer(
    database: Database, http_sink: HttpSink
) -> None:
    with HttpSink(default=Answer(delay_seconds=1.5)) as hung:
        add_channel(database, "hung", hung.url, timeout=30)
        add_channel(database, "good", http_sink.url)
        changes = add_incidents(database, 3)
        held = hold_run(database)
        began = time.monotonic()

        work(context_of(held, changes, timeout_seconds=0.8))

        took = time.monotonic() - began
        # They are still on their way, and nobody sends them a second time: neither another try nor another run.
        work(context_of(held, changes, timeout_seconds=0.4))
        end_run(database, held)
        redeliver(database)
        until = time.monotonic() + 10
        while len(messages(database, status=NotificationStatus.SENT)) < 6 and time.monotonic() < until:
            time.sleep(0.05)
        assert took < 1.4
        assert len(hung.requests) == 3
    assert {status for _, _, status in told(database)} == {"sent"}


def test_a_wish_of_the_destination_is_kept_though_it_is_longer_than_the_schedule(
    database: Database, http_sink: HttpSink
) -> None:
    add_channel(database, "a", http_sink.url)
    http_sink.answer_with(Answer(429, headers={"Retry-After": "20000"}))

    with pytest.raises(PermanentError):
        tell(database, *add_incidents(database))

    [row] = messages(database)
    assert row.status is NotificationStatus.FAILED
    assert row.due_at > utc_now() + timedelta(seconds=19_900)
    assert state_of(database, "a").next_slot_at > utc_now() + timedelta(seconds=500)  # and the others wait a while


def test_only_a_next_try_that_is_near_keeps_the_run_and_not_after_its_last_attempt(
    database: Database, http_sink: HttpSink
) -> None:
    add_channel(database, "a", http_sink.url)
    http_sink.answer_with(503, 503)
    held, changes = hold_run(database), add_incidents(database)

    with pytest.raises(TransientError) as caught:
        work(context_of(held, changes, is_last=False))
    wish = caught.value.retry_after_seconds
    with database.write() as session:
        session.execute(update(Notification).values(due_at=utc_now()))
    with pytest.raises(PermanentError, match="1 go on being tried in the background"):
        work(context_of(held, changes, is_last=True))

    assert wish is not None
    assert 35 < wish < 45
    assert len(http_sink.requests) == 2


def test_the_circuit_lets_one_message_try_and_closes_when_that_goes_well(
    database: Database, http_sink: HttpSink
) -> None:
    add_channel(database, "a", http_sink.url)
    set_state(database, "a", failures=5, failing_since=utc_now(), rests_until=utc_now() + timedelta(minutes=5))
    changes = add_incidents(database, 8)
    with pytest.raises(PermanentError, match="left alone"):
        tell(database, *changes)
    before = len(http_sink.requests)
    let_rests_end(database)
    http_sink.answer_with(Answer(delay_seconds=0.2))

    redeliver(database)

    requests = http_sink.requests
    assert (before, len(requests)) == (0, 8)
    assert requests[1].received_at - requests[0].received_at >= 0.15  # the others waited for the first
    assert state_of(database, "a").failures == 0


def test_a_message_that_leaves_the_run_goes_to_the_fallback_and_so_does_its_end(
    database: Database, http_sink: HttpSink
) -> None:
    with HttpSink(default=503) as broken:
        add_channel(database, "a", broken.url, fallback="b")
        add_channel(database, "b", http_sink.url)
        [change] = add_incidents(database)
        tell(database, change, channels=["a"])
        tell(database, change.model_copy(update={"reason": RESOLVED}), channels=["a"])

    assert told(database) == [
        ("a", "firing", "failed"),
        ("b", "firing", "sent"),
        ("a", "resolved", "pending"),
        ("b", "resolved", "sent"),
    ]
    assert "Channel a could not be told" in json.loads(http_sink.requests[0].body)["message"]


def test_a_chain_of_fallbacks_is_followed_to_its_end_and_a_circle_ends(database: Database) -> None:
    with HttpSink(default=503) as broken:
        add_channel(database, "a", broken.url, fallback="b")
        add_channel(database, "b", broken.url, fallback="c")
        add_channel(database, "c", broken.url, fallback="a")
        with pytest.raises(PermanentError):
            tell(database, *add_incidents(database), channels=["a"])

        assert [(row.channel, row.instead_of, row.status.value) for row in messages(database)] == [
            ("a", "", "failed"),
            ("b", "a", "failed"),
            ("c", "b", "failed"),
        ]
        assert len(broken.requests) == 3


def test_a_stand_in_that_is_told_anyway_is_not_told_twice(database: Database, http_sink: HttpSink) -> None:
    with HttpSink(default=404) as gone:
        add_channel(database, "a", gone.url, fallback="b")
        add_channel(database, "b", http_sink.url)
        [change] = add_incidents(database)

        tell(database, change)

    assert told(database, incident_id=change.incident_id) == [("a", "firing", "dead"), ("b", "firing", "sent")]


def test_what_is_refused_for_good_goes_to_a_channel_that_wants_it_and_has_not_heard(
    database: Database, http_sink: HttpSink
) -> None:
    with HttpSink(default=410) as gone:
        add_channel(database, "a", gone.url)
        add_channel(database, "pager", http_sink.url, min_severity="critical")
        add_channel(database, "chat", http_sink.url)
        [change] = add_incidents(database)

        tell(database, change, channels=["a"])

    assert told(database, incident_id=change.incident_id) == [("a", "firing", "dead"), ("chat", "firing", "sent")]


def test_what_gets_worse_reaches_a_channel_that_it_had_passed_by(database: Database, http_sink: HttpSink) -> None:
    add_channel(database, "pager", http_sink.url, min_severity="critical")
    [change] = add_incidents(database)
    first = tell(database, change)
    with database.write() as session:
        session.execute(update(Incident).values(severity=Severity.CRITICAL))

    tell(database, change.model_copy(update={"reason": NotificationReason.ESCALATED, "sequence": 2}))

    assert [each.why for each in first.passed_over] == ["warning is below its min_severity, critical"]
    assert told(database) == [("pager", "firing", "sent")]


def test_a_message_that_cannot_be_composed_fails_alone(
    database: Database, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_channel(database, "a", http_sink.url)
    odd, *others = changes = add_incidents(database, 8)
    real = facts.alerts.view_incidents

    def view(session: Any, ids: Any) -> Any:
        if odd.incident_id in ids:
            raise KeyError("what the row should have")
        return real(session, ids)

    monkeypatch.setattr(facts.alerts, "view_incidents", view)

    with pytest.raises(PermanentError, match="1 of the run's messages: a: the message could not be composed"):
        tell(database, *changes)

    assert len(http_sink.requests) == len(others)
    assert state_of(database, "a").failures == 0


def test_two_runs_at_once_whose_channels_stand_in_for_each_other_do_not_wait_for_each_other(
    database: Database,
) -> None:
    with HttpSink(default=503) as broken:
        add_channel(database, "a", broken.url, fallback="b")
        add_channel(database, "b", broken.url, fallback="a")
        changes = add_incidents(database, 10)
        errors: list[str] = []

        def run(*names: str) -> None:
            try:
                tell(database, *changes, channels=list(names))
            except Exception as error:  # noqa: BLE001
                errors.append(f"{type(error).__name__}: {error}")

        threads = [threading.Thread(target=run, args=(name,)) for name in ("a", "b", "a", "b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert [error for error in errors if not error.startswith("PermanentError: every channel failed")] == []
    # A message each, and one to each about the other that fails.
    found = told(database, reason=FIRING)
    assert sum(channel == "a" for channel, _, _ in found) == 11
    assert sum(channel == "b" for channel, _, _ in found) == 11


def test_what_waits_behind_a_failed_message_is_told_by_nobody_and_the_run_says_so(database: Database) -> None:
    with HttpSink(default=503) as broken:
        add_channel(database, "a", broken.url)
        [change] = add_incidents(database)
        with pytest.raises(PermanentError):
            tell(database, change)

        with pytest.raises(
            PermanentError, match=r"every channel failed for 1 of the run's messages: a: .*503.*1 go on"
        ):
            tell(database, change.model_copy(update={"reason": NotificationReason.ESCALATED, "sequence": 2}))

    assert told(database) == [("a", "firing", "failed"), ("a", "escalated", "pending")]


def test_a_later_run_does_not_fail_for_what_another_channel_has(database: Database, http_sink: HttpSink) -> None:
    with HttpSink(default=503) as broken:
        add_channel(database, "bad", broken.url)
        add_channel(database, "good", http_sink.url)
        [change] = add_incidents(database)
        tell(database, change)
        with database.write() as session:
            session.execute(update(Notification).values(due_at=utc_now(), sender_run_id=None))
        held = hold_run(database)
        with database.write() as session:
            session.execute(
                update(Notification).where(Notification.channel == "bad").values(sender_run_id=held.run_id)
            )

        work(context_of(held))

    assert told(database) == [("bad", "firing", "failed"), ("good", "firing", "sent")]
    assert len(broken.requests) == 2


def test_what_a_node_names_and_is_not_there_is_said_where_the_others_fail(database: Database) -> None:
    with HttpSink(default=410) as gone:
        add_channel(database, "a", gone.url)

        with pytest.raises(PermanentError, match=r"a: .*410.*; channel 'ghost' is not active"):
            tell(database, *add_incidents(database), channels=["a", "ghost"])


def test_what_could_not_be_composed_is_logged_without_its_traceback(
    database: Database, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add_channel(database, "a", http_sink.url)

    def view(_session: Any, _ids: Any) -> Any:
        raise KeyError("password=hunter2")

    monkeypatch.setattr(facts.alerts, "view_incidents", view)

    with caplog.at_level("ERROR", "watchkeeper.notify"), pytest.raises(PermanentError):
        tell(database, *add_incidents(database))

    [record] = [record for record in caplog.records if record.message == "notification not composed"]
    assert record.exc_info is None
    assert "hunter2" not in caplog.text
