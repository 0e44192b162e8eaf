"""A channel that fails is told of by the others: once, never to itself, and until it is well again."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from analyzing import PIPELINE, add_run, execute
from notifying import add_channel, add_incidents, messages, tell, told
from redelivering import redeliver
from sinks import HttpSink
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from storage import channels, definitions
from storage.database import Database
from storage.tables import Alert, ChannelState, Incident, Notification
from storage.tables.base import utc_now
from storage.vocabulary import AlertStatus, IncidentStatus, Severity
from tasks.errors import PermanentError
from tasks.notify import retiring
from tasks.notify.channel_alert import fingerprint_of, say_failing, say_recovered

INGEST_ONLY = {"version": "1.0", "nodes": [{"id": "ingest", "type": "ingest"}]}


def alerts(database: Database) -> list[Alert]:
    with database.read() as session:
        return list(session.scalars(select(Alert).where(Alert.source == "watchkeeper").order_by(Alert.id)))


def about(database: Database, channel: str) -> list[tuple[str, str, str]]:
    """Who was told of the failing of a channel."""
    with database.read() as session:
        incident_id = session.scalar(select(Alert.incident_id).where(Alert.fingerprint == fingerprint_of(channel)))
    return told(database, incident_id=incident_id) if incident_id else []


def tell_all(database: Database, count: int, *names: str) -> None:
    try:
        tell(database, *add_incidents(database, count), channels=list(names))
    except PermanentError as error:
        print(error)


def let_time_pass(database: Database) -> None:
    """As if channels had been left alone long enough, and messages were due."""
    with database.write() as session:
        session.execute(update(ChannelState).values(rests_until=utc_now() - timedelta(seconds=1)))
        session.execute(
            update(Notification).where(Notification.status.in_(("pending", "failed"))).values(due_at=utc_now())
        )


def fail(database: Database, channel: str, *, failures: int = 5) -> None:
    with database.write() as session:
        state = channels.lock_states(session, [channel])[channel]
        state.failures, state.failing_since, state.last_error = failures, utc_now(), "answered 503"


def test_when_a_circuit_opens_the_other_channels_are_told_once(database: Database, http_sink: HttpSink) -> None:
    with HttpSink(default=503) as broken:
        add_channel(database, "broken", broken.url)
        add_channel(database, "good", http_sink.url)
        add_channel(database, "other", http_sink.url)
        tell_all(database, 12, "broken")
        let_time_pass(database)
        redeliver(database)
        tell_all(database, 3, "broken")

    redeliver(database)

    [alert] = alerts(database)
    assert (alert.name, alert.severity) == ("Notification channel broken fails", Severity.WARNING)
    assert "Channel broken (generic) fails since 2" in alert.description
    assert "answered 503" in alert.description
    assert about(database, "broken") == [("good", "firing", "sent"), ("other", "firing", "sent")]


def test_one_message_refused_for_good_is_enough(database: Database, http_sink: HttpSink) -> None:
    with HttpSink(default=410) as gone:
        add_channel(database, "gone", gone.url)
        add_channel(database, "good", http_sink.url)

        tell_all(database, 1, "gone")

    assert about(database, "gone") == [("good", "firing", "pending")]


def test_a_few_failures_that_pass_are_no_news(database: Database, http_sink: HttpSink) -> None:
    add_channel(database, "a", http_sink.url)
    http_sink.answer_with(503, 503)

    tell_all(database, 4, "a")

    assert alerts(database) == []


def test_the_next_success_ends_it_where_it_was_told(database: Database, http_sink: HttpSink) -> None:
    with HttpSink(default=410) as mended:
        add_channel(database, "a", mended.url)
        add_channel(database, "good", http_sink.url)
        tell_all(database, 1, "a")
        redeliver(database)
        mended._default = type(mended._default)(200)

        tell_all(database, 1, "a")
        redeliver(database)

    [alert] = alerts(database)
    assert alert.status is AlertStatus.RESOLVED
    assert about(database, "a") == [("good", "firing", "sent"), ("good", "resolved", "sent")]
    with database.read() as session:
        assert session.get_one(Incident, alert.incident_id).status is IncidentStatus.RESOLVED


def test_it_is_critical_where_nobody_else_would_be_told_of_a_warning(database: Database) -> None:
    with HttpSink(default=410) as gone:
        add_channel(database, "only", gone.url)

        tell_all(database, 1, "only")

    [alert] = alerts(database)
    assert alert.severity is Severity.CRITICAL
    assert about(database, "only") == []  # never by the channel itself; the incident is there to be seen


def test_of_two_dead_channels_each_has_one_alert_and_neither_makes_more(database: Database) -> None:
    with HttpSink(default=410) as gone:
        add_channel(database, "a", gone.url)
        add_channel(database, "b", gone.url, fallback="a")
        tell_all(database, 8, "a", "b")
        for _ in range(5):
            let_time_pass(database)
            redeliver(database)
        first = len(messages(database))
        for _ in range(5):
            let_time_pass(database)
            redeliver(database)

        assert len(messages(database)) == first
    assert sorted(alert.fingerprint for alert in alerts(database)) == ["channel:a", "channel:b"]
    assert {name for name, _, _ in about(database, "a")} == {"b"}
    assert {name for name, _, _ in about(database, "b")} == {"a"}


def test_a_channel_that_fails_by_turns_is_told_of_once_in_a_while(database: Database, http_sink: HttpSink) -> None:
    add_channel(database, "a", http_sink.url)
    add_channel(database, "good", http_sink.url)
    for _ in range(5):
        fail(database, "a", failures=1)
        say_failing("a", trace_id="t")
        say_recovered("a", trace_id="t")

    assert [reason for _, reason, _ in about(database, "a")] == ["firing", "resolved"]


def test_what_is_well_again_by_then_is_not_told_of(database: Database, http_sink: HttpSink) -> None:
    add_channel(database, "a", http_sink.url)
    fail(database, "a")
    say_recovered("a", trace_id="t")

    say_failing("a", trace_id="t")

    assert alerts(database) == []


def test_threads_that_fail_recover_and_are_told_of_at_once_never_wait_for_each_other(database: Database) -> None:
    with HttpSink() as moody:
        add_channel(database, "a", moody.url, fallback="b")
        add_channel(database, "b", moody.url, fallback="a")
        moody.answer_with(*[410, 200, 503] * 20)
        errors: list[BaseException] = []

        def work() -> None:
            try:
                tell_all(database, 8, "a", "b")
                redeliver(database)
            except Exception as error:  # noqa: BLE001
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

    assert errors == []
    assert len(alerts(database)) == 2


@pytest.mark.parametrize("retire", [retiring.switch_off, retiring.remove])
def test_it_ends_when_the_channel_is_switched_off_or_removed(
    database: Database, http_sink: HttpSink, retire: Callable[[Session, str], None]
) -> None:
    add_channel(database, "a", http_sink.url)
    add_channel(database, "good", http_sink.url)
    fail(database, "a")
    say_failing("a", trace_id="t")
    redeliver(database)

    with database.write() as session:
        retire(session, "a")
    say_failing("a", trace_id="late")  # of a message that was on its way
    redeliver(database)

    assert [alert.status for alert in alerts(database)] == [AlertStatus.RESOLVED]
    assert about(database, "a") == [("good", "firing", "sent"), ("good", "resolved", "sent")]


def test_a_new_channel_of_the_name_of_a_removed_one_begins_well(database: Database, http_sink: HttpSink) -> None:
    add_channel(database, "a", http_sink.url)
    fail(database, "a")

    with database.write() as session:
        retiring.remove(session, "a")
    add_channel(database, "a", http_sink.url)

    with database.read() as session:
        assert channels.find_states(session, ["a"]) == {}


def test_a_webhook_that_can_be_read_does_not_end_it(database: Database, http_sink: HttpSink) -> None:
    add_channel(database, "a", http_sink.url)
    fail(database, "a")
    say_failing("a", trace_id="t")
    with database.write() as session:
        definitions.save(session, name=PIPELINE, config=INGEST_ONLY)

    execute(add_run(database, {"name": "Disk full", "labels": {"host": "db-1"}}))

    assert [alert.status for alert in alerts(database)] == [AlertStatus.FIRING]
