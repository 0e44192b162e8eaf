"""Alertmanager's webhooks, and the lists that a Prometheus posts."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from databases import fresh_sqlite
from mutations import ODD

from storage import settings
from storage.database import Database
from storage.records import ParsedAlert
from storage.vocabulary import AlertStatus, Severity
from tasks.ingest import sources
from tasks.ingest.body import read_json
from tasks.ingest.sources import alertmanager, grafana
from tasks.ingest.sources.base import UnreadablePayloadError
from webhook_app.app import create_app

PAYLOADS = Path(__file__).parents[3] / "payloads"
VENDOR = Path(__file__).parents[4] / "webhook_app" / "vendor"
LABELS = {"alertname": "DiskFull", "instance": "db-1:9100", "severity": "critical"}
ALERT = {
    "status": "firing",
    "labels": LABELS,
    "annotations": {"summary": "Disk is full", "description": "db-1 has 2 % left"},
    "startsAt": "2026-09-14T03:12:45.118Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus/graph?g0.expr=up",
    "fingerprint": "9445622bdd552407",
}
NO_FINGERPRINT = {**ALERT, "fingerprint": ""}
ODD_VALUES: list[Any] = [*ODD, "4", [None, 5], {"": None}]


def group(*alerts: Any, **fields: Any) -> dict[str, Any]:
    """A body of version 4 with these alerts; a field of None is left out."""
    body = {
        "receiver": "watchkeeper",
        "status": "firing",
        "alerts": list(alerts),
        "groupLabels": {"alertname": "DiskFull"},
        "commonLabels": {"alertname": "DiskFull"},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "version": "4",
        "groupKey": '{}:{alertname="DiskFull"}',
        "truncatedAlerts": 0,
    } | fields
    return {name: value for name, value in body.items() if value is not None}


def one(**fields: Any) -> ParsedAlert:
    """What the alert above becomes with these fields."""
    parsed = sources.parse(group({**ALERT, **fields}))
    [alert] = parsed.alerts
    return alert


def reason(entry: Any) -> str:
    """Why an entry cannot be read, while its neighbour can."""
    parsed = sources.parse(group(entry, ALERT))
    [fault] = parsed.faults
    assert fault.place == "alerts[0]"
    assert [alert.fingerprint for alert in parsed.alerts] == [ALERT["fingerprint"]]
    return fault.reason


def refusal(body: Any, source: str = "alertmanager") -> str:
    with pytest.raises(UnreadablePayloadError) as error:
        sources.parse(body, source=source)
    return str(error.value)


def sample(name: str) -> Any:
    return read_json((PAYLOADS / name).read_bytes())


def test_alert_of_a_group_is_read_in_full() -> None:
    alert = one()

    assert alert == ParsedAlert(
        fingerprint="9445622bdd552407",
        name="DiskFull",
        status=AlertStatus.FIRING,
        started_at=datetime(2026, 9, 14, 3, 12, 45, 118000, tzinfo=UTC),
        severity=Severity.CRITICAL,
        raw_severity="critical",
        description="db-1 has 2 % left",
        labels=LABELS,
        annotations=ALERT["annotations"] | {"generator_url": ALERT["generatorURL"]},
        group_key='{}:{alertname="DiskFull"}',
        is_repeated=True,
        raw_payload=ALERT,
    )


def test_group_says_who_sent_it_and_what_holds_it_together() -> None:
    parsed = sources.parse(group(ALERT))

    assert (parsed.source, parsed.version, parsed.receiver) == ("alertmanager", "4", "watchkeeper")
    assert (parsed.external_url, parsed.group_key) == ("http://alertmanager:9093", '{}:{alertname="DiskFull"}')
    assert parsed.remark == ""


def test_status_is_each_alerts_own_in_a_mixed_group() -> None:
    ended = {**ALERT, "status": "resolved", "endsAt": "2026-09-14T04:00:00Z", "fingerprint": "b"}

    parsed = sources.parse(group(ALERT, ended, status="firing"))

    assert [(alert.status, alert.ended_at) for alert in parsed.alerts] == [
        (AlertStatus.FIRING, None),
        (AlertStatus.RESOLVED, datetime(2026, 9, 14, 4, tzinfo=UTC)),
    ]


def test_times_have_nine_digits_and_an_offset() -> None:
    alert = one(startsAt="2026-09-14T05:12:45.118234567+02:00")

    assert alert.started_at == datetime(2026, 9, 14, 3, 12, 45, 118234, tzinfo=UTC)


@pytest.mark.parametrize("unset", [None, "", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+05:00", "soon", {}, []])
def test_time_that_says_nothing_is_unset(unset: Any) -> None:
    alert = one(status="resolved", startsAt=unset, endsAt=unset)

    assert (alert.started_at, alert.ended_at) == (None, None)


def test_firing_alert_has_no_end_whatever_the_body_says() -> None:
    alert = one(endsAt="2036-09-14T04:12:45Z")

    assert alert.ended_at is None


def test_fingerprint_is_the_senders_own_else_that_of_the_labels_in_any_order() -> None:
    backwards = dict(reversed(LABELS.items()))

    without = one(fingerprint=None)

    assert one().fingerprint == ALERT["fingerprint"]
    assert without.fingerprint == one(fingerprint="", labels=backwards).fingerprint
    assert without.fingerprint != one(fingerprint=None, labels={**LABELS, "instance": "db-2:9100"}).fingerprint


def test_own_fingerprint_does_not_change_with_text_time_or_status() -> None:
    nameless = {**NO_FINGERPRINT, "labels": {"instance": "db-1:9100"}}
    later = {
        **nameless,
        "annotations": {"summary": "3 % left"},
        "status": "resolved",
        "startsAt": "2026-09-14T05:00:00Z",
    }

    first, second = sources.parse(group(nameless, later)).alerts

    assert first.fingerprint == second.fingerprint
    assert (first.name, second.name) == ("Disk is full", "3 % left")


def test_long_fingerprint_is_shortened_and_stays_distinct() -> None:
    first, second = one(fingerprint="x" * 300), one(fingerprint="x" * 299 + "y")

    assert len(first.fingerprint) <= 256
    assert first.fingerprint != second.fingerprint


def test_alert_without_name_and_summary_is_kept_by_its_fingerprint() -> None:
    alert = one(labels=None, annotations=None)

    assert (alert.fingerprint, alert.name, alert.labels) == (ALERT["fingerprint"], "unnamed alert", {})


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("critical", Severity.CRITICAL),
        (" Page ", Severity.CRITICAL),
        ("warning", Severity.WARNING),
        ("info", Severity.INFO),
        ("none", Severity.INFO),
        ("purple", Severity.WARNING),
    ],
)
def test_severity_is_that_of_the_label_and_its_word_is_kept(word: str, severity: Severity) -> None:
    alert = one(labels={**LABELS, "severity": word})

    assert (alert.severity, alert.raw_severity) == (severity, word)


def test_no_severity_label_says_nothing_about_severity() -> None:
    alert = one(labels={"alertname": "DiskFull"})

    assert (alert.severity, alert.raw_severity) == (None, "")


@pytest.mark.parametrize(
    ("annotations", "description"),
    [
        ({"summary": "s", "message": "m", "description": "d"}, "d"),
        ({"message": "m", "summary": "s", "description": ""}, "s"),
        ({"message": "m"}, "m"),
        ({"runbook_url": "http://wiki"}, ""),
        (None, ""),
    ],
)
def test_description_is_that_annotation_else_summary_else_message(annotations: Any, description: str) -> None:
    assert one(annotations=annotations).description == description


def test_label_values_that_are_no_text_become_text() -> None:
    alert = one(labels={"alertname": "DiskFull", "shard": 3, "spare": True, "zone": None})

    assert alert.labels == {"alertname": "DiskFull", "shard": "3", "spare": "true", "zone": ""}


@pytest.mark.parametrize(
    "entry",
    [
        {**ALERT, "status": "melting"},
        {**ALERT, "status": None},
        {**ALERT, "status": {"state": "active"}},
        {name: value for name, value in ALERT.items() if name != "status"},
    ],
)
def test_alert_without_a_known_status_is_a_fault(entry: Any) -> None:
    assert reason(entry) == "status must be firing or resolved"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({**ALERT, "labels": ["alertname=DiskFull"]}, "labels must be an object"),
        ({**ALERT, "annotations": "Disk is full"}, "annotations must be an object"),
        ({**NO_FINGERPRINT, "labels": {}}, "fingerprint or labels is needed"),
        ("DiskFull", "must be an object"),
        (None, "must be an object"),
    ],
)
def test_bad_alert_is_a_fault_that_names_the_field_and_leaves_the_others(entry: Any, expected: str) -> None:
    assert reason(entry) == expected


@pytest.mark.parametrize(
    ("given", "truncated"),
    [
        (0, 0),
        (37, 37),
        ("37", 37),
        (" 37 ", 37),
        (-1, 0),
        (True, 0),
        ("many", 0),
        (None, 0),
        ([37], 0),
        (10**30, 0),
    ],
)
def test_number_of_truncated_alerts_is_read_from_a_number_or_its_text(given: Any, truncated: int) -> None:
    assert sources.parse(group(ALERT, truncatedAlerts=given)).truncated_alerts == truncated


def test_empty_list_of_alerts_is_legal_and_says_so() -> None:
    parsed = sources.parse(group())

    assert (parsed.source, parsed.alerts, parsed.faults) == ("alertmanager", [], [])
    assert "empty" in parsed.remark


@pytest.mark.parametrize(
    "why",
    [
        "none",
        "first notification",
        "new alerts added",
        "some alerts resolved",
        "all alerts resolved",
        "repeat interval elapsed",
    ],
)
def test_reason_of_the_notification_and_labels_of_the_route_change_nothing(why: str) -> None:
    body = group(ALERT, notification_reason=why, routeLabels={"team": "storage"})

    assert sources.parse(body) == sources.parse(group(ALERT))


@pytest.mark.parametrize("version", ["4", 4, None, ""])
def test_group_of_version_4_or_of_none_is_recognised(version: Any) -> None:
    body = group(ALERT) | {"version": version}

    assert sources.recognise(body) == "alertmanager"


@pytest.mark.parametrize("name", group(ALERT))
def test_group_that_lacks_any_one_field_is_still_recognised(name: str) -> None:
    body = group(ALERT)
    del body[name]

    assert alertmanager.detect(body)
    assert not grafana.detect(body)


@pytest.mark.parametrize(
    "body",
    [
        None,
        5,
        "alerts",
        {},
        {"alerts": [ALERT]},
        {"alerts": [ALERT], "status": "firing"},
        {"alerts": [ALERT], "receiver": "ops"},
        {"status": "firing", "receiver": "ops", "externalURL": "http://x", "title": "UPS on battery"},
        group(ALERT, version="1"),
        group(ALERT, version="5"),
        group(ALERT, version={"4": 4}),
        {"title": "UPS on battery", "state": "alerting"},
    ],
)
def test_body_of_another_form_is_not_taken(body: Any) -> None:
    assert not alertmanager.detect(body)


@pytest.mark.parametrize("body", [group(ALERT, orgId=1), group({**ALERT, "silenceURL": "http://x"})])
def test_version_4_with_a_field_of_grafanas_is_refused_naming_both_unless_the_url_says(body: Any) -> None:
    refused = refusal(body, source="")

    assert "ambiguous" in refused
    assert "grafana or alertmanager" in refused
    assert sources.parse(body, source="alertmanager").alerts


@pytest.mark.parametrize("source", ["alertmanager", ""])
def test_list_of_alerts_with_a_status_is_read(source: str) -> None:
    parsed = sources.parse(sample("nasty/25_top_level_array.json"), source=source)

    assert (parsed.source, parsed.faults, parsed.group_key) == ("alertmanager", [], None)
    assert [(alert.name, alert.severity) for alert in parsed.alerts] == [
        ("FilesystemAlmostFull", Severity.CRITICAL),
        ("FilesystemAlmostFull", Severity.WARNING),
    ]


def test_what_a_prometheus_sends_is_a_fault_that_says_what_to_do() -> None:
    bare = {name: ALERT[name] for name in ("labels", "annotations", "startsAt", "endsAt", "generatorURL")}

    parsed = sources.parse([bare, ALERT])

    [fault] = parsed.faults
    assert fault.place == "payload[0]"
    assert fault.reason.startswith("status is missing")
    assert "Alertmanager" in fault.reason
    assert [alert.name for alert in parsed.alerts] == ["DiskFull"]


def test_list_with_an_alert_and_rubbish_keeps_the_alert() -> None:
    parsed = sources.parse([5, ALERT, None])

    assert [fault.place for fault in parsed.faults] == ["payload[0]", "payload[2]"]
    assert [alert.name for alert in parsed.alerts] == ["DiskFull"]


@pytest.mark.parametrize("body", [[], [5], [None, "x"], [{}], [{"name": "x"}], [{"labels": None}], [[ALERT]]])
def test_list_without_an_alert_is_recognised_by_nobody(body: Any) -> None:
    assert not alertmanager.detect(body)
    assert "array" in refusal(body, source="")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"text": "DiskFull on db-1", "channel": "#ops"}, "alerts is missing"),
        ({}, "alerts is missing"),
        (group(ALERT, alerts={"0": ALERT}), "alerts must be a list"),
        (group(ALERT) | {"alerts": None}, "alerts must be a list"),
        ([], "empty list"),
        (None, "the payload must be an object"),
        ("DiskFull", "the payload must be an object"),
    ],
)
def test_body_without_alerts_is_refused_with_the_field_that_is_wrong(body: Any, field: str) -> None:
    refused = refusal(body)

    assert field in refused
    assert "DiskFull" not in refused


def test_replaced_body_is_refused_saying_what_replaced_it() -> None:
    assert "`payload` template" in refusal({"text": "DiskFull on db-1"})


def mutations(body: dict[str, Any]) -> Iterator[Any]:
    """The body with each field, of the group and of its first alert, replaced by each odd value."""
    yield from ODD_VALUES
    for value in ODD_VALUES:
        yield from ({**body, name: value} for name in body)
        yield {**body, "alerts": [value, ALERT]}
        yield from ({**body, "alerts": [{**ALERT, name: value}, ALERT]} for name in ALERT)
        yield {**body, "alerts": [{**ALERT, "labels": {"alertname": value, "severity": value}}, ALERT]}
        yield [{**ALERT, "status": value}, value]


def test_no_body_brings_anything_but_alerts_faults_or_a_refusal() -> None:
    read = 0
    for body in mutations(group(ALERT, ALERT)):
        assert isinstance(alertmanager.detect(body), bool)
        try:
            parsed = sources.parse(body, source="alertmanager")
        except UnreadablePayloadError:
            continue
        entries = body if isinstance(body, list) else body["alerts"]
        assert len(parsed.alerts) + len(parsed.faults) == len(entries)
        read += 1

    assert read > len(ODD_VALUES) * len(ALERT)


def configuration() -> dict[str, Any]:
    return yaml.safe_load((VENDOR / "alertmanager.yaml").read_text("utf-8"))


def sent(entries: list[dict[str, Any]]) -> Any:
    """The body in which an Alertmanager with our snippet sends these alerts of one group."""
    [route] = configuration()["route"]["routes"]
    receiver = next(each for each in configuration()["receivers"] if each["name"] == route["receiver"])
    [hook] = receiver["webhook_configs"]
    shared = {name: entries[0]["labels"].get(name, "") for name in route["group_by"]}
    firing = [entry for entry in entries if entry["status"] == "firing"]
    return group(
        *(entries if hook["send_resolved"] else firing)[: hook["max_alerts"]],
        receiver=receiver["name"],
        status="firing" if firing else "resolved",
        groupLabels=shared,
        groupKey="{}/{}:" + json.dumps(shared),
        truncatedAlerts=max(0, len(entries) - hook["max_alerts"]),
    )


def test_snippet_is_let_in_with_its_token_at_its_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [hook] = configuration()["receivers"][-1]["webhook_configs"]
    authorization = hook["http_config"]["authorization"]
    monkeypatch.setenv("WATCHKEEPER_WEBHOOK_TOKEN", "am-token")
    with fresh_sqlite(tmp_path) as url:
        database = Database(url)
        app = create_app(settings.load(), database)
        client = app.test_client()
        client.environ_base["REMOTE_ADDR"] = "192.0.2.7"

        answers = [
            client.post(
                urlsplit(hook["url"]).path,
                json=sent([ALERT]),
                headers={"Authorization": f"{authorization['type']} {token}"},
            )
            for token in ("am-token", "another")
        ]

        app.extensions["watchkeeper"].acceptor.close()
        database.dispose()
    assert [answer.status_code for answer in answers] == [202, 401]
    assert answers[0].get_json()["status"] == "accepted"


def test_snippet_brings_the_beginning_and_the_end_of_a_group() -> None:
    ended = {**ALERT, "status": "resolved", "endsAt": "2026-09-14T04:00:00Z"}

    beginning, end = sources.parse(sent([ALERT])), sources.parse(sent([ended]))

    assert (beginning.source, beginning.receiver) == ("alertmanager", "watchkeeper")
    assert [alert.status for alert in beginning.alerts + end.alerts] == [AlertStatus.FIRING, AlertStatus.RESOLVED]
    assert beginning.group_key == end.group_key


def test_largest_group_of_the_snippet_fits_our_limit_and_says_what_is_cut_off() -> None:
    description = "x" * 2048
    entries = [
        {**ALERT, "fingerprint": str(number), "annotations": {"description": description}}
        for number in range(2500)
    ]

    body = sent(entries)
    parsed = sources.parse(body)

    assert len(json.dumps(body).encode()) < settings.Settings.model_fields["max_body_bytes"].default
    assert len(parsed.alerts) + parsed.truncated_alerts == 2500
    assert parsed.truncated_alerts > 0
