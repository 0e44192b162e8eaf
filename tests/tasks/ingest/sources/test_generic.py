"""The generic source: whatever a home-made sender posts is read well, or refused by name."""

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sinks import HttpSink

from storage.records import ParsedAlert
from storage.vocabulary import AlertStatus, Lifecycle, Severity
from tasks.ingest import sources
from tasks.ingest.body import read_json
from tasks.ingest.sources import generic
from tasks.ingest.sources.base import UnreadablePayloadError

ROOT = Path(__file__).parents[4]
PAYLOADS = ROOT / "tests" / "payloads" / "generic"
CRON = ROOT / "webhook_app" / "vendor" / "generic_cron.sh"
NOON = datetime(2026, 9, 21, 12, 0, tzinfo=UTC)
FIELDS = {
    "name": "Disk full",
    "status": "firing",
    "severity": "critical",
    "description": "/ is full",
    "labels": {"host": "db-03"},
    "annotations": {"runbook_url": "https://wiki.lan/disk"},
    "fingerprint": "disk:db-03",
    "started_at": "2026-09-21T12:00:00Z",
    "ended_at": None,
    "timestamp": 1789992000,
    "firing": True,
    "resolved": False,
    "host": "db-03",
    "url": "https://grafana.lan/d/1",
    "version": "1",
}


def alert_of(**fields: Any) -> ParsedAlert:
    """The alert that an object with these fields becomes, with a name if they hold none."""
    parsed = generic.parse({"name": "Disk full", **fields})
    assert parsed.faults == []
    [alert] = parsed.alerts
    return alert


def reason_of(**fields: Any) -> str:
    parsed = generic.parse({"name": "Disk full", **fields})
    assert parsed.alerts == []
    [fault] = parsed.faults
    return fault.reason


# Names and identity


@pytest.mark.parametrize("field", ["name", "title", "alertname", "alert_name", "summary"])
def test_each_name_for_the_name_is_read(field: str) -> None:
    [alert] = generic.parse({field: "UPS on battery"}).alerts

    assert (alert.name, alert.status, alert.severity) == ("UPS on battery", AlertStatus.FIRING, None)
    assert (alert.started_at, alert.ended_at, alert.group_key, alert.episode) == (None, None, None, None)


def test_name_may_be_a_number_or_a_label() -> None:
    assert generic.parse({"name": 0}).alerts[0].name == "0"
    assert generic.parse({"labels": {"alertname": "DiskFull"}}).alerts[0].name == "DiskFull"


def test_first_name_that_is_a_text_counts() -> None:
    assert generic.parse({"name": {"en": "x"}, "title": " ", "summary": "Disk full"}).alerts[0].name == "Disk full"


def test_fingerprint_is_the_one_given() -> None:
    assert alert_of(fingerprint="disk:db-03").fingerprint == "disk:db-03"
    assert alert_of(dedup_key=17).fingerprint == "17"
    assert alert_of(alert_uid="a-1").fingerprint == "a-1"
    assert len(alert_of(fingerprint="x" * 1000).fingerprint) <= 256


@pytest.mark.parametrize("given", [None, "", {}, [], False, {"a": 1}])
def test_fingerprint_that_is_none_does_not_merge_what_it_stands_on(given: Any) -> None:
    one, other = alert_of(fingerprint=given, host="a"), alert_of(fingerprint=given, host="b")

    assert one.fingerprint != other.fingerprint


def test_fingerprint_is_of_name_and_labels_alone() -> None:
    fired = alert_of(labels={"a": "1", "b": "2"}, status="firing", severity="critical", timestamp=1789992000)
    ended = alert_of(labels={"b": "2", "a": "1"}, status="ok", description="fine again", timestamp=1789992999)

    assert fired.fingerprint == ended.fingerprint
    assert alert_of(labels={"a": "1", "b": "3"}).fingerprint != fired.fingerprint


def test_host_beside_the_labels_is_a_label() -> None:
    assert alert_of(host="db-03", hostname="db-03.lan", instance="db-03:9100").labels == {
        "host": "db-03",
        "hostname": "db-03.lan",
        "instance": "db-03:9100",
    }
    assert alert_of(host="db-03", labels={"host": "db-04"}).labels == {"host": "db-04"}
    assert alert_of(host={"name": "db-03"}).labels == {}


# Status


@pytest.mark.parametrize(
    "word",
    [
        *[
            "firing",
            "FIRING",
            " Alerting ",
            "alert",
            "alarm",
            "triggered",
            "TRIGGERED",
            "problem",
            "open",
            "active",
        ],
        *["critical", "warning", "error", "fail", "failed", "failure", "down", "DOWN", "unhealthy", "unreachable"],
        *["no_data", "No Data", "🔴 Down", "[FAILED]"],
    ],
)
@pytest.mark.parametrize("field", ["status", "state"])
def test_word_for_a_fault_fires(field: str, word: str) -> None:
    assert alert_of(**{field: word}, ended_at="2026-09-21T12:00:00Z").status is AlertStatus.FIRING


@pytest.mark.parametrize(
    "word",
    [
        *["resolved", "RESOLVED", "ok", "OK", "recovered", "recovery", "closed", "cleared", "inactive", "normal"],
        *["success", "succeeded", "passed", "up", "UP", "healthy", "✅ Up"],
    ],
)
@pytest.mark.parametrize("field", ["status", "state"])
def test_word_for_an_end_resolves(field: str, word: str) -> None:
    assert alert_of(**{field: word}).status is AlertStatus.RESOLVED


@pytest.mark.parametrize(
    "word",
    [
        *["purple", "unknown", "pending", "paused", "test", "not ok", "ok?!no", "unresolved", "!!!"],
        *[0, 1, 2, True, False, 1.5, ["firing"], {"value": "ok"}],
    ],
)
def test_unknown_status_is_a_fault_and_never_taken_for_one_or_the_other(word: Any) -> None:
    assert reason_of(status=word) == "status is neither a firing nor a resolved word"


@pytest.mark.parametrize("word", [None, "", "  "])
def test_no_status_fires(word: Any) -> None:
    assert alert_of(status=word).status is AlertStatus.FIRING


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"firing": True}, AlertStatus.FIRING),
        ({"firing": False}, AlertStatus.RESOLVED),
        ({"resolved": True}, AlertStatus.RESOLVED),
        ({"resolved": False}, AlertStatus.FIRING),
        ({"resolved": "true"}, AlertStatus.RESOLVED),
        ({"firing": True, "resolved": False}, AlertStatus.FIRING),
        ({"firing": None, "resolved": True}, AlertStatus.RESOLVED),
        ({"status": "ok", "resolved": True}, AlertStatus.RESOLVED),
        ({"status": "ok", "firing": 0, "resolved": 3}, AlertStatus.RESOLVED),  # counts
        ({"resolved_at": "2026-09-21T12:00:00Z"}, AlertStatus.RESOLVED),
        ({"resolved_at": "0001-01-01T00:00:00Z"}, AlertStatus.FIRING),
        ({"resolved_at": "2026-09-21T12:00:00Z", "status": "firing"}, AlertStatus.FIRING),
    ],
)
def test_true_and_false_say_it_too(fields: dict[str, Any], status: AlertStatus) -> None:
    assert alert_of(**fields).status is status


@pytest.mark.parametrize("fields", [{"firing": 3}, {"resolved": "yes"}, {"firing": True, "resolved": []}])
def test_flag_that_is_neither_true_nor_false_is_a_fault(fields: dict[str, Any]) -> None:
    assert reason_of(**fields) == "firing and resolved must be true or false"


@pytest.mark.parametrize(
    "fields",
    [
        {"firing": True, "resolved": True},
        {"status": "ok", "firing": True},
        {"status": "firing", "resolved": True},
        {"status": "acknowledged", "resolved": True},
    ],
)
def test_contradiction_is_a_fault(fields: dict[str, Any]) -> None:
    assert reason_of(**fields) == "status, firing and resolved contradict each other"


@pytest.mark.parametrize(
    ("word", "lifecycle"),
    [
        ("acknowledged", Lifecycle.ACKNOWLEDGED),
        ("ACK", Lifecycle.ACKNOWLEDGED),
        ("unacknowledged", Lifecycle.UNACKNOWLEDGED),
    ],
)
def test_acknowledged_is_not_resolved(word: str, lifecycle: Lifecycle) -> None:
    alert = alert_of(status=word, timestamp="2026-09-21T12:00:00Z")

    assert (alert.status, alert.lifecycle) == (AlertStatus.FIRING, lifecycle)
    assert (alert.started_at, alert.occurred_at) == (None, NOON)


# Severity


@pytest.mark.parametrize("field", ["severity", "level", "priority"])
@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("critical", Severity.CRITICAL),
        ("P1", Severity.CRITICAL),
        ("error", Severity.CRITICAL),
        ("warning", Severity.WARNING),
        ("notice", Severity.INFO),
        ("whatever", Severity.WARNING),
        (0, Severity.WARNING),
        (7, Severity.WARNING),
    ],
)
def test_severity_is_the_senders_word_on_our_scale(field: str, word: Any, severity: Severity) -> None:
    alert = alert_of(**{field: word})

    assert (alert.severity, alert.raw_severity) == (severity, str(word))


@pytest.mark.parametrize("word", [None, "", {}, [], True])
def test_no_severity_claims_none(word: Any) -> None:
    alert = alert_of(severity=word)

    assert (alert.severity, alert.raw_severity) == (None, "")


def test_severity_may_be_a_label_or_the_state_of_a_plugin() -> None:
    assert alert_of(labels={"severity": "info"}).severity is Severity.INFO
    assert alert_of(state="CRITICAL").severity is Severity.CRITICAL
    assert alert_of(state="WARNING", severity="info").severity is Severity.INFO
    assert alert_of(state="failed").severity is None


def test_end_does_not_claim_the_severity_of_being_well() -> None:
    alert = alert_of(status="resolved", severity="OK")

    assert (alert.severity, alert.raw_severity) == (None, "OK")
    assert alert_of(status="firing", severity="OK").severity is Severity.INFO


# Times


@pytest.mark.parametrize("field", ["started_at", "startsAt", "timestamp", "ts"])
@pytest.mark.parametrize("value", ["2026-09-21T12:00:00Z", "2026-09-21T14:00:00+02:00", 1789992000, 1789992000000])
def test_each_name_for_the_start_is_read(field: str, value: Any) -> None:
    assert alert_of(**{field: value}).started_at == NOON


def test_start_beats_the_time_of_the_message() -> None:
    alert = alert_of(started_at="2026-09-21T12:00:00Z", timestamp="2026-09-21T12:05:00Z")

    assert (alert.started_at, alert.occurred_at) == (NOON, datetime(2026, 9, 21, 12, 5, tzinfo=UTC))


@pytest.mark.parametrize("field", ["ended_at", "endsAt", "resolved_at", "timestamp", "ts"])
def test_each_name_for_the_end_is_read(field: str) -> None:
    alert = alert_of(status="resolved", **{field: "2026-09-21T12:00:00Z"})

    assert (alert.started_at, alert.ended_at, alert.occurred_at) == (None, NOON, NOON)


@pytest.mark.parametrize("field", ["ended_at", "endsAt", "resolved_at"])
def test_firing_alert_has_no_end(field: str) -> None:
    assert alert_of(status="firing", **{field: "2026-09-21T12:00:00Z"}).ended_at is None


def test_time_without_an_offset_is_in_the_zone_of_the_source() -> None:
    assert alert_of(started_at="2026-09-21 12:00:00").started_at == NOON.replace(tzinfo=None)


@pytest.mark.parametrize("value", ["yesterday", "0001-01-01T00:00:00Z", 0, -5, True, {}, [], "NaN", 10**400])
def test_time_that_cannot_be_read_is_unset(value: Any) -> None:
    assert alert_of(started_at=value, timestamp=value).started_at is None


# Texts


@pytest.mark.parametrize("field", ["description", "message", "text", "body", "details"])
def test_each_name_for_the_description_is_read(field: str) -> None:
    assert alert_of(**{field: "/ is full"}).description == "/ is full"


def test_description_may_stand_in_summary_or_annotations() -> None:
    assert alert_of(summary="/ is full").description == "/ is full"
    assert alert_of(annotations={"summary": "/ is full"}).description == "/ is full"
    assert generic.parse({"summary": "/ is full"}).alerts[0].description == ""


@pytest.mark.parametrize("value", [{"exit_code": 23}, ["a", {"b": None}], 5, True])
def test_description_that_is_no_text_is_written_as_json(value: Any) -> None:
    assert json.loads(alert_of(description=value).description) == value


def test_links_and_values_are_annotations() -> None:
    alert = alert_of(link="https://a", generatorURL="https://b", value=93.4, annotations={"url": "https://own"})

    assert alert.annotations == {"url": "https://own", "generator_url": "https://b", "value": "93.4"}


@pytest.mark.parametrize("field", ["labels", "annotations"])
def test_labels_that_are_no_object_are_a_fault_unless_empty(field: str) -> None:
    assert [alert_of(**{field: empty}).name for empty in (None, {}, [], "")] == ["Disk full"] * 4
    assert [reason_of(**{field: wrong}) for wrong in (["a"], "a=1", 5, False)] == [
        f"{field} must be an object"
    ] * 4


def test_labels_that_are_no_text_are_written_as_json() -> None:
    assert alert_of(labels={"a": 1, "b": None, "c": ["x"], "d": True}).labels == {
        "a": "1",
        "b": "",
        "c": '["x"]',
        "d": "true",
    }


# Several alerts in one body


def test_list_keeps_its_good_alerts_and_names_the_bad_ones_by_place() -> None:
    parsed = sources.parse(read_json((PAYLOADS / "04_list_mixed.json").read_bytes()))

    assert (parsed.source, parsed.version, parsed.remark) == ("generic", "1", "")
    assert [(alert.name, alert.status, alert.severity) for alert in parsed.alerts] == [
        ("Certificate expires in 6 days", AlertStatus.FIRING, Severity.WARNING),
        ("RAID degraded", AlertStatus.RESOLVED, None),
    ]
    assert [(fault.place, fault.reason) for fault in parsed.faults] == [
        ("alerts[1]", "status is neither a firing nor a resolved word"),
        ("alerts[2]", "must be an object"),
    ]
    assert parsed.alerts[1].ended_at == datetime(2026, 9, 21, 2, 5, tzinfo=UTC)


def test_flags_and_loose_types_are_read() -> None:
    [alert] = sources.parse(read_json((PAYLOADS / "05_flags_and_words.json").read_bytes())).alerts

    assert (alert.status, alert.labels) == (AlertStatus.RESOLVED, {"hostname": "nas-02"})
    assert json.loads(alert.description) == {"exit_code": 0, "snapshot": None}
    assert alert.ended_at == datetime(2026, 9, 21, 3, 12, tzinfo=UTC)
    assert alert.annotations == {"value": "inf"}


def test_empty_list_is_legal_and_says_why_there_is_no_alert() -> None:
    parsed = generic.parse({"alerts": []})

    assert (parsed.alerts, parsed.faults) == ([], [])
    assert "empty" in parsed.remark


def test_status_of_the_body_is_that_of_entries_that_give_none() -> None:
    entries = [{"name": "a"}, {"name": "b", "status": "firing"}, {"name": "c", "firing": True}, {"name": "d"}]

    parsed = generic.parse({"status": "resolved", "alerts": entries})

    assert [alert.status for alert in parsed.alerts] == ["resolved", "firing", "firing", "resolved"]
    assert [alert.raw_payload for alert in parsed.alerts] == entries


@pytest.mark.parametrize("word", ["success", "ok", "purple", True, 200])
def test_status_of_the_body_may_be_about_the_message_itself(word: Any) -> None:
    parsed = generic.parse({"status": word, "alerts": [{"name": "Disk full"}]})

    assert parsed.alerts[0].status is AlertStatus.FIRING


def test_list_of_null_is_no_list() -> None:
    assert generic.parse({"name": "Disk full", "alerts": None}).alerts[0].name == "Disk full"


# Which bodies it reads


@pytest.mark.parametrize(
    "body",
    [
        {"title": "Backup failed", "state": "failed", "orgId": 1},
        {"title": "Backup failed", "state": "alerting", "message": "tape 3"},
        # As operators write the templates of Gatus, healthchecks.io, Proxmox VE; and what Grafana OnCall takes.
        {"name": "core_web", "status": "TRIGGERED", "description": "unhealthy", "labels": {"group": "core"}},
        {"name": "nightly-backup", "status": "down", "timestamp": "2026-09-21T12:00:00+00:00"},
        {
            "title": "vzdump backup status (pve1)",
            "severity": "error",
            "message": "job failed",
            "timestamp": 1789992000,
        },
        {"alert_uid": "8a", "title": "Disk", "state": "alerting", "link_to_upstream_details": "https://x"},
    ],
)
def test_body_that_no_vendor_owns_is_read(body: dict[str, Any]) -> None:
    parsed = sources.parse(body)

    assert (parsed.source, parsed.faults) == ("generic", [])
    assert parsed.alerts[0].status is AlertStatus.FIRING


@pytest.mark.parametrize(
    "body", [None, [], 5, True, "text", {}, {"status": "firing"}, {"name": ""}, {"title": {}}]
)
def test_body_without_a_name_is_refused(body: Any) -> None:
    assert not generic.detect(body)
    with pytest.raises(UnreadablePayloadError):
        generic.check(body)
    with pytest.raises(UnreadablePayloadError):
        generic.parse(body)


@pytest.mark.parametrize("alerts", [{"0": {"name": "x"}}, "x", 5, True])
def test_alerts_that_are_no_list_are_refused_by_name(alerts: Any) -> None:
    with pytest.raises(UnreadablePayloadError, match="alerts must be a list"):
        generic.check({"name": "Disk full", "alerts": alerts})


@pytest.mark.parametrize(
    "value", [None, [], {}, True, -1, 10**400, float("inf"), "\ud800", "\x00", "NaN", [[{"a": None}]]]
)
@pytest.mark.parametrize("field", [*FIELDS, "alerts"])
@pytest.mark.parametrize("is_listed", [False, True])
def test_no_value_of_a_field_breaks_the_parser(field: str, value: Any, is_listed: bool) -> None:
    entry = FIELDS | {field: value}
    body = {"alerts": [entry]} if is_listed else entry

    try:
        parsed = sources.parse(body, source="generic")
    except UnreadablePayloadError as error:
        assert str(error)  # noqa: PT017  (refusing it is right as well)
    else:
        assert parsed.alerts or parsed.faults or parsed.remark


def test_reasons_repeat_no_value() -> None:
    secret = "hunter2"
    bodies = [{"status": secret}, {"firing": secret}, {"labels": [secret]}, {"annotations": secret}]

    assert not any(secret in reason_of(**body) for body in bodies)


# The example for cron


def run_cron(sink: HttpSink, name: str, *command: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Let the wrapper run a command; what it printed, and the one body that it posted."""
    environment = {"PATH": os.environ["PATH"], "WATCHKEEPER_URL": sink.url, "WATCHKEEPER_TOKEN": "s3cret"}
    done = subprocess.run(
        ["/bin/sh", str(CRON), name, *command],
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=30,
    )
    [request] = sink.wait_for(1)
    assert request.headers["Authorization"] == "Bearer s3cret"
    body: dict[str, Any] = read_json(request.body)
    return done, body


def test_cron_example_reports_a_failure_as_an_alert_of_this_host(http_sink: HttpSink) -> None:
    done, body = run_cron(http_sink, "nightly-backup", "sh", "-c", "printf '%s' 'disk \"sd\\a\" gone'; exit 23")

    [alert] = sources.parse(body).alerts
    assert (done.returncode, done.stdout) == (23, 'disk "sd\\a" gone\n')
    assert (alert.name, alert.status, alert.severity) == ("nightly-backup", AlertStatus.FIRING, Severity.CRITICAL)
    assert alert.description == 'exit code 23: disk "sd\\a" gone'
    assert alert.labels == {"host": os.uname().nodename}


def test_cron_example_ends_the_same_alert_when_the_command_works_again(http_sink: HttpSink) -> None:
    _, failed = run_cron(http_sink, "nightly-backup", "false")
    with HttpSink() as second_sink:
        done, worked = run_cron(second_sink, "nightly-backup", "true")

    [fired], [ended] = sources.parse(failed).alerts, sources.parse(worked).alerts
    assert (done.returncode, ended.status) == (0, AlertStatus.RESOLVED)
    assert ended.fingerprint == fired.fingerprint


def test_cron_example_posts_readable_json_whatever_the_command_prints(http_sink: HttpSink) -> None:
    _, body = run_cron(http_sink, "odd", "sh", "-c", r"printf 'a\tb\n\001\377\303\244 \\ end\n'; exit 1")

    assert sources.parse(body).alerts[0].description == "exit code 1: a b  \\ end"


def test_cron_example_keeps_the_exit_code_when_nobody_listens() -> None:
    with HttpSink() as sink:
        url = sink.url
    environment = {"PATH": os.environ["PATH"], "WATCHKEEPER_URL": url, "WATCHKEEPER_TOKEN": "s3cret"}

    done = subprocess.run(
        ["/bin/sh", str(CRON), "odd", "sh", "-c", "exit 7"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 7
    assert "not told" in done.stderr
    assert "s3cret" not in done.stderr
