"""What people do to messages: retry and discard, on both databases."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from rows import add_notification
from sqlalchemy import inspect

from storage import outbox_actions, runs
from storage.database import Database
from storage.outbox_actions import NotificationNotFoundError, NotificationStateError
from storage.tables import ChannelState, Notification
from storage.tables.base import utc_now
from storage.vocabulary import NotificationStatus, RunStatus
from storage.wakeup import bell_of

PENDING, SENDING, SENT = NotificationStatus.PENDING, NotificationStatus.SENDING, NotificationStatus.SENT
FAILED, DEAD, DISCARDED = NotificationStatus.FAILED, NotificationStatus.DEAD, NotificationStatus.DISCARDED
ID_MAX = 2**63 - 1


def make(database: Database, status: NotificationStatus = DEAD, **given: Any) -> int:
    with database.write() as session:
        return add_notification(session, status=status, **given)


def make_run(database: Database, *, is_over: bool) -> str:
    with database.write() as session:
        run = runs.create_run(session, definition_name="direct", definition_version=1)
        if is_over:
            runs.complete(run, RunStatus.NOTIFIED)
        return run.run_id


def find(database: Database, pk: int) -> Notification:
    with database.read() as session:
        return session.get_one(Notification, pk)


def retry(database: Database, pk: int) -> None:
    with database.write() as session:
        outbox_actions.retry(session, pk)


def discard(database: Database, pk: int, reason: str = "") -> None:
    with database.write() as session:
        outbox_actions.discard(session, pk, reason=reason)


@pytest.mark.parametrize("status", [DEAD, FAILED, PENDING, DISCARDED])
def test_a_retried_message_is_due_at_once_and_anybodys_with_the_same_key(
    database: Database, status: NotificationStatus
) -> None:
    later, ended = utc_now() + timedelta(hours=12), make_run(database, is_over=True)
    pk = make(database, status, due_at=later, sender_run_id=ended, run_id=ended, error_message="refused")
    key = find(database, pk).idempotency_key

    retry(database, pk)

    row = find(database, pk)
    assert (row.status, row.attempts, row.sender_run_id, row.error_message) == (PENDING, 0, None, "")
    assert (row.idempotency_key, row.run_id) == (key, ended)
    assert row.due_at <= utc_now()


@pytest.mark.parametrize("status", [SENT, SENDING])
@pytest.mark.parametrize("action", [retry, discard], ids=["retry", "discard"])
def test_what_is_sent_or_being_sent_is_refused_by_name(
    database: Database, status: NotificationStatus, action: Any
) -> None:
    pk = make(database, status)

    with pytest.raises(NotificationStateError, match=rf"notification {pk} is {status} and cannot be") as refused:
        action(database, pk)

    assert refused.value.allowed == []
    assert find(database, pk).status is status


def test_what_a_run_has_in_hand_is_not_retried_before_that_is_over(database: Database) -> None:
    run_id = make_run(database, is_over=False)
    pk = make(database, FAILED, sender_run_id=run_id)

    with pytest.raises(NotificationStateError, match=f"in the hands of run {run_id}") as refused:
        retry(database, pk)

    assert refused.value.allowed == ["discard"]
    assert (find(database, pk).status, find(database, pk).sender_run_id) == (FAILED, run_id)


@pytest.mark.parametrize("status", [PENDING, FAILED, DEAD])
def test_a_discarded_message_keeps_the_reason_without_its_secrets(
    database: Database, status: NotificationStatus
) -> None:
    pk = make(database, status, error_type="TransientError", error_message="503")

    discard(database, pk, reason="a test, password=hunter2 \x00" + "x" * 2000)

    row = find(database, pk)
    assert (row.status, row.error_type) == (DISCARDED, "")
    assert row.error_message.startswith("a test, password=*** \ufffdx")
    assert len(row.error_message) == 1000


def test_a_discard_without_a_reason_leaves_the_last_error(database: Database) -> None:
    pk = make(database, error_type="PermanentError", error_message="410 gone")

    discard(database, pk)

    assert find(database, pk).error_message == "410 gone"


def test_a_discard_waits_for_the_run_that_is_just_claiming_the_message(database: Database) -> None:
    run_id = make_run(database, is_over=False)
    pk = make(database, PENDING, sender_run_id=run_id)
    refused: list[NotificationStateError] = []
    begun = threading.Event()

    def act() -> None:
        begun.set()
        try:
            discard(database, pk)
        except NotificationStateError as error:
            refused.append(error)

    thread = threading.Thread(target=act)
    with database.write() as session:
        run = runs.find_run(session, run_id)
        assert run is not None
        runs.check_fence(session, run_pk=run.id, fence=run.fence)
        mine = session.get_one(Notification, pk)
        thread.start()
        begun.wait(10)
        thread.join(0.3)
        mine.status = SENDING
    thread.join(20)

    assert [error.status for error in refused] == [SENDING]
    assert find(database, pk).status is SENDING


@pytest.mark.parametrize("pk", [1, ID_MAX])
@pytest.mark.parametrize("action", [retry, discard], ids=["retry", "discard"])
def test_an_unknown_message_is_said(database: Database, action: Any, pk: int) -> None:
    with pytest.raises(NotificationNotFoundError, match=f"there is no notification {pk}"):
        action(database, pk)


def test_a_retry_has_a_channel_tried_that_is_left_alone(database: Database) -> None:
    pk = make(database)
    with database.write() as session:
        session.add(ChannelState(channel="ops", failures=5, rests_until=utc_now() + timedelta(hours=1)))

    retry(database, pk)

    with database.read() as session:
        assert session.get_one(ChannelState, "ops").rests_until is None


def test_a_retry_wakes_the_relay(database: Database) -> None:
    pk = make(database)
    bell = bell_of(database.engine)
    bell.wait(0.2)  # the first wait connects and listens
    bell.wait(0.2)
    began = utc_now()

    retry(database, pk)
    bell.wait(10)

    assert utc_now() - began < timedelta(seconds=5)
    bell.close()


def test_the_list_leaves_what_was_said_in_the_database(database: Database) -> None:
    make(database, message="x" * 12_000)

    with database.read() as session:
        [row] = outbox_actions.list_notifications(session, limit=5)

    assert "message" in inspect(row).unloaded


def test_counts_are_of_all_that_has_not_arrived(database: Database) -> None:
    for status in (DEAD, DEAD, FAILED, SENT):
        make(database, status)

    with database.read() as session:
        counts = outbox_actions.count_by_status(session)

    assert counts == {PENDING: 0, SENDING: 0, FAILED: 1, DEAD: 2, DISCARDED: 0}
