"""The messages in the console: found, explained, sent again and discarded."""

from pathlib import Path
from typing import Any

import pytest
from console_client import Console, console
from rows import add_incident, add_notification
from sqlalchemy import select

from storage import channels, runs
from storage.database import Database
from storage.settings import Settings
from storage.tables import AuditEntry, Notification, PipelineRun
from storage.vocabulary import NotificationReason, NotificationStatus
from webhook_app.app import create_app

URL = "/admin/notifications/"


@pytest.fixture
def page(database: Database, tmp_path: Path) -> Console:
    return console(create_app(Settings(home=tmp_path), database))


def add(database: Database, **given: Any) -> int:
    with database.write() as session:
        return add_notification(session, **given)


def row_of(database: Database, pk: int) -> Notification:
    with database.read() as session:
        return session.get_one(Notification, pk)


def do(page: Console, action: str, *pks: int, **more: str) -> str:
    wish = {"action": action, "rowid": list(pks), "confirmed": "1", "url": URL, **more}
    return page.post(f"{URL}action/", wish, follow_redirects=True).text


def in_hand(database: Database) -> PipelineRun:
    with database.write() as session:
        return runs.create_run(session, definition_name="direct", definition_version=1)


def test_list_is_narrowed_down_by_each_filter(page: Console, database: Database) -> None:
    with database.write() as session:
        incident = add_incident(session)
        add_notification(session, incident_id=incident.id, channel="pager", error_message="answered 503")
        add_notification(session, status=NotificationStatus.SENT, reason=NotificationReason.RESOLVED)

    queries = ("status=dead", "channel=pager", "reason=firing", f"incident={incident.id}", "since=1h&status=dead")
    texts = [page.get(f"{URL}?{query}").text for query in queries]

    assert all("1 found" in text and "answered 503" in text for text in texts)


def test_page_says_what_was_said_and_every_fact_about_its_tries(page: Console, database: Database) -> None:
    with database.write() as session:
        channels.add_channel(session, name="pager", driver="generic", config={"endpoint": "http://127.0.0.1:9/"})
        incident = add_incident(session)
        given = {"incident_id": incident.id, "episode": 1}
        pk = add_notification(
            session, channel="pager", message="It is full.", error_message="answered 503", **given
        )
        stand_in = add_notification(
            session, channel="mail", instead_of="pager", status=NotificationStatus.SENT, title="By mail", **given
        )

    text = page.get(f"{URL}details/?id={pk}").text
    stand_in_text = page.get(f"{URL}details/?id={stand_in}").text

    for words in (
        "It is full.",
        "answered 503",
        "9 of 9",
        "it is a dead letter; Resend sends it once more",
        "By mail",
    ):
        assert words in text
    assert "Told in its place" in text
    assert "Stands in for" in stand_in_text
    assert f"details/?id={pk}" in stand_in_text


def test_all_dead_letters_of_a_page_are_sent_again(page: Console, database: Database) -> None:
    dead = [add(database) for _ in range(2)]
    sent = add(database, status=NotificationStatus.SENT)

    told = do(page, "resend", *dead, sent)

    assert "2 notifications put back to be sent now" in told
    assert "1 notification not put back to be sent now" in told
    assert f"notification {sent} is sent and cannot be retried" in told
    rows = [row_of(database, pk) for pk in dead]
    assert {(row.status, row.attempts, row.error_message) for row in rows} == {(NotificationStatus.PENDING, 0, "")}
    with database.read() as session:
        entries = list(session.scalars(select(AuditEntry).order_by(AuditEntry.id)))
    assert [(entry.action, entry.outcome) for entry in entries] == [
        ("resend", "done"),
        ("resend", "done"),
        ("resend", "refused"),
    ]


def test_message_in_a_runs_hands_has_no_resend_and_refuses_one(page: Console, database: Database) -> None:
    run = in_hand(database)
    pk = add(database, status=NotificationStatus.FAILED, sender_run_id=run.run_id, run_id=run.run_id)

    text = page.get(f"{URL}details/?id={pk}").text
    told = do(page, "resend", pk)

    assert f"by run {run.run_id}" in text
    assert 'value="resend"' not in text
    assert f"in the hands of run {run.run_id}, which is not over" in told
    assert row_of(database, pk).status is NotificationStatus.FAILED


def test_discard_keeps_the_reason_without_its_secrets(page: Console, database: Database) -> None:
    pk = add(database)

    told = do(page, "discard", pk, reason="known, password=hunter2")

    row = row_of(database, pk)
    assert "1 notification discarded" in told
    assert (row.status, row.error_message) == (NotificationStatus.DISCARDED, "known, password=***")
    with database.read() as session:
        assert "hunter2" not in session.scalars(select(AuditEntry.detail)).one()


def test_number_that_nobody_has_is_refused(page: Console) -> None:
    assert "there is no notification 77" in do(page, "resend", 77)
    assert page.get(f"{URL}details/?id=77").status_code == 404


def test_file_of_the_list_costs_no_statement_for_each_row(page: Console, database: Database) -> None:
    for number in range(3):
        add(database, title=f"=cmd|{number}", error_message="token=hunter2", message="the text")

    response = page.get(f"{URL}export/csv/")

    assert response.status_code == 200
    assert response.text.count("'=cmd|") == 3
    assert "hunter2" not in response.text
    assert "the text" not in response.text
