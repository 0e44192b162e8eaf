"""The channels in the console: how they stand, switched on and off, and tried."""

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from console_client import Console, console
from rows import add_notification
from sinks import HttpSink
from sqlalchemy import select

from storage import channels
from storage.database import Database
from storage.records import ChannelPolicy
from storage.settings import Settings
from storage.tables import AuditEntry, ChannelState
from storage.tables.base import utc_now
from storage.vocabulary import NotificationStatus
from tasks.notify.channel_alert import say_failing
from webhook_app import places
from webhook_app.app import create_app

URL = "/admin/channels/"
# What is the same whatever the database is.
on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def page(database: Database, tmp_path: Path) -> Console:
    return console(create_app(Settings(home=tmp_path), database))


def add(database: Database, name: str = "ops", *, url: str = "http://127.0.0.1:9/hook", **given: Any) -> int:
    with database.write() as session:
        given = {"config": {"endpoint": url}, **given}
        return channels.add_channel(session, name=name, driver="generic", **given).id


def do(page: Console, action: str, *pks: int) -> str:
    wish = {"action": action, "rowid": list(pks), "confirmed": "1", "url": URL}
    return page.post(f"{URL}action/", wish, follow_redirects=True).text


def active(database: Database) -> dict[str, bool]:
    with database.read() as session:
        return {row.name: row.is_active for row in channels.list_channels(session)}


def audit(database: Database) -> list[tuple[str, str, str]]:
    with database.read() as session:
        return [(each.action, each.outcome, each.detail) for each in session.scalars(select(AuditEntry))]


def let_rest(database: Database, name: str = "ops") -> None:
    with database.write() as session:
        state = {"failures": 9, "failing_since": utc_now(), "last_error": "answered 503, token=hunter2"}
        session.add(ChannelState(channel=name, rests_until=utc_now() + timedelta(minutes=5), **state))


def test_list_shows_how_each_channel_stands(page: Console, database: Database) -> None:
    add(database, "ops")
    add(database, "spare", is_active=False)
    let_rest(database)
    with database.write() as session:
        add_notification(session, channel="ops")
        add_notification(session, channel="spare", status=NotificationStatus.SENT, sent_at=utc_now())

    text = page.get(URL).text

    assert "answered 503, token=***" in text
    assert "rests until" in text
    assert "/admin/notifications/?channel=ops&amp;status=dead" in text
    assert "switched off" in text
    assert "watchkeeper channels add" in text
    assert "2 in all" in text
    assert "1 found" in page.get(f"{URL}?active=no").text
    assert "2 found" in page.get(f"{URL}?driver=generic").text


def test_page_shows_references_and_no_secret_and_the_policy_in_words(page: Console, database: Database) -> None:
    config = {
        "endpoint": "https://me:hunter2@example.org:8443/hunter2",
        "headers": {"X-Team": "hunter2", "Authorization": {"env": "TEAM_TOKEN"}},
    }
    policy = ChannelPolicy(min_severity="critical", repeat_interval_seconds=0, rate_per_minute=6, fallback="spare")
    pk = add(database, config=config, policy=policy, description="password=hunter2")
    spare = add(database, "spare")
    with database.write() as session:
        add_notification(session, channel="ops", title="[FIRING] Disk full")

    text = page.get(f"{URL}details/?id={pk}").text
    file = page.get(f"{URL}export/csv/").text

    assert "https://example.org:8443/***" in text
    assert "TEAM_TOKEN" in text
    assert "hunter2" not in text + page.get(URL).text + file
    assert "Told of incidents of severity critical and above." in text
    assert "Never reminded of an incident that still fires." in text
    assert "At most 6 messages a minute." in text
    assert "What cannot be delivered goes to spare." in text
    assert "[FIRING] Disk full" in text
    assert "ops" in page.get(f"{URL}details/?id={spare}").text


def test_several_are_switched_off_and_on_and_each_is_audited(page: Console, database: Database) -> None:
    pks = [add(database, "ops"), add(database, "spare", is_active=False)]

    off = do(page, "disable", *pks)
    was_off = active(database)
    on = do(page, "enable", *pks)

    assert "1 channel switched off" in off
    assert "1 channel not switched off: spare is switched off already" in off
    assert (set(was_off.values()), set(active(database).values())) == ({False}, {True})
    assert "2 channels switched on" in on
    assert [outcome for _, outcome, _ in audit(database)] == ["done", "refused", "done", "done"]


@on_one_database
def test_switching_off_is_asked_for_and_ends_the_alert_about_it(page: Console, database: Database) -> None:
    pk = add(database)
    let_rest(database)
    say_failing("ops", trace_id="t")
    with database.write() as session:
        add_notification(session, status=NotificationStatus.PENDING)

    asked = page.post(f"{URL}action/", {"action": "disable", "rowid": pk, "url": URL})
    still = active(database)["ops"]
    told = do(page, "disable", pk)

    assert "No message goes to it until it is switched on again" in asked.text
    assert still is True
    assert "1 channel switched off: 1 of its messages wait until it is on again" in told
    [about_it] = page.client.get("/incidents/?status=resolved").json["incidents"]
    assert "ops" in about_it["title"]


@on_one_database
def test_channel_with_an_unusable_config_is_not_switched_on(page: Console, database: Database) -> None:
    pk = add(database, config={"endpoint": {"env": "NO_SUCH_VARIABLE"}}, is_active=False)

    told = do(page, "enable", pk)

    assert "1 channel not switched on: ops: config: endpoint: environment variable" in told
    assert active(database) == {"ops": False}


@on_one_database
def test_test_message_goes_out_ends_the_rest_and_says_how_long_it_took(
    page: Console, database: Database, http_sink: HttpSink
) -> None:
    pk = add(database, url=http_sink.url, is_active=False)
    let_rest(database)

    told = do(page, "test", pk)

    assert "1 channel reached by a test message: ops took it after" in told
    [request] = http_sink.requests
    assert b"Test of channel ops" in request.body
    assert "well" not in page.get(URL).text  # no message of its own was sent
    [(action, outcome, detail)] = audit(database)
    assert (action, outcome) == ("test", "done")
    assert detail.startswith("ops took it after")


@on_one_database
def test_failing_test_message_is_told_and_audited_as_failed(
    page: Console, database: Database, http_sink: HttpSink
) -> None:
    pk = add(database, url=http_sink.url)
    http_sink.answer_with(500)

    told = do(page, "test", pk)

    assert "Send a test message: failed for 1 channel: 127.0.0.1 answered 500" in told
    assert audit(database) == [("test", "failed", "127.0.0.1 answered 500")]


@on_one_database
def test_test_message_waits_for_a_place_and_takes_one_channel_at_a_time(
    page: Console, database: Database, http_sink: HttpSink
) -> None:
    pks = [add(database, url=http_sink.url), add(database, "spare", url=http_sink.url)]
    app = page.client.application

    several = do(page, "test", *pks)
    app.extensions[places.SENDING] = threading.Semaphore(0)
    busy = do(page, "test", pks[0])

    assert "at most 1 at a time" in several
    assert "1 channel not reached by a test message: too many messages are being sent" in busy
    assert http_sink.requests == []


def test_rest_is_ended_only_where_there_is_one(page: Console, database: Database) -> None:
    resting, well = add(database, "ops"), add(database, "spare")
    let_rest(database)

    buttons = [
        f'value="{name}"' in page.get(f"{URL}details/?id={pk}").text
        for name in ("wake",)
        for pk in (resting, well)
    ]
    told = do(page, "wake", resting, well)

    assert buttons == [True, False]
    assert "1 channel tried again from now on: the next message shows whether it is back" in told
    assert "spare does not rest" in told
    with database.read() as session:
        assert session.get_one(ChannelState, "ops").rests_until is None
