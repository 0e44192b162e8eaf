"""Every payload, a little broken in many ways: never a 5xx, and never a 202 that loses a readable alert."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from mutations import NASTY, places, replaced, without
from sqlalchemy import select
from sqlalchemy.orm import undefer

from storage import inbox, runs
from storage.database import Database
from storage.tables import Alert, Delivery
from storage.vocabulary import DeliveryStatus, RunVia
from tasks.attempt import NodeOrder, run_attempt
from tasks.ingest import sources
from tasks.ingest.body import BodyError, read_body
from tasks.ingest.sources.base import UnreadablePayloadError
from tasks.ingest.stage import INGEST

PAYLOADS = Path(__file__).parents[1] / "payloads"
BIG = "05_group_of_5000_alerts.json"
FILES = sorted(
    str(path.relative_to(PAYLOADS)) for path in PAYLOADS.glob("*/*") if path.suffix == ".json" and path.name != BIG
)
MUTATIONS = 12
LISTS = {"alertmanager": "alerts", "grafana": "alerts", "generic": "alerts", "pagerduty": "messages"}
WITH_ENTRIES = [
    name
    for name in FILES
    if (field := LISTS.get(name.split("/", maxsplit=1)[0])) and field in json.loads((PAYLOADS / name).read_bytes())
]
CONTENT_TYPES = [
    "application/json",
    "text/plain",
    "application/x-www-form-urlencoded",
    "",
    "application/x; charset=no",
]


def broken(body: bytes, chance: random.Random) -> bytes:
    """The body with its JSON or its bytes changed at one to three places."""
    try:
        value = json.loads(body)
    except ValueError:
        return broken_bytes(body, chance)
    if chance.random() < 0.3:
        return broken_bytes(body, chance)
    for _ in range(chance.randint(1, 3)):
        found = list(places(value))
        if not found:
            break
        place = chance.choice(found)
        value = without(value, place) if chance.random() < 0.3 else replaced(value, place, chance.choice(NASTY))
    return json.dumps(value).encode()


def broken_bytes(body: bytes, chance: random.Random) -> bytes:
    """The body cut off, or with bytes put in or changed."""
    at = chance.randrange(len(body) + 1)
    junk = bytes(chance.choices(b'\x00\xff"{}[],:\\e9\n\xc3u', k=chance.randint(1, 4)))
    return chance.choice([body[:at], body[:at] + junk + body[at:], body[:at] + junk + body[at + len(junk) :]])


@pytest.mark.parametrize("name", FILES)
def test_broken_body_is_refused_kept_or_ingested_and_never_a_server_error(
    name: str, client: FlaskClient, database: Database
) -> None:
    chance = random.Random(name)
    body = (PAYLOADS / name).read_bytes()
    source = name.split("/", maxsplit=1)[0]
    answers = []

    for number in range(MUTATIONS):
        url = "/alerts/webhook/" if number % 2 or source == "nasty" else f"/alerts/webhook/{source}/"
        answers.append(client.post(url, data=broken(body, chance), content_type=chance.choice(CONTENT_TYPES)))

    assert {answer.status_code for answer in answers} <= {202, 400}
    assert all(json.loads(answer.data, parse_constant=pytest.fail)["status"] for answer in answers)
    ingest_all(database)
    with database.read() as session:
        kept = list(session.scalars(select(Delivery).options(undefer(Delivery.body))))
        stored = {(alert.source, alert.fingerprint) for alert in session.scalars(select(Alert))}
    assert len(kept) == sum("delivery_id" in answer.json for answer in answers)
    for delivery in kept:
        assert delivery.status in {DeliveryStatus.DONE, DeliveryStatus.QUARANTINED}
        assert readable(delivery) <= stored
        assert readable(delivery) or delivery.reason


def readable(delivery: Delivery) -> set[tuple[str, str]]:
    """The alerts that the parsers find in a kept body, by identity."""
    try:
        payload = read_body(delivery.body, delivery.headers.get("Content-Type", ""))
        parsed = sources.parse(payload, source=delivery.source)
    except (BodyError, UnreadablePayloadError):
        return set()
    return {(parsed.source, alert.fingerprint) for alert in parsed.alerts if not alert.is_partial}


def ingest_all(database: Database) -> None:
    """One run's ingest stage over all that waits, as the relay and a worker do it."""
    with database.write() as session:
        claimed = inbox.claim(session, pipeline="full", limit=100)
        run = runs.create_run(session, definition_name="full", definition_version=0, deliveries=claimed)
    with database.write() as session:
        held = runs.lease_run(session, run.run_id, owner="fuzz", lease_seconds=60)
        runs.start(session, held, via=RunVia.DIRECT, flow_run_id=None)
    order = NodeOrder(run=held, node_id="ingest", config={}, max_attempts=1, timeout_seconds=30)
    run_attempt(INGEST, order, is_last_attempt=True)


@pytest.mark.parametrize("name", WITH_ENTRIES)
def test_one_broken_entry_does_not_take_the_others_with_it(name: str) -> None:
    source = name.split("/", maxsplit=1)[0]
    field = LISTS[source]
    whole = json.loads((PAYLOADS / name).read_bytes())
    entries = whole[field] + whole[field][:1]
    alone = [sources.parse({**whole, field: [entry]}, source=source).alerts for entry in entries]

    for index, entry in enumerate(entries):
        others = [alert for other, alerts in enumerate(alone) if other != index for alert in alerts]
        for place in [(index,), *((index, *rest) for rest in places(entry))]:
            for nasty in NASTY:
                mutated = {**whole, field: replaced(entries, place, nasty)}
                found = sources.parse(mutated, source=source).alerts
                assert all(alert in found for alert in others)


def test_fault_in_five_thousand_alerts_costs_only_that_one() -> None:
    whole: dict[str, Any] = json.loads((PAYLOADS / "nasty" / BIG).read_bytes())
    whole["alerts"][4_321]["labels"] = 5

    parsed = sources.parse(whole)

    assert (len(parsed.alerts), [fault.place for fault in parsed.faults]) == (4_999, ["alerts[4321]"])
