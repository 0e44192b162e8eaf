"""Opsgenie's webhooks, which Jira Service Management sends too."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mutations import mutations
from sqlalchemy import select

from storage.database import Database
from storage.records import ParsedAlert
from storage.tables import Alert, AlertHistory
from storage.vocabulary import AlertStatus, Lifecycle, Severity
from tasks.ingest.apply import Arrival, apply
from tasks.ingest.body import read_json
from tasks.ingest.sources import SOURCES, parse, recognise
from tasks.ingest.sources.base import UnreadablePayloadError

PAYLOADS = Path(__file__).parents[3] / "payloads"
ALERT_ID = "9c1f2b7e-30a4-4a53-8d0e-6f1a2b3c4d5e-1789800000123"
ALIAS = "api-gateway/p99-slo"
CREATED = datetime(2026, 9, 19, 6, 40, 0, 123_000, tzinfo=UTC)
UPDATED = datetime(2026, 9, 19, 6, 40, 1, 456_000, tzinfo=UTC)


def sample(name: str) -> Any:
    return read_json((PAYLOADS / "opsgenie" / name).read_bytes())


def action(name: str, **fields: Any) -> dict[str, Any]:
    """The first sample with another action and these fields of its alert."""
    body: dict[str, Any] = sample("01_create_p1.json")
    return body | {"action": name, "alert": body["alert"] | fields}


def bare(name: str, **fields: Any) -> dict[str, Any]:
    """An action that tells no more of the alert than these fields."""
    return {"action": name, "alert": fields, "integrationName": "pipeline", "source": {"name": "", "type": "web"}}


def only_alert(payload: Any) -> ParsedAlert:
    parsed = parse(payload)
    assert (parsed.source, parsed.faults, parsed.remark) == ("opsgenie", [], "")
    (alert,) = parsed.alerts
    return alert


def test_created_alert_is_known_by_its_alias_and_its_id() -> None:
    alert = only_alert(sample("01_create_p1.json"))

    assert (alert.fingerprint, alert.group_key) == (ALIAS, ALIAS)
    assert (alert.vendor_id, alert.episode) == (ALERT_ID, ALERT_ID)
    assert (alert.name, alert.description) == ("API p99 above SLO", "p99 1.9s over 15m (SLO 800ms)")
    assert (alert.status, alert.lifecycle, alert.is_partial) == (AlertStatus.FIRING, None, False)
    assert (alert.severity, alert.raw_severity) == (Severity.CRITICAL, "P1")


def test_creation_is_read_in_milliseconds_and_update_in_nanoseconds() -> None:
    alert = only_alert(sample("01_create_p1.json"))

    assert (alert.started_at, alert.occurred_at, alert.ended_at) == (CREATED, UPDATED, None)


def test_times_may_be_text() -> None:
    alert = only_alert(sample("11_close_times_as_text.json"))

    ended_at = datetime(2026, 9, 19, 7, 0, 0, 250_000, tzinfo=UTC)
    assert (alert.status, alert.note) == (AlertStatus.RESOLVED, "ida@example.net: Rolled back to 4.2.1")
    assert (alert.started_at, alert.occurred_at, alert.ended_at) == (CREATED, ended_at, ended_at)


def test_creation_without_a_time_of_update_occurred_when_it_was_created() -> None:
    assert only_alert(action("Create", updatedAt=None)).occurred_at == CREATED
    assert only_alert(action("Acknowledge", updatedAt=None)).occurred_at is None


def test_details_and_pair_tags_are_labels_and_the_entity_is_no_host() -> None:
    tags = ["api", "tier:front", "https://wiki.example.net/slo", "note: see wiki", "12:30", "region:us"]

    alert = only_alert(action("Create", tags=tags))

    assert alert.labels == {
        "env": "prod",
        "region": "eu-north-1",
        "tier": "front",
        "entity": "api-gateway",
        "team": "platform",
        "tags": "api,tier:front,https://wiki.example.net/slo,note: see wiki,12:30,region:us",
    }


def test_host_in_details_or_tags_is_the_host() -> None:
    assert only_alert(action("Create", details={"host": "web-1"})).labels["host"] == "web-1"
    assert only_alert(action("Create", tags=["host:web-2"])).labels["host"] == "web-2"


@pytest.mark.parametrize(("tags", "label"), [("a, b", "a,b"), ([], None), (None, None), ([1, None, " c "], "1,c")])
def test_tags_may_be_text_numbers_or_missing(tags: Any, label: str | None) -> None:
    assert only_alert(action("Create", tags=tags)).labels.get("tags") == label


@pytest.mark.parametrize("details", [None, [], "", "text", 5])
def test_details_of_another_type_do_not_cost_the_alert(details: Any) -> None:
    alert = only_alert(action("Create", details=details))

    assert (alert.fingerprint, alert.labels["entity"]) == (ALIAS, "api-gateway")


def test_nested_details_are_flat_text() -> None:
    details = {"disks": ["/", "/var"], "count": 3, "is_prod": True}

    labels = only_alert(action("Create", details=details)).labels

    assert (labels["disks"], labels["count"], labels["is_prod"]) == ('["/", "/var"]', "3", "true")


def test_annotations_say_who_did_what() -> None:
    alert = only_alert(action("AssignOwnership", owner="ida@example.net"))

    assert alert.annotations == {
        "action": "AssignOwnership",
        "alert_source": "prometheus",
        "tiny_id": "1844",
        "username": "Alert API",
        "owner": "ida@example.net",
        "responders": "platform",
        "integration": "pipeline",
    }


@pytest.mark.parametrize(
    ("priority", "severity"),
    [
        *[("P1", Severity.CRITICAL), ("P2", Severity.CRITICAL), ("P3", Severity.WARNING)],
        *[("P4", Severity.INFO), ("P5", Severity.INFO), ("p2", Severity.CRITICAL)],
        *[(1, Severity.CRITICAL), (2, Severity.CRITICAL), (3, Severity.WARNING), (4, Severity.INFO)],
        *[(5, Severity.INFO), ("1", Severity.CRITICAL), ("5", Severity.INFO), ("P3-Moderate", Severity.WARNING)],
        *[("", None), (None, None), ("urgent", Severity.WARNING), (10, Severity.WARNING)],
    ],
)
def test_severity_is_the_priority_in_any_spelling(priority: Any, severity: Severity | None) -> None:
    assert only_alert(action("Create", priority=priority)).severity is severity


def test_acknowledgement_goes_on_firing_and_claims_no_severity() -> None:
    alert = only_alert(sample("03_acknowledge.json"))

    assert (alert.status, alert.lifecycle) == (AlertStatus.FIRING, Lifecycle.ACKNOWLEDGED)
    assert (alert.severity, alert.raw_severity) == (None, "")
    assert (alert.fingerprint, alert.started_at) == (ALIAS, CREATED)
    assert alert.occurred_at == datetime(2026, 9, 19, 6, 45, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "lifecycle"),
    [
        ("Acknowledge", Lifecycle.ACKNOWLEDGED),
        ("acknowledge", Lifecycle.ACKNOWLEDGED),
        ("UnAcknowledge", Lifecycle.UNACKNOWLEDGED),
        ("UNACKNOWLEDGE", Lifecycle.UNACKNOWLEDGED),
        ("AddNote", Lifecycle.NOTE),
        ("Escalate", Lifecycle.ESCALATED),
        ("EscalateNext", Lifecycle.ESCALATED),
        ("AssignOwnership", Lifecycle.ASSIGNED),
        ("TakeOwnership", Lifecycle.ASSIGNED),
        ("AddTeam", Lifecycle.UPDATED),
        ("AddRecipient", Lifecycle.UPDATED),
        ("AddTags", Lifecycle.UPDATED),
        ("RemoveTags", Lifecycle.UPDATED),
        ("Snooze", Lifecycle.UPDATED),
        ("UpdatePriority", Lifecycle.UPDATED),
        ("Restart", Lifecycle.UPDATED),
    ],
)
def test_what_people_do_about_an_alert_leaves_it_firing(name: str, lifecycle: Lifecycle) -> None:
    alert = only_alert(action(name))

    assert (alert.status, alert.lifecycle, alert.is_partial) == (AlertStatus.FIRING, lifecycle, False)
    assert (alert.fingerprint, alert.ended_at) == (ALIAS, None)


@pytest.mark.parametrize("name", ["Close", "close", "Delete", " DELETE "])
def test_closed_or_deleted_alert_ended_when_it_was_updated(name: str) -> None:
    alert = only_alert(action(name, priority=None))

    assert (alert.status, alert.lifecycle, alert.is_partial) == (AlertStatus.RESOLVED, None, False)
    assert (alert.started_at, alert.ended_at, alert.severity) == (CREATED, UPDATED, None)


def test_same_alias_with_another_id_is_another_episode_of_the_same_alert() -> None:
    first = only_alert(action("Create"))

    second = only_alert(action("Create", alertId="another-1789900000000", createdAt=1789900000000))

    assert second.fingerprint == first.fingerprint
    assert second.episode != first.episode


@pytest.mark.parametrize("alias", [None, ""])
def test_alert_without_an_alias_is_known_by_its_id(alias: Any) -> None:
    alert = only_alert(action("Create", alias=alias))

    assert (alert.fingerprint, alert.group_key, alert.vendor_id) == (ALERT_ID, ALERT_ID, ALERT_ID)


def test_alias_of_any_length_fits_the_column() -> None:
    one, other = (only_alert(action("Create", alias="a" * 511 + end)) for end in "xy")

    assert len(one.fingerprint) <= 256
    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize("name", ["Escalate", "EscalateNext", "Acknowledge", "Restart"])
def test_action_that_names_only_the_id_makes_no_alert_of_its_own(name: str) -> None:
    alert = only_alert(bare(name, alertId=ALERT_ID))

    assert (alert.is_partial, alert.vendor_id, alert.status) == (True, ALERT_ID, AlertStatus.FIRING)
    assert (alert.name, alert.severity, alert.started_at) == ("", None, None)
    assert alert.lifecycle is not None


def test_note_is_kept_with_its_author() -> None:
    body = bare("AddNote", alertId=ALERT_ID, alias=ALIAS, note="Rolled back", username="ida@example.net")

    alert = only_alert(body)

    assert (alert.lifecycle, alert.note) == (Lifecycle.NOTE, "ida@example.net: Rolled back")
    assert (alert.is_partial, alert.fingerprint) == (True, ALIAS)


def test_note_given_with_another_action_is_kept_too() -> None:
    alert = only_alert(action("Close", note="Was a test", username=None))

    assert (alert.status, alert.note) == (AlertStatus.RESOLVED, "Was a test")


@pytest.mark.parametrize("name", ["Create", "Close", "Delete"])
def test_alert_that_begins_or_ends_without_a_message_is_not_lost(name: str) -> None:
    alert = only_alert(action(name, message=""))

    assert (alert.is_partial, alert.name) == (False, ALIAS)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"action": "Create", "alert": {"message": "x"}}, "alert.alertId or alert.alias is needed"),
        ({"action": "Create", "alert": []}, "alert must be an object"),
        ({"action": "Create"}, "alert must be an object"),
        ({"action": 5, "alert": {"alertId": "a"}}, "action must be text"),
        ({"action": " ", "alert": {"alertId": "a"}}, "action must be text"),
        ({"alert": {"alertId": "a"}}, "action must be text"),
        ([], "the payload must be an object"),
        (None, "the payload must be an object"),
    ],
)
def test_body_that_cannot_be_read_is_refused_by_the_name_of_the_field(body: Any, reason: str) -> None:
    with pytest.raises(UnreadablePayloadError, match=f"^{reason}$"):
        parse(body, source="opsgenie")


@pytest.mark.parametrize(
    "payload",
    [
        *[5, "action", None, [], {}, {"action": "Create"}, {"alert": {"alertId": "a"}}],
        {"action": "opened", "alert": {"number": 7}, "repository": {"name": "shop"}},
        {"action": "Create", "alert": [], "integrationId": "x"},
    ],
)
def test_bodies_of_others_are_not_taken_for_opsgenie(payload: Any) -> None:
    assert SOURCES["opsgenie"].detect(payload) is False


@pytest.mark.parametrize("path", sorted((PAYLOADS / "opsgenie").glob("*.json")), ids=lambda path: path.name)
def test_every_sample_is_recognised_by_opsgenie_alone(path: Path) -> None:
    assert recognise(read_json(path.read_bytes())) == "opsgenie"


@pytest.mark.parametrize("name", ["Create", "Close", "AddNote", "Restart"])
def test_no_body_raises_anything_but_the_one_error(name: str) -> None:
    for mutation in mutations(action(name, note="x", owner="ida")):
        try:
            parsed = parse(mutation, source="opsgenie")
            assert len(parsed.alerts) == 1
        except UnreadablePayloadError:
            pass
        SOURCES["opsgenie"].detect(mutation)


def ingest(database: Database, *payloads: Any) -> Alert:
    """The one alert that these bodies make."""
    received_at = datetime(2026, 9, 19, 9, tzinfo=UTC)
    arrivals = [Arrival(parse(payload), "trace-1", "test", received_at) for payload in payloads]
    with database.write() as session:
        apply(session, arrivals, reopen_window=timedelta(minutes=10))
    with database.read() as session:
        return session.scalars(select(Alert)).one()


def test_escalation_that_names_only_the_id_finds_the_alert_of_the_alias(database: Database) -> None:
    ingest(database, sample("01_create_p1.json"))

    ingest(database, sample("12_escalate_id_only.json"))

    with database.read() as session:
        told = session.scalars(select(AlertHistory).order_by(AlertHistory.id.desc())).first()
    assert told is not None
    assert told.details["lifecycle"] == "escalated"


def test_acknowledgement_without_priority_keeps_the_severity(database: Database) -> None:
    alert = ingest(database, sample("01_create_p1.json"), sample("03_acknowledge.json"))

    assert (alert.status, alert.severity, alert.raw_severity) == (AlertStatus.FIRING, Severity.CRITICAL, "P1")


def test_new_alert_of_a_closed_alias_fires_and_a_late_close_of_the_old_one_is_stale(database: Database) -> None:
    again = action("Create", alertId="another-1", createdAt=1789800600000, updatedAt=1789800600000000000)

    ended = ingest(database, action("Create"), action("Close"))
    fired = ingest(database, again, action("Close"))

    assert (ended.status, ended.ended_at) == (AlertStatus.RESOLVED, UPDATED)
    assert (fired.status, fired.episode) == (AlertStatus.FIRING, "another-1")
