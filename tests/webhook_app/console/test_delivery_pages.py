"""The deliveries in the console: found, explained, replayed and discarded."""

from pathlib import Path

import pytest
from console_client import Console, console
from rows import add_alert, add_delivery
from sqlalchemy import select

from storage import inbox, runs
from storage.database import Database
from storage.settings import Settings
from storage.tables import AuditEntry, Delivery
from storage.tables.base import utc_now
from storage.vocabulary import AuditOutcome, DeliveryStatus
from tasks.definition.library import save_presets
from webhook_app.app import create_app

URL = "/admin/deliveries/"
DONE = {"status": DeliveryStatus.DONE, "finished_at": utc_now()}
QUARANTINED = {"status": DeliveryStatus.QUARANTINED, "finished_at": utc_now(), "reason": "no name"}


@pytest.fixture
def page(database: Database, tmp_path: Path) -> Console:
    with database.write() as session:
        save_presets(session)
    return console(create_app(Settings(home=tmp_path), database))


def add(database: Database, **given: object) -> int:
    """A delivery; its number."""
    with database.write() as session:
        public_id = add_delivery(session, **given)
        return session.scalars(select(Delivery.id).where(Delivery.delivery_id == public_id)).one()


def row_of(database: Database, pk: int) -> Delivery:
    with database.read() as session:
        return session.scalars(select(Delivery).where(Delivery.id == pk)).one()


def audit(database: Database) -> list[tuple[str, str, AuditOutcome]]:
    with database.read() as session:
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.id))
        return [(entry.action, entry.object_id, entry.outcome) for entry in entries]


def test_list_is_narrowed_down_by_each_filter(page: Console, database: Database) -> None:
    add(database, **QUARANTINED, source="zabbix", pipeline="alpha", environment="lab")
    add(database, **DONE, source="grafana", pipeline="beta", environment="live")

    queries = (
        "status=quarantined",
        "source=zabbix",
        "pipeline=alpha",
        "environment=lab",
        "since=1h&source=zabbix",
    )
    texts = [page.get(f"{URL}?{query}").text for query in queries]

    assert all("1 found" in text and "no name" in text for text in texts)
    assert "nothing here" in page.get(f"{URL}?pipeline=nobody").text.lower()


def test_page_explains_a_delivery_and_never_shows_its_body(page: Console, database: Database) -> None:
    secret = b'{"name": "x", "password": "hunter2"}'
    headers = {"User-Agent": "prober", "X-Api-Key": "hunter2"}
    pk = add(database, body=secret, headers=headers, trace_id="trace-7", **QUARANTINED)
    with database.write() as session:
        add_alert(session, name="Disk of db-7", trace_id="trace-7")
        delivery = session.get_one(Delivery, pk)
        run = runs.create_run(session, definition_name="direct", definition_version=1, deliveries=[delivery])

    text = page.get(f"{URL}details/?id={pk}").text

    assert "replay lets a run read it again, also as another source" in text
    assert "the body is kept, and shown nowhere" in text
    assert "prober" in text
    assert "Disk of db-7" in text
    assert run.run_id in text
    assert "hunter2" not in text
    assert "hunter2" not in page.get(f"{URL}export/csv/").text


def test_replay_reads_it_as_another_source_and_is_told_and_audited(page: Console, database: Database) -> None:
    pk = add(database, **QUARANTINED)

    asked = page.post(f"{URL}action/", {"action": "replay", "rowid": pk})
    answer = page.post(
        f"{URL}action/",
        {"action": "replay", "rowid": pk, "confirmed": "1", "source": "zabbix"},
        follow_redirects=True,
    )

    assert 'name="source"' in asked.text
    assert "1 delivery replayed: a run of pipeline direct takes it next" in answer.text
    row = row_of(database, pk)
    assert (row.status, row.source, row.reason) == (DeliveryStatus.WAITING, "zabbix", "")
    assert audit(database) == [("replay", str(pk), AuditOutcome.DONE)]


def test_discard_of_several_refuses_those_that_are_done_with_the_reason(page: Console, database: Database) -> None:
    waits, done = add(database), add(database, **DONE)

    answer = page.post(
        f"{URL}action/",
        {"action": "discard", "rowid": [waits, done], "confirmed": "1", "reason": "a drill"},
        follow_redirects=True,
    )

    assert "1 delivery discarded" in answer.text
    assert "1 delivery not discarded" in answer.text
    assert "is done and cannot be discarded; that takes one of waiting, quarantined" in answer.text
    assert (row_of(database, waits).status, row_of(database, waits).reason) == (
        DeliveryStatus.DISCARDED,
        "a drill",
    )
    assert row_of(database, done).status is DeliveryStatus.DONE
    assert [outcome for _, _, outcome in audit(database)] == [AuditOutcome.DONE, AuditOutcome.REFUSED]


def test_what_is_wrong_with_a_wish_is_said_and_nothing_is_done(page: Console, database: Database) -> None:
    pk = add(database, **QUARANTINED)
    sure = {"rowid": pk, "confirmed": "1"}

    unknown = page.post(f"{URL}action/", {"action": "replay", "source": "pigeon", **sure})
    too_long = page.post(f"{URL}action/", {"action": "discard", "reason": "x" * 1001, **sure})

    assert "source: is none of the choices" in unknown.text
    assert "reason: at most 1000 characters" in too_long.text
    assert row_of(database, pk).status is DeliveryStatus.QUARANTINED
    assert audit(database) == []


def test_delivery_without_its_body_has_no_replay_button_and_refuses_one(page: Console, database: Database) -> None:
    pk = add(database, body=b"", **DONE)

    text = page.get(f"{URL}details/?id={pk}").text
    refused = page.post(
        f"{URL}action/", {"action": "replay", "rowid": pk, "confirmed": "1", "source": ""}, follow_redirects=True
    )

    assert "nothing: its body is no longer kept" in text
    assert 'value="replay"' not in text
    assert "cannot be replayed: its body is no longer kept" in refused.text


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "a run of pipeline direct takes it next"),
        ({}, "no worker lives at this moment"),
        ({"pipeline": "nowhere"}, "no active pipeline nowhere takes webhooks"),
        ({"status": DeliveryStatus.CLAIMED}, "its runs ended before they had read it"),
        ({"status": DeliveryStatus.QUARANTINED}, "a run looks at it once more"),
        (DONE, "it was dealt with"),
        ({"status": DeliveryStatus.DISCARDED}, "it was set aside"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_page_says_what_happens_next(
    page: Console, database: Database, given: dict[str, object], words: str
) -> None:
    pk = add(database, **given)

    text = page.get(f"{URL}details/?id={pk}").text

    assert words in text


def test_delivery_in_hand_names_its_run(page: Console, database: Database) -> None:
    pk = add(database)
    with database.write() as session:
        [delivery] = inbox.claim(session, pipeline="direct", limit=1)
        run = runs.create_run(session, definition_name="direct", definition_version=1, deliveries=[delivery])

    text = page.get(f"{URL}details/?id={pk}").text

    assert f"run {run.run_id} has it in hand" in text
