"""PagerDuty's webhooks, versions 3 and 2."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mutations import NASTY, mutations
from sqlalchemy import select

from storage.database import Database
from storage.records import IngestResult, ParsedAlert
from storage.tables import Alert, Incident
from storage.vocabulary import AlertStatus, IncidentStatus, Lifecycle, Severity
from tasks.ingest.apply import Arrival, apply
from tasks.ingest.body import read_json
from tasks.ingest.sources import SOURCES, parse, recognise
from tasks.ingest.sources.base import UnreadablePayloadError
from tasks.ingest.sources.pagerduty import INCIDENT_EVENTS, NOTE_EVENTS
from tasks.ingest.sources.pagerduty_v2 import EVENTS

PAYLOADS = Path(__file__).parents[3] / "payloads"
VENDOR = Path(__file__).parents[4] / "webhook_app" / "vendor"
CREATED = datetime(2026, 9, 18, 7, 44, 3, tzinfo=UTC)
OCCURRED = datetime(2026, 9, 18, 8, 30, 0, 250_000, tzinfo=UTC)
REFERENCE = {
    "id": "Q2KX9L0ZT5VN1A",
    "type": "incident_reference",
    "summary": "Mail queue",
    "html_url": "https://x/i",
}
PERSON = {"id": "PTR4N9C", "type": "user_reference", "summary": "Ida Holm"}


def sample(name: str) -> Any:
    return read_json((PAYLOADS / "pagerduty" / name).read_bytes())


def event(event_type: str, data: Any = None, **fields: Any) -> dict[str, Any]:
    """A version 3 body; without data, that of the incident of the first sample with these fields."""
    body = sample("01_v3_incident_triggered.json")
    body["event"] |= {"event_type": event_type, "occurred_at": "2026-09-18T08:30:00.250Z", "agent": PERSON}
    body["event"]["data"] = {**body["event"]["data"], **fields} if data is None else data
    return body


def message(name: str, **fields: Any) -> dict[str, Any]:
    """A version 2 message about the incident of the sample with these fields."""
    told = sample("06_v2_incident_trigger.json")["messages"][0]
    told |= {"event": name, "created_on": "2026-09-02T20:01:00Z"}
    told["incident"] |= {"last_status_change_at": "2026-09-02T20:00:59Z"} | fields
    return told


def only_alert(payload: Any) -> ParsedAlert:
    parsed = parse(payload)
    assert (parsed.source, parsed.faults, parsed.remark) == ("pagerduty", [], "")
    (alert,) = parsed.alerts
    return alert


def ingest(database: Database, *payloads: Any) -> IngestResult:
    received_at = datetime(2026, 9, 18, 9, tzinfo=UTC)
    arrivals = [Arrival(parse(payload), "trace-1", "test", received_at) for payload in payloads]
    with database.write() as session:
        return apply(session, arrivals, reopen_window=timedelta(minutes=10))[0]


def test_triggered_incident_is_a_firing_alert_in_its_own_group() -> None:
    alert = only_alert(sample("01_v3_incident_triggered.json"))

    assert (alert.fingerprint, alert.group_key, alert.name) == (
        "Q2KX9L0ZT5VN1A",
        "Q2KX9L0ZT5VN1A",
        "Mail queue depth > 5000 on mx-1",
    )
    assert (alert.status, alert.severity, alert.raw_severity) == (AlertStatus.FIRING, Severity.CRITICAL, "P2")
    assert (alert.started_at, alert.ended_at) == (CREATED, None)
    assert alert.occurred_at == datetime(2026, 9, 18, 7, 44, 3, 512_000, tzinfo=UTC)
    assert (alert.lifecycle, alert.is_partial, alert.episode) == (None, False, None)


def test_labels_and_annotations_hold_what_people_look_for_and_no_host() -> None:
    alert = only_alert(sample("01_v3_incident_triggered.json"))

    assert alert.labels == {
        "incident_key": "srv-mail-queue-depth",
        "incident_type": "incident_default",
        "service": "Mail relay",
        "teams": "Platform",
        "escalation_policy": "Ops 24x7",
        "priority": "P2",
        "urgency": "high",
    }
    assert alert.annotations == {
        "incident_number": "5127",
        "html_url": "https://acme-ops.pagerduty.com/incidents/Q2KX9L0ZT5VN1A",
        "assignees": "Ida Holm",
        "conference_url": "https://meet.example.net/ops",
        "conference_number": "+46 8 000 00 00,,4411#",
        "agent": "Mail relay",
        "client": "Monitoring Service",
        "client_url": "https://mon.example.net",
    }
    assert alert.raw_payload == sample("01_v3_incident_triggered.json")["event"]


@pytest.mark.parametrize(
    ("event_type", "lifecycle"),
    [
        ("incident.acknowledged", Lifecycle.ACKNOWLEDGED),
        ("incident.unacknowledged", Lifecycle.UNACKNOWLEDGED),
        ("incident.escalated", Lifecycle.ESCALATED),
        ("incident.delegated", Lifecycle.ASSIGNED),
        ("incident.reassigned", Lifecycle.ASSIGNED),
        ("incident.priority_updated", Lifecycle.UPDATED),
        ("incident.service_updated", Lifecycle.UPDATED),
        ("incident.incident_type.changed", Lifecycle.UPDATED),
    ],
)
def test_what_people_do_about_an_incident_leaves_it_firing(event_type: str, lifecycle: Lifecycle) -> None:
    alert = only_alert(event(event_type, status="acknowledged"))

    assert (alert.status, alert.lifecycle, alert.is_partial) == (AlertStatus.FIRING, lifecycle, False)
    assert (alert.started_at, alert.occurred_at, alert.ended_at) == (CREATED, OCCURRED, None)
    assert (alert.fingerprint, alert.severity) == ("Q2KX9L0ZT5VN1A", Severity.CRITICAL)


def test_resolved_incident_ends_when_the_event_occurred() -> None:
    alert = only_alert(event("incident.resolved", status="resolved"))

    assert (alert.status, alert.lifecycle) == (AlertStatus.RESOLVED, None)
    assert (alert.started_at, alert.ended_at, alert.occurred_at) == (CREATED, OCCURRED, OCCURRED)
    assert alert.severity is Severity.CRITICAL
    assert "resolve_reason" not in alert.annotations


def test_merged_incident_is_resolved_and_names_the_one_that_goes_on() -> None:
    target = {
        "id": "QOTHER",
        "type": "incident_reference",
        "summary": "Relay down",
        "html_url": "https://x/QOTHER",
    }
    reason = {"type": "merge_resolve_reason", "incident": target}

    alert = only_alert(event("incident.resolved", status="resolved", resolve_reason=reason))

    assert alert.status is AlertStatus.RESOLVED
    assert alert.annotations["resolve_reason"] == "merged into Relay down https://x/QOTHER"


@pytest.mark.parametrize("event_type", ["incident.reopened", "incident.acknowledged", "incident.resolved"])
def test_reopened_incident_is_a_later_episode_in_all_its_events(event_type: str) -> None:
    alert = only_alert(event(event_type, reopened_at="2026-09-18T08:29:59Z"))

    assert alert.started_at == datetime(2026, 9, 18, 8, 29, 59, tzinfo=UTC)


def test_reopened_event_fires_again_also_where_it_names_no_time_of_reopening() -> None:
    alert = only_alert(event("incident.reopened", reopened_at=None))

    assert (alert.status, alert.lifecycle, alert.started_at) == (AlertStatus.FIRING, None, OCCURRED)


@pytest.mark.parametrize("event_type", ["incident.priority_updated", "incident.service_updated"])
def test_change_to_an_incident_that_has_ended_does_not_make_it_fire(event_type: str) -> None:
    alert = only_alert(event(event_type, status="resolved"))

    assert (alert.status, alert.lifecycle, alert.ended_at) == (AlertStatus.RESOLVED, None, OCCURRED)


@pytest.mark.parametrize(
    ("priority", "urgency", "severity", "raw_severity"),
    [
        ({"summary": "P1"}, "low", Severity.CRITICAL, "P1"),
        ({"summary": "P2"}, "low", Severity.CRITICAL, "P2"),
        ({"summary": "p3"}, "high", Severity.WARNING, "p3"),
        ({"summary": "P4"}, "high", Severity.INFO, "P4"),
        ({"summary": "P5"}, "high", Severity.INFO, "P5"),
        ({"name": "P4"}, "high", Severity.INFO, "P4"),
        ("P1", "low", Severity.CRITICAL, "P1"),
        (None, "high", Severity.CRITICAL, "high"),
        (None, "low", Severity.WARNING, "low"),
        ({"summary": "Whenever"}, "low", Severity.WARNING, "low"),
        ({"summary": None}, "high", Severity.CRITICAL, "high"),
        ([], "high", Severity.CRITICAL, "high"),
        (None, None, None, ""),
    ],
)
def test_severity_is_the_priority_else_the_urgency(
    priority: Any, urgency: Any, severity: Severity | None, raw_severity: str
) -> None:
    alert = only_alert(event("incident.triggered", priority=priority, urgency=urgency))

    assert (alert.severity, alert.raw_severity) == (severity, raw_severity)


def test_priority_and_key_may_be_missing() -> None:
    body = event("incident.triggered")
    for field in ("priority", "incident_key", "reopened_at", "resolve_reason", "incident_type", "teams"):
        del body["event"]["data"][field]

    alert = only_alert(body)

    assert (alert.severity, alert.started_at) == (Severity.CRITICAL, CREATED)
    assert {"priority", "incident_key", "incident_type", "teams"}.isdisjoint(alert.labels)


def test_note_is_kept_with_its_author_and_makes_no_alert_of_its_own() -> None:
    note = {"type": "incident_note", "id": "P2LA89X", "content": "Restarted mx-1", "trimmed": False}

    alert = only_alert(event("incident.annotated", note | {"incident": REFERENCE}))

    assert (alert.is_partial, alert.lifecycle, alert.note) == (True, Lifecycle.NOTE, "Ida Holm: Restarted mx-1")
    assert (alert.fingerprint, alert.started_at, alert.severity) == ("Q2KX9L0ZT5VN1A", None, None)
    assert alert.occurred_at == OCCURRED


def test_note_that_pagerduty_cut_shows_that_it_was() -> None:
    note = {"type": "incident_note", "content": "A long story", "trimmed": True, "incident": REFERENCE}

    alert = only_alert(event("incident.annotated", note))

    assert alert.note == "Ida Holm: A long story […]"


def test_note_without_a_known_author_is_kept_as_it_is() -> None:
    body = event("incident.annotated", {"content": "Restarted", "incident": REFERENCE})
    body["event"]["agent"] = None

    assert only_alert(body).note == "Restarted"


def test_status_update_is_a_note_with_its_message() -> None:
    update = {"type": "incident_status_update", "message": "A fix is on its way", "incident": REFERENCE}

    alert = only_alert(event("incident.status_update_published", update))

    assert (alert.is_partial, alert.lifecycle) == (True, Lifecycle.NOTE)
    assert alert.note == "Ida Holm: A fix is on its way"


SIDE_EVENTS = [
    "incident.responder.added",
    "incident.responder.replied",
    "incident.role.assigned",
    "incident.task.created",
    "incident.task.updated",
    "incident.task.completed",
    "incident.workflow.started",
    "incident.workflow.completed",
    "incident.action_invocation.created",
    "incident.action_invocation.updated",
    "incident.action_invocation.terminated",
    "incident.conference_bridge.updated",
    "incident.custom_field_values.updated",
]


@pytest.mark.parametrize("event_type", SIDE_EVENTS)
def test_event_beside_an_incident_only_updates_the_known_alert(event_type: str) -> None:
    data = {"id": "PTASK", "type": "incident_task", "status": "todo", "message": "Help", "incident": REFERENCE}

    alert = only_alert(event(event_type, data))

    assert (alert.is_partial, alert.lifecycle, alert.note) == (True, Lifecycle.UPDATED, "")
    assert (alert.fingerprint, alert.status, alert.ended_at) == ("Q2KX9L0ZT5VN1A", AlertStatus.FIRING, None)


@pytest.mark.parametrize("event_type", ["incident.annotated", "incident.status_update_published", *SIDE_EVENTS])
@pytest.mark.parametrize("data", [{}, {"id": "PTASK", "incident": None}, {"incident": {"id": None}}, [], 5, "x"])
def test_event_that_names_no_incident_is_remarked_on(event_type: str, data: Any) -> None:
    parsed = parse(event(event_type, data))

    assert (parsed.alerts, parsed.faults, parsed.remark) == ([], [], "the event names no incident")


@pytest.mark.parametrize(
    "event_type",
    [
        "service.created",
        "service.updated",
        "service.deleted",
        "service.custom_field_values.updated",
        "incident.new",
    ],
)
def test_event_that_is_not_about_an_incident_is_remarked_on(event_type: str) -> None:
    body = event(event_type, {"id": "PM1XQ7A", "type": "service", "summary": "Mail relay"})

    parsed = parse(body)

    assert (parsed.source, parsed.alerts, parsed.faults) == ("pagerduty", [], [])
    assert parsed.remark == "the event is not about an incident"


def test_ping_is_recognised_and_remarked_on() -> None:
    ping = read_json((PAYLOADS / "nasty" / "11_pagerduty_pagey_ping.json").read_bytes())

    parsed = parse(ping)

    assert (parsed.source, parsed.alerts, parsed.remark) == ("pagerduty", [], "a test of the connection")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (event("incident.triggered", []), "event.data must be an object"),
        (event("incident.resolved", "x"), "event.data must be an object"),
        (event("incident.triggered", {"title": "Disk full"}), "event.data.id is needed"),
        ({"event": []}, "event must be an object"),
        ({"event": "incident.trigger"}, "event must be an object"),
        ({"event": {"event_type": 5, "data": {}}}, "event.event_type must be text"),
        ({"event": {}}, "event.event_type must be text"),
        ({"messages": {}}, "messages must be a list"),
        ({"title": "Disk full"}, r"event \(version 3\) or messages \(version 2\) is needed"),
        ([], "the payload must be an object"),
        (None, "the payload must be an object"),
    ],
)
def test_body_that_cannot_be_read_is_refused_by_the_name_of_the_field(body: Any, reason: str) -> None:
    with pytest.raises(UnreadablePayloadError, match=f"^{reason}$"):
        parse(body, source="pagerduty")


def test_incident_without_title_still_becomes_an_alert() -> None:
    alert = only_alert(event("incident.triggered", title=None))

    assert alert.name == "Q2KX9L0ZT5VN1A"


def test_subscription_that_we_ship_asks_for_every_event_that_says_something_and_no_other() -> None:
    subscription = json.loads((VENDOR / "pagerduty_subscription.json").read_text())["webhook_subscription"]

    assert set(subscription["events"]) == INCIDENT_EVENTS.keys() | NOTE_EVENTS.keys()
    assert subscription["delivery_method"]["url"].endswith("/alerts/webhook/pagerduty/")


def test_version_2_trigger_is_a_firing_alert() -> None:
    alert = only_alert(sample("06_v2_incident_trigger.json"))

    assert (alert.fingerprint, alert.group_key, alert.name) == ("PV2INC8", "PV2INC8", "Replica lag > 120s on pg-2")
    assert (alert.status, alert.severity, alert.raw_severity) == (AlertStatus.FIRING, Severity.CRITICAL, "high")
    assert (alert.started_at, alert.ended_at) == (datetime(2026, 9, 2, 19, 20, 31, tzinfo=UTC), None)
    assert (alert.labels["service"], alert.annotations["assignees"]) == ("Postgres", "Ida Holm")
    assert alert.annotations["incident_number"] == "811"


@pytest.mark.parametrize(
    ("name", "lifecycle"),
    [
        ("incident.acknowledge", Lifecycle.ACKNOWLEDGED),
        ("incident.unacknowledge", Lifecycle.UNACKNOWLEDGED),
        ("incident.assign", Lifecycle.ASSIGNED),
        ("incident.delegate", Lifecycle.ASSIGNED),
        ("incident.escalate", Lifecycle.ESCALATED),
        ("incident.annotate", Lifecycle.NOTE),
    ],
)
def test_version_2_event_leaves_the_incident_firing(name: str, lifecycle: Lifecycle) -> None:
    alert = only_alert({"messages": [message(name)]})

    assert (alert.status, alert.lifecycle, alert.is_partial) == (AlertStatus.FIRING, lifecycle, False)
    assert (alert.ended_at, alert.occurred_at) == (None, datetime(2026, 9, 2, 20, 1, tzinfo=UTC))


def test_version_2_resolve_ends_at_the_last_change_of_status() -> None:
    alert = only_alert({"messages": [message("incident.resolve", status="resolved", resolve_reason="merged")]})

    assert (alert.status, alert.lifecycle) == (AlertStatus.RESOLVED, None)
    assert alert.ended_at == datetime(2026, 9, 2, 20, 0, 59, tzinfo=UTC)
    assert alert.annotations["resolve_reason"] == "merged"


def test_version_2_note_is_kept_with_its_author() -> None:
    told = message("incident.annotate")
    channel = {"type": "note", "summary": "Failed over"}
    told["log_entries"] = [{"type": "annotate_log_entry", "agent": PERSON, "channel": channel}]

    assert only_alert({"messages": [told]}).note == "Ida Holm: Failed over"


def test_version_2_note_on_an_incident_that_has_ended_does_not_make_it_fire() -> None:
    told = message("incident.annotate", status="resolved")
    told["log_entries"] = [{"agent": PERSON, "channel": {"type": "note", "content": "It was the disk"}}]

    alert = only_alert({"messages": [told]})

    assert (alert.status, alert.note) == (AlertStatus.RESOLVED, "Ida Holm: It was the disk")
    assert alert.ended_at == datetime(2026, 9, 2, 20, 0, 59, tzinfo=UTC)


def test_version_2_words_of_whoever_raised_it_by_hand_are_the_description() -> None:
    told = message("incident.trigger")
    told["log_entries"][0]["channel"] = {"type": "web_trigger", "details": "Nobody can log in"}

    assert only_alert({"messages": [told]}).description == "Nobody can log in"


def test_version_2_messages_are_read_each_by_itself() -> None:
    messages = [message("incident.trigger"), message("incident.acknowledge"), message("incident.resolve")]

    parsed = parse({"messages": messages})

    assert [(a.status.value, a.lifecycle) for a in parsed.alerts] == [
        ("firing", None),
        ("firing", Lifecycle.ACKNOWLEDGED),
        ("resolved", None),
    ]
    assert parsed.version == "2"


def test_version_2_message_that_cannot_be_read_does_not_take_the_others_with_it() -> None:
    nameless = message("incident.trigger", id=None)
    messages = [message("incident.custom"), 5, message("incident.trigger"), {"event": 1}, nameless]

    parsed = parse({"messages": [*messages, {"event": "incident.resolve", "incident": []}]})

    assert [alert.fingerprint for alert in parsed.alerts] == ["PV2INC8"]
    assert [(fault.place, fault.reason) for fault in parsed.faults] == [
        ("messages[1]", "must be an object"),
        ("messages[3]", "event must be text"),
        ("messages[4]", "incident.id is needed"),
        ("messages[5]", "incident must be an object"),
    ]


@pytest.mark.parametrize("messages", [[], [message("incident.custom")]])
def test_version_2_body_without_a_known_event_is_remarked_on(messages: list[Any]) -> None:
    parsed = parse({"messages": messages}, source="pagerduty")

    assert (parsed.alerts, parsed.faults) == ([], [])
    assert parsed.remark == "no message says anything about an incident"


@pytest.mark.parametrize(
    "payload",
    [
        *[5, "event", None, [], {}, {"event": {}}, {"event": "incident.trigger"}, {"messages": []}],
        {"event": {"event_type": "incident.triggered"}},
        {"event_type": "query_alert_monitor", "data": {}},
        {"messages": [{"text": "hello", "event": "chat"}]},
        {"messages": {"event": "incident.trigger"}},
    ],
)
def test_bodies_of_others_are_not_taken_for_pagerduty(payload: Any) -> None:
    assert SOURCES["pagerduty"].detect(payload) is False


@pytest.mark.parametrize("path", sorted((PAYLOADS / "pagerduty").glob("*.json")), ids=lambda path: path.name)
def test_every_sample_is_recognised_by_pagerduty_alone(path: Path) -> None:
    assert recognise(read_json(path.read_bytes())) == "pagerduty"


@pytest.mark.parametrize(
    ("name", "becomes"),
    [
        ("11_v3_incident_resolved_by_merge.json", [("resolved", None, "07:44:03", "08:02:47", False)]),
        ("12_v3_incident_reopened.json", [("firing", None, "08:15:00", None, False)]),
        ("13_v3_incident_annotated.json", [("firing", "note", None, None, True)]),
        (
            "14_v2_acknowledge_and_resolve.json",
            [
                ("firing", "acknowledged", "19:20:31", None, False),
                ("resolved", None, "19:20:31", "19:41:09", False),
            ],
        ),
    ],
)
def test_further_samples_become(name: str, becomes: list[tuple[Any, ...]]) -> None:
    alerts = parse(sample(name)).alerts

    assert [
        (a.status, a.lifecycle, clock(a.started_at), clock(a.ended_at), a.is_partial) for a in alerts
    ] == becomes
    assert len({alert.fingerprint for alert in alerts}) == 1


def clock(moment: datetime | None) -> str | None:
    return f"{moment:%H:%M:%S}" if moment else None


@pytest.mark.parametrize(
    "body",
    [
        *(event(name, reopened_at="2026-09-18T08:29:59Z") for name in INCIDENT_EVENTS),
        event("incident.annotated", {"content": "x", "trimmed": True, "incident": REFERENCE}),
        event("incident.task.created", {"incident": REFERENCE}),
        *({"messages": [message(name)]} for name in EVENTS),
    ],
    ids=lambda body: json.dumps(body)[:60],
)
def test_no_body_raises_anything_but_the_one_error(body: Any) -> None:
    outcomes = 0
    for mutation in mutations(body):
        try:
            parsed = parse(mutation, source="pagerduty")
            assert parsed.alerts or parsed.faults or parsed.remark
        except UnreadablePayloadError:
            pass
        SOURCES["pagerduty"].detect(mutation)
        outcomes += 1
    assert outcomes > len(NASTY)


def test_life_of_an_incident_is_one_alert_whose_reopening_fires_again(database: Database) -> None:
    reopened = {"reopened_at": "2026-09-18T08:45:00Z"}
    note = {"content": "Restarted mx-1", "incident": REFERENCE}

    ingest(database, sample("01_v3_incident_triggered.json"), sample("03_v3_incident_acknowledged.json"))
    ended = ingest(database, event("incident.annotated", note), event("incident.resolved", status="resolved"))
    again = ingest(database, event("incident.reopened", **reopened))
    late = ingest(database, sample("01_v3_incident_triggered.json"))

    assert (ended.alerts_resolved, len(again.changes), late.changes) == (1, 1, [])
    with database.read() as session:
        alert = session.scalars(select(Alert)).one()
        incidents = session.scalars(select(Incident).order_by(Incident.id)).all()
    assert (alert.status, alert.started_at) == (AlertStatus.FIRING, datetime(2026, 9, 18, 8, 45, tzinfo=UTC))
    assert incidents[-1].status is IncidentStatus.OPEN
    assert incidents[0].details["notes"][0]["text"] == "Ida Holm: Restarted mx-1"


def test_note_about_an_incident_that_is_not_known_opens_nothing(database: Database) -> None:
    ingest(database, event("incident.annotated", {"content": "Restarted", "incident": REFERENCE}))

    with database.read() as session:
        assert (session.scalars(select(Alert)).all(), session.scalars(select(Incident)).all()) == ([], [])
