"""Zabbix: what its macros become, and what our media type posts when Zabbix fills it in."""

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml  # comes with Prefect
from sqlalchemy import select

from storage.database import Database
from storage.records import ParsedAlert
from storage.tables import Alert, Incident
from storage.vocabulary import AlertStatus, IncidentStatus, Lifecycle, Severity
from tasks.ingest import sources
from tasks.ingest.apply import Arrival, apply
from tasks.ingest.sources import zabbix
from tasks.ingest.sources.base import UnreadablePayloadError
from tasks.ingest.sources.zabbix_fields import UNSET

ROOT = Path(__file__).parents[4]
PAYLOADS = ROOT / "tests" / "payloads" / "zabbix"
PROBLEM: dict[str, Any] = json.loads((PAYLOADS / "01_problem_high.json").read_text())
UPDATE: dict[str, Any] = json.loads((PAYLOADS / "03_update_acknowledged.json").read_text())
RECOVERY = PROBLEM | {
    "event_value": "0",
    "event_status": "RESOLVED",
    "event_recovery_date": "2026.09.18",
    "event_recovery_time": "00:20:05",
    "trigger_status": "OK",
    "alert_message": "Resolved at 00:20:05",
}
NODE = shutil.which("node")


def alert_of(payload: dict[str, Any]) -> ParsedAlert:
    [alert] = zabbix.parse(payload).alerts
    return alert


def updated(**changes: Any) -> ParsedAlert:
    """An update without a comment, with these fields."""
    return alert_of(UPDATE | {"event_ack_status": "No", "event_update_message": ""} | changes)


# The life of a problem


def test_problem_is_a_firing_alert_of_its_trigger_and_host() -> None:
    alert = alert_of(PROBLEM)

    assert (alert.status, alert.severity, alert.raw_severity) == (AlertStatus.FIRING, Severity.CRITICAL, "High")
    assert alert.fingerprint == "23177:app-09.prod"
    assert (alert.episode, alert.vendor_id, alert.group_key) == ("4419203", "4419203", None)
    assert (alert.lifecycle, alert.note, alert.is_partial) == (None, "", False)


def test_times_are_naive_and_in_the_zone_of_the_source() -> None:
    alert = alert_of(PROBLEM)

    [stored] = sources.parse(PROBLEM, zones={"zabbix": ZoneInfo("Europe/Riga")}).alerts

    assert alert.started_at == alert.occurred_at == datetime(2026, 9, 17, 23, 58, 41)  # noqa: DTZ001  (naive)
    assert alert.ended_at is None
    assert stored.started_at == stored.occurred_at == datetime(2026, 9, 17, 20, 58, 41, tzinfo=UTC)


def test_recovery_resolves_the_problem_that_it_names() -> None:
    problem, recovery = alert_of(PROBLEM), alert_of(RECOVERY)

    assert recovery.status is AlertStatus.RESOLVED
    assert (recovery.fingerprint, recovery.episode) == (problem.fingerprint, problem.episode)
    assert (recovery.started_at, recovery.severity) == (problem.started_at, problem.severity)
    assert recovery.ended_at == recovery.occurred_at == datetime(2026, 9, 18, 0, 20, 5)  # noqa: DTZ001  (naive)


def test_recovery_without_its_time_is_still_an_end() -> None:
    alert = alert_of(
        RECOVERY | {"event_recovery_date": "{EVENT.RECOVERY.DATE}", "event_recovery_time": "*UNKNOWN*"}
    )

    assert (alert.status, alert.ended_at, alert.occurred_at) == (AlertStatus.RESOLVED, None, None)


def test_message_of_an_update_or_recovery_does_not_replace_the_description() -> None:
    plain = {"trigger_description": "", "alert_message": "what happened"}

    descriptions = [alert_of(body | plain).description for body in (PROBLEM, UPDATE, RECOVERY)]

    assert descriptions == ["what happened", "", ""]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"event_value": 1}, AlertStatus.FIRING),
        ({"event_value": 0}, AlertStatus.RESOLVED),
        ({"event_value": "{EVENT.VALUE}", "event_status": "RESOLVED"}, AlertStatus.RESOLVED),
        ({"event_value": None, "event_status": "OK"}, AlertStatus.RESOLVED),
        ({"event_value": None, "event_status": "PROBLEM"}, AlertStatus.FIRING),
        ({"event_value": None, "event_status": None, "trigger_status": "OK"}, AlertStatus.RESOLVED),
        ({"event_value": None, "event_status": None, "trigger_status": None}, AlertStatus.FIRING),
        (
            {"event_value": "", "event_status": "", "trigger_status": "", "event_recovery_date": "2026.09.18"},
            AlertStatus.RESOLVED,
        ),
        # The trigger may have a second problem: the event's own state counts.
        ({"event_value": "0", "trigger_status": "PROBLEM"}, AlertStatus.RESOLVED),
    ],
)
def test_status_is_read_from_the_event_and_else_from_the_trigger(
    fields: dict[str, Any], status: AlertStatus
) -> None:
    assert alert_of(PROBLEM | fields).status is status


@pytest.mark.parametrize("value", ["2", "3", "maybe", True, 1.5])
def test_unknown_event_value_is_refused_by_name(value: Any) -> None:
    with pytest.raises(UnreadablePayloadError, match="event_value"):
        zabbix.parse(PROBLEM | {"event_value": value})


# Updates


@pytest.mark.parametrize(
    ("action", "lifecycle"),
    [
        ("acknowledged", Lifecycle.ACKNOWLEDGED),
        ("acknowledged and commented", Lifecycle.ACKNOWLEDGED),
        ("acknowledged, commented and changed severity from High to Disaster", Lifecycle.ACKNOWLEDGED),
        ("unacknowledged", Lifecycle.UNACKNOWLEDGED),
        ("unacknowledged and commented", Lifecycle.UNACKNOWLEDGED),
        ("commented", Lifecycle.NOTE),
        ("changed severity from High to Disaster", Lifecycle.UPDATED),
        ("commented and changed severity from High to Disaster", Lifecycle.UPDATED),
        ("suppressed until 2026.09.18 06:00:00", Lifecycle.UPDATED),
        ("commented and suppressed indefinitely", Lifecycle.UPDATED),
        ("unsuppressed", Lifecycle.UPDATED),
        ("closed", Lifecycle.UPDATED),
        ("commented and closed", Lifecycle.UPDATED),
        ("ranked as symptom", Lifecycle.UPDATED),
        ("ranked as cause", Lifecycle.UPDATED),
    ],
)
def test_every_action_of_an_update_leaves_the_alert_firing(action: str, lifecycle: Lifecycle) -> None:
    alert = updated(event_update_action=action)

    assert (alert.lifecycle, alert.status, alert.ended_at) == (lifecycle, AlertStatus.FIRING, None)


@pytest.mark.parametrize(
    ("fields", "lifecycle"),
    [
        ({"event_ack_status": "Yes"}, Lifecycle.ACKNOWLEDGED),
        ({"event_ack_status": "No", "event_update_message": "on my way"}, Lifecycle.NOTE),
        ({"event_ack_status": "No"}, Lifecycle.UPDATED),
        ({"event_ack_status": "{EVENT.ACK.STATUS}"}, Lifecycle.UPDATED),
    ],
)
def test_update_without_its_action_is_read_from_the_rest(fields: dict[str, str], lifecycle: Lifecycle) -> None:
    assert updated(event_update_action="{EVENT.UPDATE.ACTION}", **fields).lifecycle is lifecycle


@pytest.mark.parametrize("unset", [None, "{EVENT.UPDATE.STATUS}"])
def test_body_that_tells_only_the_action_is_an_update(unset: Any) -> None:
    assert alert_of(UPDATE | {"event_update_status": unset}).lifecycle is Lifecycle.ACKNOWLEDGED
    assert alert_of(PROBLEM | {"event_update_status": unset}).lifecycle is None


def test_comment_on_an_acknowledged_problem_does_not_acknowledge_it_again() -> None:
    alert = updated(event_update_action="commented", event_ack_status="Yes", event_update_message="still at it")

    assert (alert.lifecycle, alert.note) == (Lifecycle.NOTE, "Ida Holm (ida): still at it")


def test_words_of_a_comment_are_kept_beside_the_acknowledgement() -> None:
    alert = alert_of(UPDATE)

    assert (alert.lifecycle, alert.note) == (Lifecycle.ACKNOWLEDGED, "Ida Holm (ida): looking")
    assert alert.annotations["update_action"] == "acknowledged, commented"
    assert alert.occurred_at == datetime(2026, 9, 18, 0, 3)  # noqa: DTZ001  (naive)
    assert (alert.fingerprint, alert.started_at) == (alert_of(PROBLEM).fingerprint, alert_of(PROBLEM).started_at)


def test_note_without_a_known_author_is_the_message_alone() -> None:
    assert updated(event_update_message="two\r\nlines", user_fullname="{USER.FULLNAME}").note == "two\nlines"


def test_problem_has_no_note_though_a_comment_is_filled_in() -> None:
    assert alert_of(UPDATE | {"event_update_status": "0"}).note == ""


@pytest.mark.parametrize(
    "fields",
    [
        {"event_nseverity": "5", "event_severity": "Disaster"},
        {"event_nseverity": None, "event_severity": None, "trigger_severity": "Warning"},
    ],
)
def test_changed_severity_is_the_new_one(fields: dict[str, Any]) -> None:
    alert = updated(event_update_action="commented and changed severity from Warning to Disaster", **fields)

    assert (alert.lifecycle, alert.severity) == (Lifecycle.UPDATED, Severity.CRITICAL)
    assert alert.raw_severity == "Disaster"


def test_update_of_a_problem_that_is_over_is_its_end_and_keeps_the_words() -> None:
    alert = alert_of(
        RECOVERY
        | {"event_update_status": "1", "event_update_action": "commented and closed"}
        | {name: UPDATE[name] for name in ("event_update_message", "user_fullname")}
    )

    assert (alert.status, alert.lifecycle) == (AlertStatus.RESOLVED, None)
    assert alert.ended_at == datetime(2026, 9, 18, 0, 20, 5)  # noqa: DTZ001  (naive)
    assert alert.note == "Ida Holm (ida): looking"


def test_update_that_names_nothing_is_about_a_known_alert() -> None:
    body = {"eventid": "77", "eventvalue": "1", "eventupdate": "1", "eventack": "Yes"}

    alert = alert_of(body)

    assert (alert.is_partial, alert.vendor_id, alert.lifecycle) == (True, "77", Lifecycle.ACKNOWLEDGED)


# Keys and values


@pytest.mark.parametrize(
    "form", [str.upper, lambda key: key.replace("_", ""), lambda key: key.replace("_", ".").upper()]
)
def test_spelling_of_the_keys_does_not_matter(form: Any) -> None:
    body = {form(key): value for key, value in UPDATE.items()}

    alert = alert_of(body)

    assert zabbix.detect(body)
    assert alert.model_dump(exclude={"raw_payload"}) == alert_of(UPDATE).model_dump(exclude={"raw_payload"})


def test_first_of_two_spellings_that_is_set_counts() -> None:
    body = {"EVENT.NAME": "{EVENT.NAME}", **PROBLEM, "eventname": "another"}

    assert alert_of(body).name == PROBLEM["event_name"]


def test_keys_may_be_written_as_macros() -> None:
    body = {
        "{EVENT.ID}": 5,
        "{EVENT.VALUE}": 1,
        "{EVENT.NAME}": "Disk full",
        "{TRIGGER.ID}": 9,
        "{HOST.HOST}": "a",
    }

    alert = alert_of(body)

    assert (alert.name, alert.fingerprint, alert.episode) == ("Disk full", "9:a", "5")


def test_numbers_and_texts_are_the_same() -> None:
    numbers = {"event_id": 4419203, "event_value": 1, "event_nseverity": 4, "trigger_id": 23177, "event_source": 0}

    alert = alert_of(PROBLEM | numbers)

    assert alert.model_dump(exclude={"raw_payload"}) == alert_of(PROBLEM).model_dump(exclude={"raw_payload"})


@pytest.mark.parametrize(
    "tags",
    [
        '[{"tag":"env","value":"prod"},{"tag":"quiet","value":""}]',
        '{"env": "prod", "quiet": ""}',
        {"env": "prod", "quiet": None},
        [{"tag": "env", "value": "prod"}, {"tag": "quiet"}],
        ["env:prod", "quiet"],
        "env:prod, quiet",
        "env:prod,quiet,",
    ],
)
@pytest.mark.parametrize("key", ["event_tags", "event_tags_json", "EVENT.TAGSJSON", "tags"])
def test_tags_are_labels_in_every_form(key: str, tags: Any) -> None:
    body = {name: value for name, value in PROBLEM.items() if name != "event_tags"}

    labels = alert_of(body | {key: tags}).labels

    assert (labels["env"], labels["quiet"]) == ("prod", "")


@pytest.mark.parametrize(
    "tags", ["", "[]", "{}", "5", "[" * 100_000, "*UNKNOWN*", "{EVENT.TAGSJSON}", [None, 5, [[]]], {}]
)
def test_tags_that_say_nothing_harm_nothing(tags: Any) -> None:
    labels = alert_of(PROBLEM | {"event_tags": tags}).labels

    assert labels["host"] == "app-09"
    assert "" not in labels


def test_repeated_tag_keeps_all_its_values() -> None:
    tags = [{"tag": "service", "value": value} for value in ("shop", "pay", "shop")]

    assert alert_of(PROBLEM | {"event_tags": tags}).labels["service"] == "shop, pay"


def test_tag_does_not_pass_for_the_host() -> None:
    labels = alert_of(PROBLEM | {"event_tags": "host:elsewhere, instance:/dev/sda"}).labels

    assert (labels["host"], labels["tag_host"]) == ("app-09", "elsewhere")
    assert (labels.get("instance"), labels["tag_instance"]) == (None, "/dev/sda")


def test_host_is_the_visible_name_and_the_technical_one_is_kept() -> None:
    labels = alert_of(PROBLEM).labels

    assert (labels["host"], labels["hostname"], labels["host_ip"]) == ("app-09", "app-09.prod", "10.40.1.19")
    assert alert_of(PROBLEM | {"host_name": "{HOST.NAME}"}).labels["host"] == "app-09.prod"


@pytest.mark.parametrize(
    "unset",
    [
        "{HOST.IP}",
        "*UNKNOWN*",
        "{$MY.MACRO}",
        '{$MY.MACRO:"context"}',
        '{EVENT.TAGS."a b"}',
        '{{ITEM.VALUE}.regsub("([0-9]+)", \\1)}',
        "",
        None,
        {"a": 1},
    ],
)
@pytest.mark.parametrize(
    "field", [name for name in PROBLEM if name not in {"event_id", "trigger_id", "event_tags"}]
)
def test_macro_that_is_not_filled_in_is_unset_everywhere(field: str, unset: Any) -> None:
    alert = alert_of(PROBLEM | {field: unset})

    written = alert.model_dump_json(exclude={"raw_payload"})
    assert not isinstance(unset, str) or not unset or json.dumps(unset)[1:-1] not in written
    assert "" not in alert.labels.values()
    assert "" not in alert.annotations.values()


@pytest.mark.parametrize("text", ["{Disk} full", "{Disk full}", "Disk {#FSNAME} is full", '{"a": 1}', "UNKNOWN"])
def test_name_with_braces_of_its_own_is_a_name(text: str) -> None:
    assert not UNSET.fullmatch(text)
    assert alert_of(PROBLEM | {"event_name": text}).name == text


def test_links_and_values_are_annotations() -> None:
    annotations = alert_of(PROBLEM | {"trigger_url": "https://wiki.example.net/memory"}).annotations

    assert annotations["event_url"] == PROBLEM["url"]
    assert annotations["trigger_url"] == "https://wiki.example.net/memory"
    assert annotations["operational_data"] == "Current utilization: 94.21 %"
    assert annotations["message"] == "Problem started at 23:58:41 on 2026.09.17\nHost: app-09"


def test_link_that_begins_with_an_unset_macro_is_left_out() -> None:
    url = "{$ZABBIX.URL}/tr_events.php?triggerid=1&eventid=2"

    assert "event_url" not in alert_of(PROBLEM | {"url": url}).annotations


@pytest.mark.parametrize(
    ("fields", "severity", "raw"),
    [
        ({"event_nseverity": "5", "event_severity": "Disaster"}, Severity.CRITICAL, "Disaster"),
        ({"event_nseverity": "4", "event_severity": "High"}, Severity.CRITICAL, "High"),
        ({"event_nseverity": "3", "event_severity": "Average"}, Severity.WARNING, "Average"),
        ({"event_nseverity": "2", "event_severity": "Warning"}, Severity.WARNING, "Warning"),
        ({"event_nseverity": "1", "event_severity": "Information"}, Severity.INFO, "Information"),
        ({"event_nseverity": "0", "event_severity": "Not classified"}, Severity.INFO, "Not classified"),
        # Severities can be renamed: the number says what is meant.
        ({"event_nseverity": 5, "event_severity": "Catastrophe"}, Severity.CRITICAL, "Catastrophe"),
        ({"event_nseverity": None, "event_severity": "Average"}, Severity.WARNING, "Average"),
        ({"event_nseverity": None, "event_severity": "Whatever"}, Severity.WARNING, "Whatever"),
        ({"event_nseverity": "9", "event_severity": ""}, Severity.WARNING, "9"),
        ({"event_nseverity": None, "event_severity": None, "severity": 5}, Severity.CRITICAL, "5"),
        ({"event_nseverity": None, "event_severity": None}, Severity.CRITICAL, "High"),
        ({"event_nseverity": None, "event_severity": None, "trigger_severity": None}, None, ""),
    ],
)
def test_severity_is_the_number_and_else_the_word(
    fields: dict[str, Any], severity: Severity | None, raw: str
) -> None:
    alert = alert_of(PROBLEM | fields)

    assert (alert.severity, alert.raw_severity) == (severity, raw)


@pytest.mark.parametrize(
    ("fields", "started_at"),
    [
        ({"event_timestamp": "1789689521"}, datetime(2026, 9, 17, 23, 58, 41, tzinfo=UTC)),
        ({"event_date": ""}, None),
        ({"event_time": "{EVENT.TIME}"}, None),
        ({"event_date": "", "event_time": "2026.09.17 23:58:41"}, datetime(2026, 9, 17, 23, 58, 41)),  # noqa: DTZ001
        ({"event_date": "17.09.2026"}, None),
        ({"event_time": "25:00:00"}, None),
    ],
)
def test_start_needs_both_a_date_and_a_time(fields: dict[str, str], started_at: datetime | None) -> None:
    assert alert_of(PROBLEM | fields).started_at == started_at


# Identity


def test_alert_without_a_trigger_is_its_event() -> None:
    body = PROBLEM | {"trigger_id": "{TRIGGER.ID}"}

    assert alert_of(body).fingerprint == alert_of(body | {"event_value": "0"}).fingerprint == "event:4419203"


def test_alert_without_an_event_is_its_trigger_with_no_episode() -> None:
    alert = alert_of(PROBLEM | {"event_id": ""})

    assert (alert.fingerprint, alert.episode, alert.vendor_id) == ("23177:app-09.prod", None, "")


def test_second_problem_of_a_trigger_is_another_episode_of_one_alert() -> None:
    second = alert_of(PROBLEM | {"event_id": "4419999"})

    assert second.fingerprint == alert_of(PROBLEM).fingerprint
    assert second.episode != alert_of(PROBLEM).episode


def test_one_trigger_id_of_two_servers_is_two_alerts() -> None:
    other = PROBLEM | {"host_host": "db-01.lab", "host_name": "db-01"}

    assert alert_of(other).fingerprint != alert_of(PROBLEM).fingerprint


def test_long_ids_fit_their_columns() -> None:
    alert = alert_of(PROBLEM | {"event_id": "9" * 400, "host_host": "h" * 400})

    assert max(map(len, (alert.fingerprint, alert.vendor_id))) <= 256


# Other events


@pytest.mark.parametrize("source", ["1", 2])
def test_discovery_and_autoregistration_are_no_problems(source: Any) -> None:
    parsed = zabbix.parse(PROBLEM | {"event_source": source, "event_value": "2"})

    assert parsed.alerts == parsed.faults == []
    assert "is no problem" in parsed.remark


def test_internal_event_is_not_its_triggers_problem() -> None:
    internal = PROBLEM | {
        "event_source": "3",
        "event_nseverity": "{EVENT.NSEVERITY}",
        "event_severity": "*UNKNOWN*",
    }

    fired, ended = alert_of(internal), alert_of(internal | {"event_value": "0"})

    assert fired.fingerprint == ended.fingerprint != alert_of(PROBLEM).fingerprint
    assert (fired.severity, ended.status) == (None, AlertStatus.RESOLVED)


def test_service_fires_changes_and_ends_as_one_alert() -> None:
    service = {
        "event_id": "900",
        "event_source": "4",
        "event_value": "1",
        "event_update_status": "0",
        "event_name": 'Status of service "Shop" changed to High',
        "event_nseverity": "4",
        "trigger_id": "{TRIGGER.ID}",
        "host_name": "{HOST.NAME}",
        "service_name": "Shop",
    }

    fired = alert_of(service)
    changed = alert_of(service | {"event_update_status": "1", "event_update_nseverity": "2"})
    ended = alert_of(service | {"event_value": "0"})

    assert fired.fingerprint == changed.fingerprint == ended.fingerprint
    assert (changed.lifecycle, changed.severity) == (Lifecycle.UPDATED, Severity.WARNING)
    assert (fired.labels["service_name"], ended.status) == ("Shop", AlertStatus.RESOLVED)


# In the database


@pytest.mark.parametrize(
    "bodies", [[PROBLEM, UPDATE, RECOVERY], [RECOVERY, PROBLEM, UPDATE], [PROBLEM, RECOVERY, UPDATE]]
)
def test_problem_is_over_whatever_comes_first(bodies: list[dict[str, Any]], database: Database) -> None:
    received_at = datetime(2026, 9, 19, tzinfo=UTC)
    for body in bodies:
        arrival = Arrival(sources.parse(body), trace_id="t", environment="test", received_at=received_at)
        with database.write() as session:
            apply(session, [arrival], reopen_window=timedelta(minutes=10))

    with database.read() as session:
        alert = session.scalars(select(Alert)).one()
        incidents = session.scalars(select(Incident)).all()
    assert (alert.status, alert.severity) == (AlertStatus.RESOLVED, Severity.CRITICAL)
    assert alert.ended_at == datetime(2026, 9, 18, 0, 20, 5, tzinfo=UTC)
    assert [incident.status for incident in incidents] in ([], [IncidentStatus.RESOLVED])


# Which bodies are Zabbix's


@pytest.mark.parametrize(
    "body",
    [
        PROBLEM,
        UPDATE,
        RECOVERY,
        {"event_id": 1, "trigger_id": 2, "trigger_name": "Disk full", "trigger_severity": "High"},
        {"eventid": "1", "eventvalue": "1", "eventname": "Disk full", "severity": "4"},
        {"EVENT.ID": "1", "EVENT.NSEVERITY": "4", "EVENT.NAME": "Disk full"},
        {"alert_uid": "1", "event_value": "0", "title": "Disk full"},
    ],
)
def test_body_is_recognised_without_its_source_in_the_url(body: dict[str, Any]) -> None:
    assert sources.recognise(body) == "zabbix"


@pytest.mark.parametrize(
    "body",
    [
        *[None, [], 5, "zabbix", True, {}, [PROBLEM]],
        {"event_id": "1", "name": "Disk full"},
        {"event_id": None, "trigger_id": None, "name": "Disk full"},
        {"alert_uid": "1", "title": "Disk full", "state": "alerting"},
        {"event_id": [], "trigger_id": {}, "event_value": "1"},
    ],
)
def test_other_bodies_are_not_taken_for_zabbix(body: Any) -> None:
    assert not zabbix.detect(body)


@pytest.mark.parametrize(
    "source", ["alertmanager", "grafana", "pagerduty", "datadog", "newrelic", "opsgenie", "generic"]
)
def test_no_other_vendors_body_is_taken_for_zabbix(source: str) -> None:
    bodies = [json.loads(path.read_bytes()) for path in (PAYLOADS.parent / source).glob("*.json")]

    assert bodies
    assert not any(zabbix.detect(body) for body in bodies)


@pytest.mark.parametrize("body", [None, [], 5, {}, {"name": "Disk full"}, {"event_id": ""}, {"trigger_id": {}}])
def test_body_without_ids_is_refused_at_the_door(body: Any) -> None:
    with pytest.raises(UnreadablePayloadError):
        zabbix.check(body)


def test_test_of_the_media_type_holds_no_alert() -> None:
    macros = {name: f"{{{name.upper().replace('_', '.')}}}" for name in PROBLEM}

    parsed = sources.parse(macros)

    assert (parsed.source, parsed.alerts) == ("zabbix", [])
    assert "test" in parsed.remark


def test_problem_whose_ids_are_not_filled_in_is_no_test() -> None:
    with pytest.raises(UnreadablePayloadError, match="did not fill in"):
        zabbix.parse(PROBLEM | {"event_id": "{EVENT.ID}", "trigger_id": "*UNKNOWN*"})


@pytest.mark.parametrize(
    "value", [None, [], {}, True, -1, 10**400, 1.5, float("inf"), "\ud800", "\x00", "NaN", [[{}]]]
)
@pytest.mark.parametrize("field", UPDATE)
def test_no_value_of_a_field_breaks_the_parser(field: str, value: Any) -> None:
    try:
        parsed = sources.parse(UPDATE | {field: value}, source="zabbix")
    except UnreadablePayloadError as error:
        assert "event_" in str(error)  # noqa: PT017  (either way is right; which one is tested above)
    else:
        assert parsed.alerts or parsed.remark


# The media type that we ship

MEDIA_TYPE = yaml.safe_load((ROOT / "webhook_app" / "vendor" / "zabbix_media_type.yaml").read_text())
[MEDIA] = MEDIA_TYPE["zabbix_export"]["media_types"]
PARAMETERS = {parameter["name"]: parameter["value"] for parameter in MEDIA["parameters"]}
TEMPLATES = {
    template["operation_mode"]: template
    for template in MEDIA["message_templates"]
    if template["event_source"] == "TRIGGERS"
}
SETTINGS = {"watchkeeper_url", "watchkeeper_token", "http_proxy"}
OF_UPDATES = UPDATE.keys() - PROBLEM.keys()
URL = "https://watchkeeper.example.net/alerts/webhook/zabbix/"


def filled(mode: str, body: dict[str, Any]) -> dict[str, str]:
    """The parameters as Zabbix fills them in for a message whose macros have the values of this body."""
    single = {value: body[name] for name, value in PARAMETERS.items() if name in body and value.count("{") == 1}
    macros = {
        **single,
        "{$WATCHKEEPER.URL}": URL,
        "{$WATCHKEEPER.TOKEN}": "s3cret",
        "{$ZABBIX.URL}": "https://zbx",
    }
    macros |= {macro: macro for macro in ("{ALERT.MESSAGE}", "{ALERT.SUBJECT}")}
    macros["{ALERT.MESSAGE}"] = with_macros(TEMPLATES[mode]["message"], macros)
    macros["{ALERT.SUBJECT}"] = with_macros(TEMPLATES[mode]["subject"], macros)
    return {name: with_macros(value, macros) for name, value in PARAMETERS.items()}


def with_macros(text: str, macros: dict[str, str]) -> str:
    """What Zabbix cannot fill in here, it leaves as it is."""
    return re.sub(r"\{\$?[A-Z][A-Z0-9_.]*\}", lambda found: str(macros.get(found[0], found[0])), text)


def body_of(parameters: dict[str, str]) -> dict[str, str]:
    """What the script posts, as a reader of it would say."""
    is_update = parameters["event_update_status"] == "1"
    left_out = SETTINGS if is_update else SETTINGS | OF_UPDATES
    return {name: value for name, value in parameters.items() if name not in left_out}


MESSAGES = [("PROBLEM", PROBLEM), ("UPDATE", UPDATE), ("RECOVERY", RECOVERY)]


@pytest.mark.parametrize(("mode", "body"), MESSAGES)
def test_media_type_filled_in_is_read_as_the_message_it_is(mode: str, body: dict[str, Any]) -> None:
    posted = body_of(filled(mode, body))

    alert, expected = alert_of(posted), alert_of(body)

    assert zabbix.detect(posted)
    assert posted.keys() == body.keys()
    same = {"raw_payload", "annotations"}
    assert alert.model_dump(exclude=same) == expected.model_dump(exclude=same)
    assert alert.annotations["event_url"] == "https://zbx/tr_events.php?triggerid=23177&eventid=4419203"
    assert "{" not in alert.annotations["message"].replace("{EVENT.DURATION}", "")


def test_every_parameter_is_posted_or_a_setting() -> None:
    assert PARAMETERS.keys() == UPDATE.keys() | SETTINGS
    assert len(PARAMETERS) == len(MEDIA["parameters"])


def test_script_uses_every_setting_and_is_of_the_old_javascript_that_zabbix_runs() -> None:
    script = MEDIA["script"]

    assert all(f"params.{name}" in script for name in SETTINGS)
    assert all(f"'{name}'" in script for name in OF_UPDATES)
    assert not re.search(r"=>|`|\b(let|const|async|await)\b", script)


def test_media_type_has_the_form_of_an_export() -> None:
    assert MEDIA_TYPE["zabbix_export"]["version"] == "6.0"
    assert (MEDIA["name"], MEDIA["type"]) == ("Watchkeeper", "WEBHOOK")
    assert TEMPLATES.keys() == {"PROBLEM", "RECOVERY", "UPDATE"}
    assert all(len(template["subject"]) <= 255 for template in MEDIA["message_templates"])
    assert 1 <= int(MEDIA["attempts"]) <= 100


HARNESS = """
const {script, value, status} = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const seen = {headers: []};
function HttpRequest() {}
HttpRequest.prototype.addHeader = function (header) { seen.headers.push(header); };
HttpRequest.prototype.setProxy = function (proxy) { seen.proxy = proxy; };
HttpRequest.prototype.post = function (url, body) { seen.url = url; seen.body = body; return ''; };
HttpRequest.prototype.getStatus = function () { return status; };
const Zabbix = {log: function (level, text) { seen.log = text; }};
try { seen.result = new Function('value', 'HttpRequest', 'Zabbix', script)(value, HttpRequest, Zabbix); }
catch (error) { seen.error = String(error); }
console.log(JSON.stringify(seen));
"""


def run_script(parameters: dict[str, str], *, status: int = 202) -> dict[str, Any]:
    """Run the script as Zabbix does, against an answer with this status; what it did."""
    task = json.dumps({"script": MEDIA["script"], "value": json.dumps(parameters), "status": status})
    done = subprocess.run(
        [str(NODE), "-e", HARNESS], input=task, capture_output=True, text=True, check=True, timeout=30
    )
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")


@needs_node
@pytest.mark.parametrize(("mode", "body"), MESSAGES)
def test_script_posts_the_parameters_with_the_token_in_the_header_alone(mode: str, body: dict[str, Any]) -> None:
    parameters = filled(mode, body)

    seen = run_script(parameters)

    assert (seen["url"], seen["result"]) == (URL, "OK")
    assert "Authorization: Bearer s3cret" in seen["headers"]
    assert "Content-Type: application/json" in seen["headers"]
    assert json.loads(seen["body"]) == body_of(parameters)
    assert "proxy" not in seen


@needs_node
@pytest.mark.parametrize("status", [199, 300, 400, 401, 404, 413, 503])
def test_script_throws_on_every_other_answer_so_that_zabbix_tries_again(status: int) -> None:
    seen = run_script(filled("PROBLEM", PROBLEM), status=status)

    assert str(status) in seen["error"]
    assert "s3cret" not in seen["error"] + seen["log"]


@needs_node
@pytest.mark.parametrize("name", ["watchkeeper_url", "watchkeeper_token"])
def test_script_sends_nothing_while_a_setting_is_unset(name: str) -> None:
    seen = run_script(filled("PROBLEM", PROBLEM) | {name: PARAMETERS[name]})

    assert name in seen["error"]
    assert "url" not in seen


@needs_node
def test_script_goes_through_the_proxy_that_is_given() -> None:
    assert run_script(filled("PROBLEM", PROBLEM) | {"http_proxy": "http://proxy"})["proxy"] == "http://proxy"
