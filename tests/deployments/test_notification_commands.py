"""`watchkeeper notifications`, on both databases."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from commands import Said, watchkeeper
from relaying import count, relay_until
from rows import add_incident, add_notification
from sinks import HttpSink
from sqlalchemy import select

from storage import channels, runs
from storage.database import Database
from storage.tables import Notification, PipelineRun
from storage.tables.base import utc_now
from storage.vocabulary import IncidentStatus, NotificationReason, NotificationStatus

PENDING, SENDING, SENT = NotificationStatus.PENDING, NotificationStatus.SENDING, NotificationStatus.SENT
FAILED, DEAD, DISCARDED = NotificationStatus.FAILED, NotificationStatus.DEAD, NotificationStatus.DISCARDED
TITLE = "[FIRING] warning: Disk full on db-1"
Make = Callable[..., int]

# What is the same whatever the database is.
on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "220")


@pytest.fixture
def make(database: Database) -> Make:
    """Makes a dead letter, in whatever is not given. Returns its id."""

    def make_one(**fields: Any) -> int:
        with database.write() as session:
            return add_notification(session, **fields)

    return make_one


def statuses(database: Database) -> dict[int, NotificationStatus]:
    with database.read() as session:
        rows = session.execute(select(Notification.id, Notification.status).order_by(Notification.id))
        return dict(rows.all())


def listed(*arguments: str) -> list[int]:
    said = watchkeeper("notifications", "list", "--json", *arguments)
    assert said.code == 0, said.stderr
    return [row["id"] for row in json.loads(said.stdout)["notifications"]]


def has_failed_in_words(said: Said, *words: str) -> bool:
    return said.code in {1, 2} and "Traceback" not in said.stderr and all(word in said.stderr for word in words)


@on_one_database
def test_list_is_a_table_with_the_newest_first_that_ends_with_what_has_not_arrived(make: Make) -> None:
    first = make(error_message="410 gone\nfor good")
    second = make(
        status=FAILED,
        channel="mail",
        instead_of="ops",
        attempts=3,
        due_at=utc_now() + timedelta(minutes=9, seconds=30),
    )
    make(status=PENDING)
    make(status=SENT, created_at=utc_now() - timedelta(days=1))

    said = watchkeeper("notifications", "list", "--since", "2h")

    assert said.code == 0
    rows = [line for line in said.text.splitlines() if line.startswith("│")]
    assert [int(row.split()[1]) for row in rows] == [second + 1, second, first]
    for word in ("mail for ops", "firing", "failed", "in 9 min", TITLE):
        assert word in rows[1]
    assert "410 gone for good" in rows[2]
    assert said.text.splitlines()[-1] == "2 wait, 1 dead letter"


@on_one_database
def test_list_fits_a_narrow_terminal_and_a_pipe(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    pk = make(status=FAILED, attempts=1, due_at=utc_now() + timedelta(hours=2, seconds=30), error_message="503")

    lines = watchkeeper("notifications", "list").text.splitlines()

    assert all(len(line) <= 80 for line in lines)
    assert lines[1].split()[0] == str(pk)
    assert lines[1].endswith("firing failed")
    assert [line.strip() for line in lines[2:]] == [TITLE, "1 try so far, next in 2 h", "503", "1 waits"]


@on_one_database
def test_empty_list_says_so_and_nothing_more(database: Database) -> None:  # noqa: ARG001
    assert watchkeeper("notifications", "list").text == "no notifications\n"


@on_one_database
def test_list_as_json_is_what_the_api_answers(make: Make) -> None:
    pk = make()

    answer = json.loads(watchkeeper("notifications", "list", "--json").stdout)

    assert answer["counts"]["dead"] == answer["count"] == 1
    [row] = answer["notifications"]
    assert (row["id"], row["status"], row["url"]) == (pk, "dead", f"/notify/notifications/{pk}/")
    assert "message" not in row


def test_list_takes_filters_and_a_limit(make: Make, database: Database) -> None:
    with database.write() as session:
        incident_id = add_incident(session).id
    old = make(created_at=utc_now() - timedelta(days=1))
    mail, traced = make(channel="mail"), make(trace_id="trace-2")
    about, resolved = make(incident_id=incident_id), make(reason=NotificationReason.RESOLVED)
    waiting = make(status=FAILED)

    assert listed("--status", "failed") == [waiting]
    assert listed("--status", "failed", "--status", "dead", "--limit", "2") == [waiting, resolved]
    assert listed("--channel", "mail") == [mail]
    assert listed("--trace-id", "trace-2") == [traced]
    assert listed("--incident-id", str(incident_id)) == [about]
    assert listed("--reason", "resolved") == [resolved]
    assert old not in listed("--since", "1h")
    assert len(listed()) == 6


@on_one_database
@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--status", "lost"], "discarded"),
        (["--reason", "because"], "escalated"),
        (["--since", "soon"], "--since"),
        (["--limit", "0"], "--limit"),
        (["--incident-id", str(2**63)], "--incident-id"),
    ],
    ids=["status", "reason", "since", "limit", "incident"],
)
def test_wrong_filter_is_refused_by_name(database: Database, arguments: list[str], word: str) -> None:  # noqa: ARG001
    assert has_failed_in_words(watchkeeper("notifications", "list", *arguments), word)


@on_one_database
def test_show_tells_what_was_said_and_what_happens_next(make: Make, database: Database) -> None:
    with database.write() as session:
        channels.add_channel(session, name="ops", driver="generic", config={"endpoint": "http://127.0.0.1:9/"})
        run_id = runs.create_run(session, definition_name="direct", definition_version=1).run_id
    pk = make(
        status=FAILED,
        attempts=1,
        due_at=utc_now() + timedelta(minutes=9),
        run_id=run_id,
        sender_run_id=run_id,
        idempotency_key="key-1",
        message="Firing since Monday.\nHost: db-1\x1b[2J[red] password: hunter2",
    )

    table = watchkeeper("notifications", "show", str(pk))
    details = json.loads(watchkeeper("notifications", "show", str(pk), "--json").stdout)

    for words in (
        "Firing since Monday.",
        r"Host: db-1\x1b[2J[red]",
        "key-1",
        f"{run_id} direct",
        "try 2 of 9 is due",
    ):
        assert words in table.text
    assert details["message"].startswith("Firing since Monday.\nHost: db-1")
    assert details["next"].endswith(f", by run {run_id}")
    assert b"hunter2" not in table.stdout
    assert "hunter2" not in json.dumps(details)


def test_retry_takes_several_and_reports_each(make: Make, database: Database) -> None:
    with database.write() as session:
        run_id = runs.create_run(session, definition_name="direct", definition_version=1).run_id
    dead, sent, held, discarded = (
        make(),
        make(status=SENT),
        make(status=FAILED, sender_run_id=run_id),
        make(status=DISCARDED),
    )

    said = watchkeeper("notifications", "retry", *map(str, (dead, sent, held, 2**63, discarded)))

    retryable = "dead, failed, pending, discarded"
    assert said.code == 1
    assert said.text.splitlines() == [f"retried {dead}", f"retried {discarded}"]
    assert said.stderr.splitlines() == [
        f"watchkeeper: notification {sent} is sent and cannot be retried; that takes one of {retryable}",
        f"watchkeeper: notification {held} is failed and in the hands of run {run_id}, which is not over",
        f"watchkeeper: there is no notification '{2**63}'",
    ]
    assert statuses(database) == {dead: PENDING, sent: SENT, held: FAILED, discarded: PENDING}


def test_all_dead_letters_are_retried_or_those_of_one_channel(make: Make, database: Database) -> None:
    ops, mail, waiting = make(), make(channel="mail"), make(status=FAILED)

    one = watchkeeper("notifications", "retry", "--all-dead", "--channel", "mail")
    every = watchkeeper("notifications", "retry", "--all-dead")
    none = watchkeeper("notifications", "retry", "--all-dead")

    assert [said.text for said in (one, every)] == [f"retried {mail}\n", f"retried {ops}\n"]
    assert (none.code, none.text) == (0, "there is no dead letter\n")
    assert statuses(database) == {ops: PENDING, mail: PENDING, waiting: FAILED}


@on_one_database
@pytest.mark.parametrize(
    ("arguments", "word"),
    [([], "--all-dead"), (["1", "--all-dead"], "--all-dead"), (["1", "--channel", "ops"], "--channel")],
    ids=["nothing", "both", "channel"],
)
def test_retry_that_is_not_clear_is_refused(database: Database, arguments: list[str], word: str) -> None:  # noqa: ARG001
    assert has_failed_in_words(watchkeeper("notifications", "retry", *arguments), word)


def test_discard_keeps_the_given_reason_and_refuses_by_name(make: Make, database: Database) -> None:
    dead, sending = make(), make(status=SENDING)

    said = watchkeeper("notifications", "discard", str(dead), str(sending), "--reason", "a test of ours")

    assert (said.code, said.text) == (1, f"discarded {dead}\n")
    assert f"notification {sending} is sending and cannot be discarded" in said.stderr
    assert statuses(database) == {dead: DISCARDED, sending: SENDING}
    assert json.loads(watchkeeper("notifications", "show", str(dead), "--json").stdout)["error_message"] == (
        "a test of ours"
    )


@on_one_database
@pytest.mark.parametrize("command", ["show", "retry", "discard"])
@pytest.mark.parametrize("name", ["nothing", "\udcff", "9" * 5000], ids=["word", "surrogate", "number"])
def test_unknown_notification_is_said(database: Database, command: str, name: str) -> None:  # noqa: ARG001
    assert has_failed_in_words(watchkeeper("notifications", command, name), "there is no notification")


def test_a_retried_dead_letter_goes_out_and_says_that_its_incident_is_over(
    make: Make, database: Database, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHKEEPER_DIRECT_AFTER_SECONDS", "0")
    began = utc_now() - timedelta(hours=2)
    with database.write() as session:
        channels.add_channel(session, name="ops", driver="generic", config={"endpoint": http_sink.url})
        incident = add_incident(
            session, status=IncidentStatus.RESOLVED, started_at=began, resolved_at=began + timedelta(hours=1)
        )
        incident_id = incident.id
    pk = make(incident_id=incident_id, idempotency_key="key-1")

    assert watchkeeper("notifications", "retry", str(pk)).code == 0
    relay_until(lambda: count(database, Notification, status=SENT) == 1, slots=1)

    [request] = [each for each in http_sink.requests if each.headers["Idempotency-Key"] == "key-1"]
    assert "and was over at" in json.loads(request.body)["message"]
    with database.read() as session:
        assert set(session.scalars(select(PipelineRun.definition_name))) == {"redelivery"}


@pytest.mark.parametrize("command", [["notifications"], ["notifications", "retry"], ["deliveries"]], ids=" ".join)
def test_help_is_shown_without_importing_what_the_commands_need(command: list[str]) -> None:
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "deployments.cli", *command, "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert result.returncode == 0
    assert "Usage" in result.stdout
    assert not re.search(r"\|\s+(prefect|flask|sqlalchemy|pydantic|werkzeug)$", result.stderr, re.MULTILINE)
