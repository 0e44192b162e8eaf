"""What every list does alike, whatever table it shows."""

from pathlib import Path

import pytest
from console_client import Console, console
from rows import add_delivery, add_incident
from sqlalchemy import select

from storage import channels
from storage.database import Database
from storage.settings import Settings
from storage.tables import AuditEntry, Delivery, Incident
from storage.vocabulary import AuditOutcome, DeliveryStatus
from webhook_app.app import create_app
from webhook_app.console.row_actions import REASONS_TOLD, ROWS_MAX

CHANNELS = "/admin/channels/"
# Nothing here depends on what the database is.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def person(database: Database, tmp_path: Path) -> Console:
    return console(create_app(Settings(home=tmp_path), database))


@pytest.fixture
def pks(database: Database) -> list[int]:
    with database.write() as session:
        made = [
            channels.add_channel(session, name=f"ops-{n}", driver="generic", config={"endpoint": "http://h/"})
            for n in range(REASONS_TOLD + 2)
        ]
        return [row.id for row in made]


def do(person: Console, action: str, pks: list[int], **inputs: str) -> str:
    wish = {"action": action, "rowid": pks, "confirmed": "1", "url": CHANNELS, **inputs}
    return person.post(f"{CHANNELS}action/", wish, follow_redirects=True).text


def outcomes(database: Database) -> list[AuditOutcome]:
    with database.read() as session:
        return list(session.scalars(select(AuditEntry.outcome)))


@pytest.mark.usefixtures("pks")
@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("", "7 in all"),
        ("search=ops-1", "1 found"),
        ("driver=slack", "0 found"),
        ("active=yes", "7 found"),
        ("search=ops&active=no", "0 found"),
    ],
)
def test_the_count_says_whether_the_list_is_narrowed(person: Console, asked: str, said: str) -> None:
    assert said in " ".join(person.get(f"{CHANNELS}?{asked}").text.split())


def test_a_row_that_is_sent_twice_is_acted_on_once(person: Console, pks: list[int], database: Database) -> None:
    page = do(person, "disable", [pks[0], pks[0]])

    assert "1 channel switched off" in page
    assert outcomes(database) == [AuditOutcome.DONE]


def test_each_refusal_is_in_the_audit_and_only_the_first_reasons_are_told(
    person: Console, pks: list[int], database: Database
) -> None:
    page = do(person, "enable", pks)

    assert "7 channels not switched on" in page
    assert page.count("is switched on already") == REASONS_TOLD
    assert "and 2 more" in page
    assert outcomes(database) == [AuditOutcome.REFUSED] * len(pks)


@pytest.mark.usefixtures("pks")
@pytest.mark.parametrize(
    ("action", "rows", "said"),
    [
        ("test", [1, 2], "at most 1 at a time"),
        ("disable", list(range(1, ROWS_MAX + 2)), f"at most {ROWS_MAX} at a time"),
        ("disable", ["", "-1", "x"], "choose at least one channel"),
        ("erase", [1], "choose an action"),
    ],
)
def test_an_order_that_makes_no_sense_does_nothing_and_says_why(
    person: Console, database: Database, action: str, rows: list[int], said: str
) -> None:
    page = do(person, action, rows)

    assert said in page
    assert outcomes(database) == []
    with database.read() as session:
        assert all(row.is_active for row in channels.list_channels(session))


def test_an_input_that_is_too_long_is_named_and_nothing_is_done(person: Console, database: Database) -> None:
    with database.write() as session:
        pk = add_incident(session).id

    wish = {"action": "note", "rowid": [pk], "confirmed": "1", "text": "x" * 10_001}
    page = person.post("/admin/incidents/action/", wish).text

    assert "text: at most" in page
    assert outcomes(database) == []
    with database.read() as session:
        assert not session.get_one(Incident, pk).details


def test_several_are_called_as_people_call_them(person: Console, database: Database) -> None:
    with database.write() as session:
        for _ in range(2):
            add_delivery(session, status=DeliveryStatus.WAITING)
        two = list(session.scalars(select(Delivery.id)))

    wish = {"action": "discard", "rowid": two, "confirmed": "1", "reason": "", "url": "/admin/deliveries/"}
    page = person.post("/admin/deliveries/action/", wish, follow_redirects=True).text

    assert "2 deliveries discarded" in page
