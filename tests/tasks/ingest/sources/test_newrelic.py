"""New Relic's webhooks: issues of workflows, and incidents of the older notification channels."""

import json
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingesting import ingest_at, only_alert_of, the_alert
from mutations import ODD
from sqlalchemy import select

from storage.database import Database
from storage.tables import Incident
from storage.vocabulary import AlertStatus, IncidentStatus, Lifecycle, Severity
from tasks.ingest.body import read_body
from tasks.ingest.sources import LAST, SOURCES, newrelic, parse, recognise
from tasks.ingest.sources.base import UnreadablePayloadError

ROOT = Path(__file__).parents[4]
PAYLOADS = ROOT / "tests/payloads/newrelic"
TEMPLATE = ROOT / "webhook_app/vendor/newrelic_workflow.hbs"
CREATED = datetime(2026, 9, 20, 10, 27, 0, 123_000, tzinfo=UTC)
NOTIFIED = datetime(2026, 9, 20, 11, 0, tzinfo=UTC)
OPENED = NOTIFIED - timedelta(seconds=407)
NASTY: list[Any] = [*ODD, "[[1]]", [{"labels": [], "name": {}}]]

only_alert = partial(only_alert_of, "newrelic")
ingest = partial(ingest_at, CREATED + timedelta(days=1))


def sample(name: str) -> Any:
    return read_body((PAYLOADS / name).read_bytes())


def issue(minutes: int = 0, **fields: Any) -> dict[str, Any]:
    """The first sample, updated so many minutes after its start, with other fields."""
    body: dict[str, Any] = sample("01_workflow_activated_default.json")
    return body | {"updatedAt": milliseconds(CREATED + timedelta(minutes=minutes))} | fields


def incident(**fields: Any) -> dict[str, Any]:
    body: dict[str, Any] = sample("04_legacy_incident_open.json")
    return body | fields


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def incident_status(database: Database) -> IncidentStatus:
    with database.read() as session:
        return session.scalars(select(Incident)).one().status


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("CREATED", AlertStatus.FIRING),
        ("ACTIVATED", AlertStatus.FIRING),
        ("activated", AlertStatus.FIRING),
        ("active", AlertStatus.FIRING),
        ("ACKNOWLEDGED", AlertStatus.FIRING),
        ("CLOSED", AlertStatus.RESOLVED),
        ("closed", AlertStatus.RESOLVED),
        ("MERGED", AlertStatus.RESOLVED),
    ],
)
def test_state_of_the_issue_is_the_status(state: str, status: AlertStatus) -> None:
    alert = only_alert(issue(minutes=55, state=state))

    assert (alert.status, alert.started_at) == (status, CREATED)
    assert alert.ended_at == (CREATED + timedelta(minutes=55) if status is AlertStatus.RESOLVED else None)
    assert alert.occurred_at == CREATED + timedelta(minutes=55)


@pytest.mark.parametrize("trigger", ["INCIDENT_CLOSED", "INCIDENT_ADDED", "PRIORITY_CHANGED", "MERGE_REQUEST"])
def test_trigger_does_not_end_an_issue_that_is_still_active(trigger: str) -> None:
    alert = only_alert(issue(trigger=trigger, state="ACTIVATED"))

    assert (alert.status, alert.ended_at, alert.lifecycle) == (AlertStatus.FIRING, None, None)


@pytest.mark.parametrize(
    "trigger", ["STATE_CHANGE", "INCIDENT_CLOSED", "CLOSE_INACTIVE", "CLOSE_TTL", "USER_ACTION", "MERGE_REQUEST"]
)
def test_closed_issue_is_resolved_whatever_closed_it(trigger: str) -> None:
    alert = only_alert(issue(trigger=trigger, state="CLOSED"))

    assert (alert.status, alert.lifecycle) == (AlertStatus.RESOLVED, None)


@pytest.mark.parametrize(
    ("fields", "lifecycle"),
    [
        ({}, None),
        ({"owner": ""}, None),
        ({"owner": "NA"}, None),
        ({"isAcknowledged": "false"}, None),
        ({"state": "ACKNOWLEDGED"}, Lifecycle.ACKNOWLEDGED),
        ({"trigger": "ACKNOWLEDGED"}, Lifecycle.ACKNOWLEDGED),
        ({"trigger": "ISSUE_ACKNOWLEDGED"}, Lifecycle.ACKNOWLEDGED),
        ({"trigger": "USER_ACTION"}, Lifecycle.ACKNOWLEDGED),
        ({"trigger": "USER_ACTION", "isAcknowledged": True}, Lifecycle.ACKNOWLEDGED),
        ({"trigger": "USER_ACTION", "isAcknowledged": False}, Lifecycle.UNACKNOWLEDGED),
        ({"trigger": "USER_ACTION", "isAcknowledged": "false", "owner": "Kim"}, Lifecycle.UNACKNOWLEDGED),
        ({"isAcknowledged": "true"}, Lifecycle.ACKNOWLEDGED),
        ({"owner": "Kim Example"}, Lifecycle.ACKNOWLEDGED),
        ({"acknowledgedBy": "Kim Example"}, Lifecycle.ACKNOWLEDGED),
        ({"owner": "Kim Example", "isAcknowledged": False}, None),
    ],
)
def test_acknowledgement_is_told_by_state_trigger_or_person(
    fields: dict[str, Any], lifecycle: Lifecycle | None
) -> None:
    alert = only_alert(issue(**fields))

    assert (alert.status, alert.lifecycle) == (AlertStatus.FIRING, lifecycle)


def test_acknowledged_issue_acknowledges_its_incident_and_closes_it_when_closed(database: Database) -> None:
    ingest(database, issue(), issue(2, trigger="USER_ACTION"))
    acknowledged = incident_status(database)

    ingest(database, issue(9, trigger="INCIDENT_CLOSED"), issue(10, state="CLOSED"))

    assert (acknowledged, incident_status(database)) == (IncidentStatus.ACKNOWLEDGED, IncidentStatus.RESOLVED)
    alert = the_alert(database)
    assert (alert.started_at, alert.ended_at) == (CREATED, CREATED + timedelta(minutes=10))


def test_event_that_comes_after_the_end_of_its_issue_is_stale(database: Database) -> None:
    ingest(database, issue(), issue(10, state="CLOSED"), issue(5, trigger="INCIDENT_ADDED"))

    assert the_alert(database).status is AlertStatus.RESOLVED


def test_older_event_does_not_take_back_a_raised_priority(database: Database) -> None:
    ingest(database, issue(5, priority="CRITICAL", trigger="PRIORITY_CHANGED"), issue(0, priority="HIGH"))

    assert the_alert(database).severity is Severity.CRITICAL


@pytest.mark.parametrize("body", [issue, incident])
@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("CRITICAL", Severity.CRITICAL),
        ("HIGH", Severity.WARNING),
        ("High", Severity.WARNING),
        ("MEDIUM", Severity.WARNING),
        ("WARNING", Severity.WARNING),
        ("LOW", Severity.INFO),
        ("INFO", Severity.INFO),
        ("", None),
        (None, None),
        ("N/A", None),
    ],
)
def test_high_is_new_relics_warning(body: Any, word: Any, severity: Severity | None) -> None:
    alert = only_alert(body(priority=word, severity=word))

    assert alert.severity is severity
    assert alert.raw_severity == (word if severity else "")


def test_issue_is_identity_episode_and_group() -> None:
    alert = only_alert(issue())

    assert {alert.fingerprint, alert.episode, alert.group_key} == {issue()["id"]}


def test_issue_is_known_by_other_names_of_its_id() -> None:
    body = {name: value for name, value in issue().items() if name != "id"}

    assert only_alert(body).fingerprint == issue()["id"]
    assert only_alert(body | {"issueUrl": "", "issueId": "abc"}).fingerprint == "abc"
    assert only_alert(body | {"id": 77}).fingerprint == only_alert(body | {"id": "77"}).fingerprint


def test_names_of_condition_policy_and_entities_are_labels() -> None:
    labels = only_alert(issue(alertConditionNames=["Error rate", "Latency"])).labels

    assert labels == {
        "condition": "Error rate, Latency",
        "policy": "Golden signals",
        "workflow": "ops webhook",
        "entity": "orders-api, orders-worker",
    }


def test_single_entity_is_the_instance() -> None:
    assert only_alert(issue(impactedEntities=["web-03"])).labels["instance"] == "web-03"
    assert only_alert(issue(impactedEntities="web-03")).labels["entity"] == "web-03"


@pytest.mark.parametrize("entities", [None, [], "", ["N/A"], 5.5, {}])
def test_issue_without_entities_goes_on_without_them(entities: Any) -> None:
    alert = only_alert(issue(impactedEntities=entities, title="Free text"))

    assert alert.name == "Free text"
    assert alert.status is AlertStatus.FIRING


def test_entity_that_is_a_host_is_the_host() -> None:
    entities = [{"name": "web-03", "type": "HOST", "id": "x"}, {"name": "shop", "type": "APPLICATION"}]

    labels = only_alert(issue(impactedEntities=["shop", "web-03"], entities=entities)).labels
    of_objects = only_alert(issue(impactedEntities=entities)).labels

    assert (labels["host"], labels["entity"]) == ("web-03", "shop, web-03")
    assert (of_objects["host"], of_objects["entity"]) == ("web-03", "web-03, shop")


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"title": ["First", "Second"]}, "First"),
        ({"title": None, "issueTitle": "Of the issue"}, "Of the issue"),
        ({"title": ""}, "Error rate"),
        ({"title": None, "alertConditionNames": []}, "unnamed issue"),
    ],
)
def test_issue_without_a_title_is_called_by_what_there_is(fields: dict[str, Any], name: str) -> None:
    assert only_alert(issue(**fields)).name == name


@pytest.mark.parametrize("form", [int, str, float])
def test_times_are_numbers_or_text(form: Any) -> None:
    alert = only_alert(issue(createdAt=form(1789900020123), updatedAt=form(1789900021456)))

    assert (alert.started_at, alert.occurred_at) == (CREATED, CREATED + timedelta(milliseconds=1333))


@pytest.mark.parametrize("moment", [None, "", "soon", [], {}, 10**400, True, 0])
def test_times_that_cannot_be_read_are_none(moment: Any) -> None:
    alert = only_alert(issue(createdAt=moment, updatedAt=moment, state="CLOSED"))

    assert (alert.started_at, alert.ended_at, alert.occurred_at) == (None, None, None)


def test_time_of_closing_is_preferred_to_that_of_the_update() -> None:
    closed_at = CREATED + timedelta(minutes=3)

    alert = only_alert(issue(minutes=9, state="CLOSED", closedAt=milliseconds(closed_at)))

    assert alert.ended_at == closed_at


@pytest.mark.parametrize(
    ("state", "status", "lifecycle"),
    [
        ("open", AlertStatus.FIRING, None),
        ("OPEN", AlertStatus.FIRING, None),
        ("activated", AlertStatus.FIRING, None),
        ("acknowledged", AlertStatus.FIRING, Lifecycle.ACKNOWLEDGED),
        ("ACKNOWLEDGED", AlertStatus.FIRING, Lifecycle.ACKNOWLEDGED),
        ("closed", AlertStatus.RESOLVED, None),
        ("CLOSED", AlertStatus.RESOLVED, None),
        ("merged", AlertStatus.RESOLVED, None),
    ],
)
def test_state_of_an_incident_in_any_case(state: str, status: AlertStatus, lifecycle: Lifecycle | None) -> None:
    alert = only_alert(incident(current_state=state))

    assert (alert.status, alert.lifecycle, alert.started_at) == (status, lifecycle, OPENED)
    assert alert.ended_at == (NOTIFIED if status is AlertStatus.RESOLVED else None)
    assert alert.occurred_at == NOTIFIED


@pytest.mark.parametrize("kind", ["INCIDENT", "INCIDENT_CLOSED", "VIOLATION_CLOSE", None, ""])
def test_state_and_not_the_kind_of_event_ends_an_incident(kind: Any) -> None:
    assert only_alert(incident(event_type=kind)).status is AlertStatus.FIRING
    assert only_alert(incident(event_type=kind, current_state="closed")).status is AlertStatus.RESOLVED


def test_incident_is_known_by_its_account_and_id_as_numbers_or_text() -> None:
    alert = only_alert(incident())
    of_text = only_alert(incident(account_id="3900111", incident_id="448945230"))
    of_other_account = only_alert(incident(account_id=1))

    assert alert.fingerprint == of_text.fingerprint == alert.group_key == "3900111:448945230"
    assert of_other_account.fingerprint != alert.fingerprint


def test_incident_is_one_episode_though_its_start_is_reckoned_anew(database: Database) -> None:
    later = milliseconds(NOTIFIED + timedelta(minutes=10, milliseconds=900))

    ingest(
        database,
        incident(),
        incident(current_state="acknowledged", timestamp=later, duration=1007),
        incident(current_state="closed", timestamp=later + 60_000, duration=1067),
    )

    alert = the_alert(database)
    assert (alert.status, alert.started_at) == (AlertStatus.RESOLVED, OPENED)
    assert incident_status(database) is IncidentStatus.RESOLVED


@pytest.mark.parametrize(
    ("duration", "started_at"),
    [
        (407, OPENED),
        ("407", OPENED),
        (407.0, OPENED),
        (0, NOTIFIED),
        (-5, NOTIFIED),
        (None, NOTIFIED),
        ("", NOTIFIED),
        ("a while", NOTIFIED),
        (float("nan"), NOTIFIED),
        (10**400, NOTIFIED),
        (1e300, NOTIFIED),
        ([], NOTIFIED),
    ],
)
def test_start_is_the_time_less_the_duration_where_there_is_one(duration: Any, started_at: datetime) -> None:
    assert only_alert(incident(duration=duration)).started_at == started_at


def test_end_without_a_duration_names_no_start() -> None:
    assert only_alert(incident(duration=None, current_state="closed")).started_at is None


@pytest.mark.parametrize("moment", [None, "", "soon", [], 10**400])
def test_incident_without_a_time_names_neither_start_nor_end(moment: Any) -> None:
    alert = only_alert(incident(timestamp=moment, current_state="closed"))

    assert (alert.started_at, alert.ended_at, alert.occurred_at) == (None, None, None)


def test_targets_give_their_labels_and_names() -> None:
    targets = [
        {"name": "web-01", "type": "Application", "labels": {"env": "prod", "az": 1}},
        {"name": "web-02", "type": "Application", "labels": {"env": "test", "team": None}},
    ]

    labels = only_alert(incident(targets=targets)).labels

    assert labels == {
        "env": "prod",
        "az": "1",
        "team": "",
        "condition": "Apdex low",
        "policy": "Storefront",
        "account": "Acme Ops",
        "entity": "web-01, web-02",
    }


def test_single_target_is_the_instance_or_the_host() -> None:
    assert only_alert(incident()).labels["instance"] == "storefront"
    host = only_alert(incident(targets=[{"name": "web-03", "type": "Host"}])).labels
    named = only_alert(incident(targets=[{"name": "shop", "labels": {"hostname": "web-03"}}])).labels

    assert host["host"] == "web-03"
    assert "instance" not in named


@pytest.mark.parametrize("targets", [None, [], {}, "N/A", 5, [None, 1, "x", {"labels": 5, "name": []}], "[" * 900])
def test_targets_of_a_wrong_type_do_not_lose_the_incident(targets: Any) -> None:
    assert only_alert(incident(targets=targets)).name == "Apdex low"


def test_texts_and_links_of_an_incident_are_kept() -> None:
    alert = only_alert(incident(owner="Kim Example"))

    assert alert.description == "Apdex < 0.7 for at least 5 minutes on 'storefront'"
    assert alert.annotations["runbook_url"] == "https://wiki.example.net/rb/apdex"
    assert alert.annotations["incident_url"].endswith("/incidents/448945230")
    assert alert.annotations["owner"] == "Kim Example"


def test_channel_that_was_moved_to_a_workflow_reckons_in_milliseconds_and_may_have_only_an_issue() -> None:
    alert = only_alert(sample("11_legacy_moved_to_workflow.json"))

    assert alert.fingerprint == "3900111:7d7b1a62-08d9-4d4f-a3a0-7d6b2f1f0001"
    assert (alert.status, alert.lifecycle) == (AlertStatus.FIRING, Lifecycle.ACKNOWLEDGED)
    assert alert.started_at == NOTIFIED - timedelta(seconds=407)
    assert (alert.severity, alert.labels["host"]) == (Severity.WARNING, "web-03")
    assert "owner" not in alert.annotations


def test_issue_in_place_of_an_incidents_id_reckons_in_milliseconds_too() -> None:
    body = incident(
        incident_id="7d7b1a62-08d9-4d4f-a3a0-7d6b2f1f0001", duration=407_000, current_state="ACTIVATED"
    )

    assert only_alert(body).started_at == OPENED


def test_later_update_of_a_moved_channel_is_not_stale_for_its_repeated_time(database: Database) -> None:
    moved = sample("11_legacy_moved_to_workflow.json")

    ingest(
        database, moved, moved | {"current_state": "open", "timestamp": "1789901593000", "severity": "CRITICAL"}
    )

    assert the_alert(database).severity is Severity.CRITICAL


@pytest.mark.parametrize(
    "payload",
    [
        sample("12_legacy_channel_test.json"),
        sample("12_legacy_channel_test.json") | {"current_state": "OPEN"},
        sample("12_legacy_channel_test.json") | {"event_type": None},
    ],
)
def test_test_of_a_channel_is_legal_and_holds_no_alert(payload: Any) -> None:
    recognise(payload)

    parsed = parse(payload)

    assert (parsed.source, parsed.alerts, parsed.faults) == ("newrelic", [], [])
    assert "test" in parsed.remark


def test_form_says_what_the_json_says() -> None:
    fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in incident().items()}
    body = urlencode(fields).encode()

    of_form = only_alert(read_body(body, "application/x-www-form-urlencoded"))

    assert of_form.model_dump(exclude={"raw_payload"}) == only_alert(incident()).model_dump(
        exclude={"raw_payload"}
    )


def test_targets_in_a_form_are_read_and_made_storable() -> None:
    alert = only_alert(incident(targets='[{"name": "web-03", "labels": {"env": "pr\\u0000od"}}]'))

    assert (alert.labels["entity"], alert.labels["env"]) == ("web-03", "pr\ufffdod")


@pytest.mark.parametrize(
    "payload",
    [
        *(issue(), issue(state="CLOSED"), incident(), sample("11_legacy_moved_to_workflow.json")),
        {"issueUrl": "https://x/issues/1", "state": "ACTIVATED", "title": "t", "priority": "HIGH"},
        {"condition_id": 1, "incident_id": 2, "policy_name": "p", "current_state": "open"},
    ],
)
def test_body_is_new_relics_and_nobody_elses(payload: Any) -> None:
    assert [name for name, source in SOURCES.items() if source.detect(payload) and name != LAST] == ["newrelic"]
    assert recognise(payload) == "newrelic"


@pytest.mark.parametrize(
    "payload",
    [
        *(None, 5, "text", [], {}, [issue()]),
        {"id": 1, "title": "x", "state": "open", "priority": "high"},
        {"incident_id": 1, "name": "x", "condition_name": "y"},
        {"current_state": "open", "policy_name": "p"},
    ],
)
def test_other_bodies_are_not_new_relics(payload: Any) -> None:
    assert not newrelic.detect(payload)


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (issue(state="PENDING-hunter2"), "state must be"),
        (issue(state=None), "state must be"),
        (issue(state={"a": "hunter2"}), "state must be"),
        (issue(id="", issueUrl="hunter2"), "id or issueUrl"),
        (incident(current_state="hunter2"), "current_state must be"),
        (incident(current_state=None), "current_state must be"),
        (incident(incident_id=None), "incident_id"),
        (incident(incident_id="N/A"), "incident_id"),
        *((payload, "must be an object") for payload in (None, 5, "text", [])),
        *((payload, "issueUrl .* incident_id") for payload in ({}, {"title": "x"})),
    ],
)
def test_body_that_says_too_little_is_refused_by_the_fields_name(payload: Any, field: str) -> None:
    with pytest.raises(UnreadablePayloadError, match=field) as error:
        recognise(payload, source="newrelic")

    assert "hunter2" not in str(error.value)


def rendered(template: str, values: dict[str, Any]) -> str:
    """The template as Handlebars renders it: `#if` with `else`, the helper `json`, and values."""

    def value_of(path: str) -> Any:
        value: Any = values
        for part in path.split("."):
            if isinstance(value, list):
                value = value[int(part.strip("[]"))]
            else:
                value = value.get(part) if isinstance(value, dict) else None
        return value

    def chosen(found: re.Match[str]) -> str:
        return found[2] if value_of(found[1]) else found[3]

    def written(found: re.Match[str]) -> str:
        value = value_of(found[2])
        return json.dumps(value) if found[1] else "" if value is None else str(value)

    decided = re.sub(r"\{\{#if ([^}]+)\}\}(.*?)\{\{else\}\}(.*?)\{\{/if\}\}", chosen, template)
    return re.sub(r"\{\{ (json )?([^}]+) \}\}", written, decided)


WORKFLOW_VALUES: dict[str, Any] = {
    "issueId": "3b1d0a52-94c6-4c0e-8d57-6f2b7b1c9e10",
    "issuePageUrl": "https://radar-api.service.newrelic.com/accounts/1/issues/3b1d0a52?notifier=WEBHOOK",
    "annotations": {"title": ['Swap > 5 "percent"', "Second"], "description": ["Policy: 'Golden'\nSwap is used"]},
    "priority": "HIGH",
    "state": "ACTIVATED",
    "triggerEvent": "STATE_CHANGE",
    "isAcknowledged": "false",
    "createdAt": 1789900020123,
    "updatedAt": 1789900021456,
    "entitiesData": {
        "names": ["web-03"],
        "entities": [{"name": "web-03", "type": "HOST", "id": "MzkwMDExMXw", "kind": "INFRA"}],
    },
    "accumulations": {
        "tag": {"env": ["prod"], "team": ["core", "shop"]},
        "source": ["newrelic"],
        "policyName": ["Golden signals"],
        "conditionName": ["Swap"],
        "runbookUrl": ["https://wiki.example.net/rb/swap"],
    },
    "totalIncidents": 1,
    "isCorrelated": "false",
    "mutingState": "NOT_MUTED",
    "policyUrl": "https://one.newrelic.com/policies/1",
    "violationChartUrl": "https://gorgon.nr-assets.net/image/a",
    "workflowName": "watchkeeper",
}


def of_our_template(**values: Any) -> Any:
    return read_body(rendered(TEMPLATE.read_text(), WORKFLOW_VALUES | values).encode())


def test_template_for_operators_has_all_that_the_default_payload_has() -> None:
    assert set(of_our_template()) > set(sample("01_workflow_activated_default.json"))


def test_template_for_operators_tells_the_host_and_what_people_read() -> None:
    payload = of_our_template()

    alert = only_alert(payload)

    assert recognise(payload) == "newrelic"
    assert (alert.name, alert.severity) == ('Swap > 5 "percent"', Severity.WARNING)
    assert (alert.started_at, alert.lifecycle) == (CREATED, None)
    assert alert.description == "Policy: 'Golden'\nSwap is used"
    assert alert.labels == {
        "env": "prod",
        "team": "core, shop",
        "condition": "Swap",
        "policy": "Golden signals",
        "workflow": "watchkeeper",
        "entity": "web-03",
        "host": "web-03",
    }
    assert alert.annotations["runbook_url"] == "https://wiki.example.net/rb/swap"
    assert alert.annotations["muting_state"] == "NOT_MUTED"


def test_template_for_operators_tells_acknowledgement_and_end() -> None:
    acknowledged = of_our_template(isAcknowledged="true", acknowledgedBy="Kim", triggerEvent="USER_ACTION")
    taken_back = of_our_template(triggerEvent="USER_ACTION")
    closed = of_our_template(state="CLOSED", closedAt=1789900080123, closedBy="Kim", updatedAt=1789900090000)

    assert only_alert(acknowledged).lifecycle is Lifecycle.ACKNOWLEDGED
    assert only_alert(taken_back).lifecycle is Lifecycle.UNACKNOWLEDGED
    assert only_alert(closed).ended_at == CREATED + timedelta(minutes=1)


def test_template_for_operators_is_json_though_most_is_missing() -> None:
    few = {name: WORKFLOW_VALUES[name] for name in ("issueId", "state", "createdAt", "updatedAt")}

    payload = read_body(rendered(TEMPLATE.read_text(), few | {"annotations": {"title": ["Swap"]}}).encode())

    assert only_alert(payload).name == "Swap"


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(NASTY)), max_size=6), st.booleans())
def test_no_value_of_any_field_raises_anything_but_unreadable(fields: list[tuple[int, Any]], legacy: bool) -> None:
    body = incident() if legacy else of_our_template()
    names = sorted(body)
    payload = body | {names[place % len(names)]: value for place, value in fields}

    newrelic.detect(payload)
    with suppress(UnreadablePayloadError):
        recognise(payload, source="newrelic")
    with suppress(UnreadablePayloadError):
        parsed = parse(payload, source="newrelic")
        assert parsed.alerts or parsed.remark


@given(st.sampled_from([*NASTY, *[[value] for value in NASTY]]))
def test_no_payload_at_all_breaks_detection(payload: Any) -> None:
    newrelic.detect(payload)

    with pytest.raises(UnreadablePayloadError):
        newrelic.parse(payload)
