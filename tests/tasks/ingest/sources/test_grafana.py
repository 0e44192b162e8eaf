"""Grafana's webhooks, of unified alerting and of the old one of dashboards."""

import hmac
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from databases import fresh_sqlite
from flask.testing import FlaskClient
from mutations import ODD

from storage import settings
from storage.database import Database
from storage.records import ParsedAlert
from storage.vocabulary import AlertStatus, Severity
from tasks.ingest import sources
from tasks.ingest.body import read_json
from tasks.ingest.sources import alertmanager, generic, grafana
from tasks.ingest.sources.base import UnreadablePayloadError
from webhook_app.app import create_app

PAYLOADS = Path(__file__).parents[3] / "payloads"
VENDOR = Path(__file__).parents[4] / "webhook_app" / "vendor" / "grafana_contact_point.yaml"
SECRETS = {"WATCHKEEPER_GRAFANA_TOKEN": "gr4f$token", "WATCHKEEPER_GRAFANA_SECRET": "gr4f-secret"}
GROUP_TEXTS = ("title", "state", "message")
NO_DATA = {
    "alertname": "DatasourceNoData",
    "rulename": "CPU saturation",
    "datasource_uid": "P1809F7CD0C75ACF3",
    "ref_id": "A",
    "grafana_folder": "Infra",
}
ODD_VALUES: list[Any] = [*ODD, "1", "]", "[", [None, 5], [{"metric": [], "value": {}, "tags": []}], {"host": []}]


def sample(name: str) -> Any:
    return read_json((PAYLOADS / "grafana" / name).read_bytes())


def unified(**fields: Any) -> dict[str, Any]:
    """A body of unified alerting with one firing alert."""
    return sample("01_unified_firing.json") | fields


def entry(**fields: Any) -> dict[str, Any]:
    """The alert of that body."""
    return unified()["alerts"][0] | fields


def legacy(**fields: Any) -> dict[str, Any]:
    """A body of the old alerting: a rule without a severity."""
    return sample("05_legacy_alerting.json") | {"tags": {"team": "shop"}} | fields


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


def one(body: Any, source: str = "") -> ParsedAlert:
    parsed = sources.parse(body, source=source)
    assert (parsed.source, parsed.faults) == ("grafana", [])
    [alert] = parsed.alerts
    return alert


def refusal(body: Any, source: str = "grafana") -> str:
    with pytest.raises(UnreadablePayloadError) as error:
        sources.parse(body, source=source)
    return str(error.value)


def test_unified_alert_is_read_as_alertmanagers_is() -> None:
    alert = one(unified())

    assert (alert.name, alert.fingerprint, alert.status) == (
        "CPU saturation",
        "5c83bff5d8fbd914",
        AlertStatus.FIRING,
    )
    assert (alert.severity, alert.raw_severity) == (Severity.WARNING, "warning")
    assert (alert.started_at, alert.ended_at) == (datetime(2026, 9, 20, 22, 41, 10, tzinfo=UTC), None)
    assert alert.description == "CPU user+system on web-02 is 93.4 %"
    assert alert.labels["instance"] == "web-02"
    assert alert.group_key == unified()["groupKey"]


def test_group_says_who_sent_it() -> None:
    parsed = sources.parse(unified(truncatedAlerts=3))

    assert (parsed.source, parsed.version, parsed.receiver) == ("grafana", "1", "alert-pipeline")
    assert (parsed.external_url, parsed.truncated_alerts) == ("https://graf.example.net/", 3)


def test_links_and_values_of_the_alert_are_kept() -> None:
    given = entry()

    found = one(unified()).annotations

    assert found["silence_url"] == given["silenceURL"]
    assert found["dashboard_url"] == given["dashboardURL"]
    assert found["panel_url"] == given["panelURL"]
    assert found["image_url"] == given["imageURL"]
    assert json.loads(found["values"]) == {"A": 93.41, "C": 1}
    assert found["value_string"] == given["valueString"]
    assert found["rule_uid"] == "fexk2m1q9zlz4a"
    assert found["generator_url"] == given["generatorURL"]
    assert found["runbook_url"] == "https://wiki.example.net/rb/cpu"


def test_links_and_values_that_are_not_given_are_left_out() -> None:
    bare = without(entry(values=None, dashboardURL="", panelURL=""), "imageURL", "ruleUID", "valueString")

    found = one(unified(alerts=[bare])).annotations

    assert found.keys() == {"silence_url", "generator_url", "summary", "description", "runbook_url"}


def test_annotation_of_the_rule_itself_stays_as_its_author_wrote_it() -> None:
    given = entry(annotations={"dashboard_url": "https://wiki/board"})

    assert one(unified(alerts=[given])).annotations["dashboard_url"] == "https://wiki/board"


def test_status_is_each_alerts_own_in_a_mixed_group() -> None:
    ended = entry(status="resolved", endsAt="2026-09-20T23:05:10Z", fingerprint="b")

    parsed = sources.parse(unified(alerts=[entry(), ended], status="firing", state="alerting"))

    assert [(alert.status, alert.ended_at) for alert in parsed.alerts] == [
        (AlertStatus.FIRING, None),
        (AlertStatus.RESOLVED, datetime(2026, 9, 20, 23, 5, 10, tzinfo=UTC)),
    ]


def test_no_severity_label_says_nothing_about_severity() -> None:
    assert one(unified(alerts=[entry(labels={"alertname": "CPU saturation"})])).severity is None


def test_bad_alert_is_a_fault_and_leaves_the_others() -> None:
    parsed = sources.parse(unified(alerts=[entry(status="NoData"), "x", entry()]))

    assert [(fault.place, fault.reason) for fault in parsed.faults] == [
        ("alerts[0]", "status must be firing or resolved"),
        ("alerts[1]", "must be an object"),
    ]
    assert [alert.name for alert in parsed.alerts] == ["CPU saturation"]


def test_empty_list_of_alerts_is_legal_and_says_so() -> None:
    parsed = sources.parse(unified(alerts=[]))

    assert (parsed.source, parsed.alerts, parsed.faults) == ("grafana", [], [])
    assert "empty" in parsed.remark


@pytest.mark.parametrize("status", ["firing", "resolved"])
def test_no_data_names_the_rule_and_is_a_warning(status: str) -> None:
    alert = one(unified(alerts=[entry(labels=NO_DATA, status=status)]))

    assert (alert.name, alert.severity, alert.status) == ("DatasourceNoData", Severity.WARNING, status)
    assert alert.description.splitlines() == ["CPU saturation: no data", "CPU user+system on web-02 is 93.4 %"]
    assert alert.labels == NO_DATA


def test_error_names_the_rule_and_the_error_before_the_rules_own_text() -> None:
    labels = NO_DATA | {"alertname": "DatasourceError"}
    annotations = {"Error": "dial tcp: connection refused", "summary": "web-02 CPU [no value]"}

    alert = one(unified(alerts=[entry(labels=labels, annotations=annotations)]))

    assert (alert.name, alert.severity) == ("DatasourceError", Severity.WARNING)
    assert alert.description.splitlines() == [
        "CPU saturation: the query failed",
        "dial tcp: connection refused",
        "web-02 CPU [no value]",
    ]


def test_no_data_has_the_severity_of_its_labels() -> None:
    alert = one(unified(alerts=[entry(labels=NO_DATA | {"severity": "critical"})]))

    assert (alert.severity, alert.raw_severity) == (Severity.CRITICAL, "critical")


def test_no_data_of_an_unknown_rule_is_still_readable() -> None:
    alert = one(unified(alerts=[entry(labels=without(NO_DATA, "rulename"), annotations=None)]))

    assert alert.description == "no data"


def test_no_data_of_two_rules_are_two_alerts_without_a_given_fingerprint() -> None:
    other = NO_DATA | {"rulename": "Disk full"}
    given = [entry(labels=labels, fingerprint="") for labels in (NO_DATA, other)]

    first, second = sources.parse(unified(alerts=given)).alerts

    assert first.fingerprint != second.fingerprint


@pytest.mark.parametrize(
    "body",
    [
        unified(),
        without(unified(), *GROUP_TEXTS),
        without(unified(), "version"),
        without(unified(), "version", *GROUP_TEXTS),
        without(unified(), "orgId", "appVersion"),
        without(unified(), "version", "orgId", "appVersion"),
        without(unified(alerts=[]), "version"),
        without(unified(alerts=[without(entry(), *grafana.ANNOTATIONS)]), *GROUP_TEXTS),
        unified(version="2"),
        unified(alerts={"0": {}}),
    ],
)
def test_unified_body_is_grafanas_and_nobody_elses(body: Any) -> None:
    recognised = [name for name, source in sources.SOURCES.items() if source.detect(body)]

    assert [name for name in recognised if name != sources.LAST] == ["grafana"]


@pytest.mark.parametrize("name", unified())
def test_unified_body_that_lacks_any_one_field_is_still_grafanas(name: str) -> None:
    assert grafana.detect(without(unified(), name))
    assert not alertmanager.detect(without(unified(), name))


@pytest.mark.parametrize(
    "body",
    [
        {"title": "UPS on battery", "state": "alerting"},
        {"title": "UPS on battery", "state": "ok", "message": "on line power", "orgId": 1},
        {"title": "UPS on battery", "orgId": 1},
        {"orgId": 1, "state": "alerting", "title": "UPS on battery", "status": "firing", "version": "1"},
        {"name": "UPS on battery", "ruleId": 7},
        {
            "alerts": [{"name": "UPS on battery", "status": "firing"}],
            "orgId": 1,
            "state": "alerting",
            "title": "x",
        },
        {"alerts": [{"title": "UPS on battery"}], "dashboardId": 3, "panelId": 4, "ruleId": 5, "state": "ok"},
    ],
)
def test_body_with_a_title_a_state_or_an_org_is_not_swallowed(body: Any) -> None:
    assert not grafana.detect(body)
    assert generic.detect(body)
    assert [alert.name for alert in sources.parse(body).alerts] == ["UPS on battery"]


@pytest.mark.parametrize("body", [None, 5, "state", [], [5], [entry()], {}, {"state": "alerting"}, {"orgId": 1}])
def test_body_of_no_known_form_is_not_taken(body: Any) -> None:
    assert not grafana.detect(body)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"text": "CPU saturation"}, "alerts is missing"),
        ({"title": "CPU saturation", "state": "alerting", "orgId": 1}, "`payload` template"),
        (unified(alerts={"0": "CPU saturation"}), "alerts must be a list"),
        (without(unified(), "alerts"), "alerts is missing"),
        (None, "the payload must be an object"),
        ([entry()], "the payload must be an object"),
        (without(legacy(), "ruleId"), "ruleId is missing"),
        (without(legacy(), "state"), "state must be one of alerting, no_data, ok"),
        (legacy(state="CPU saturation"), "state must be one of alerting, no_data, ok"),
        (legacy(tags="CPU saturation"), "tags must be an object"),
        (legacy(ruleName="", title="[Alerting] "), "ruleName is missing"),
    ],
)
def test_body_without_an_alert_is_refused_with_the_field_that_is_wrong(body: Any, expected: str) -> None:
    refused = refusal(body)

    assert expected in refused
    assert "CPU saturation" not in refused


def test_legacy_rule_is_one_alert_however_many_series_match() -> None:
    alert = one(sample("05_legacy_alerting.json"))

    assert (alert.name, alert.fingerprint, alert.status) == ("Checkout p95 latency", "1:93", AlertStatus.FIRING)
    assert (alert.severity, alert.raw_severity) == (Severity.CRITICAL, "critical")
    assert (alert.started_at, alert.ended_at) == (None, None)
    assert alert.description == "p95 latency above 150 ms"
    assert alert.labels == {"severity": "critical", "team": "shop"}


def test_legacy_links_and_values_are_kept() -> None:
    given = legacy()

    found = one(given).annotations

    assert (found["rule_url"], found["image_url"]) == (given["ruleUrl"], given["imageUrl"])
    assert found["eval_matches"].splitlines() == ["p95 {service=checkout}: 187.2", "p95 {service=cart}: 164.9"]
    assert (found["dashboard_id"], found["panel_id"]) == ("41", "7")


@pytest.mark.parametrize(
    ("state", "tags", "status", "severity", "raw_severity"),
    [
        ("alerting", {}, AlertStatus.FIRING, Severity.CRITICAL, "alerting"),
        ("Alerting ", None, AlertStatus.FIRING, Severity.CRITICAL, "alerting"),
        ("alerting", {"severity": "info"}, AlertStatus.FIRING, Severity.INFO, "info"),
        ("no_data", {}, AlertStatus.FIRING, Severity.WARNING, "no_data"),
        ("no_data", {"severity": "critical"}, AlertStatus.FIRING, Severity.CRITICAL, "critical"),
        ("ok", {}, AlertStatus.RESOLVED, None, ""),
        ("ok", {"severity": "critical"}, AlertStatus.RESOLVED, Severity.CRITICAL, "critical"),
    ],
)
def test_legacy_state_says_whether_it_fires_and_how_bad_where_no_tag_does(
    state: str, tags: Any, status: AlertStatus, severity: Severity | None, raw_severity: str
) -> None:
    alert = one(legacy(state=state, tags=tags))

    assert (alert.status, alert.severity, alert.raw_severity) == (status, severity, raw_severity)


@pytest.mark.parametrize("state", ["pending", "paused", "unknown"])
def test_legacy_state_that_changes_nothing_is_no_alert_and_says_so(state: str) -> None:
    parsed = sources.parse(legacy(state=state))

    assert (parsed.source, parsed.alerts, parsed.faults) == ("grafana", [], [])
    assert "changes nothing" in parsed.remark


def test_legacy_end_is_of_the_alert_that_began_though_nothing_matches_any_more() -> None:
    end = one(legacy(state="ok", evalMatches=[], title="[OK] Checkout p95 latency", message="", imageUrl=None))

    assert end.fingerprint == one(legacy()).fingerprint
    assert end.group_key == one(legacy()).group_key
    assert "eval_matches" not in end.annotations


@pytest.mark.parametrize("other", [{"ruleId": 94}, {"orgId": 2}])
def test_legacy_rules_of_one_name_are_not_merged(other: dict[str, int]) -> None:
    first, second = one(legacy()), one(legacy(**other))

    assert first.name == second.name
    assert first.fingerprint != second.fingerprint
    assert first.group_key != second.group_key


def test_legacy_rule_id_may_be_0_or_text() -> None:
    assert one(legacy(ruleId=0)).fingerprint == "1:0"
    assert one(legacy(ruleId="93")).fingerprint == one(legacy()).fingerprint


def test_legacy_rule_without_a_name_has_that_of_its_title() -> None:
    assert one(legacy(ruleName=None)).name == "Checkout p95 latency"
    assert one(legacy(ruleName="", title="Latency [p95]")).name == "Latency [p95]"


def test_legacy_no_data_is_said_before_the_rules_own_text() -> None:
    assert one(legacy(state="no_data")).description == "No data. p95 latency above 150 ms"
    assert one(legacy(state="no_data", message="", evalMatches=None)).description == "No data."


def test_legacy_rule_without_a_message_is_described_by_its_values() -> None:
    assert one(legacy(message="")).description == "p95 {service=checkout}: 187.2\np95 {service=cart}: 164.9"


@pytest.mark.parametrize(
    ("tags", "labels"),
    [
        ([{"host": "web-1", "cpu": "0"}, {"host": "web-1", "cpu": "1"}], {"host": "web-1"}),
        ([{"host": "web-1"}, {"host": "web-2"}], {}),
        ([{"host": "web-1"}, {}], {}),
        ([None, {"instance": "web-1:9100"}], {"instance": "web-1:9100"}),
        ([], {}),
    ],
)
def test_legacy_host_is_the_one_that_all_series_are_of(tags: list[Any], labels: dict[str, str]) -> None:
    matches = [{"metric": "m", "value": 1, "tags": each} for each in tags]

    assert one(legacy(evalMatches=matches)).labels == {"team": "shop"} | labels


def test_legacy_tag_of_the_rule_wins_over_the_host_of_its_series() -> None:
    matches = [{"metric": "m", "value": 1, "tags": {"host": "web-1"}}]

    assert one(legacy(evalMatches=matches, tags={"host": "shop"})).labels == {"host": "shop"}


@pytest.mark.parametrize("name", legacy())
def test_legacy_body_that_lacks_any_one_field_is_still_grafanas(name: str) -> None:
    assert sources.parse(legacy()).source == "grafana"
    assert grafana.detect(without(legacy(), name))


def test_oldest_legacy_body_has_neither_org_nor_dashboard() -> None:
    body = without(legacy(), "orgId", "dashboardId", "panelId", "tags")

    assert (one(body).name, one(body).fingerprint) == ("Checkout p95 latency", ":93")
    assert all(grafana.detect(without(body, name)) for name in body)


def mutations() -> Iterator[Any]:
    """Bodies of both kinds with each field replaced by each odd value."""
    yield from ODD_VALUES
    for value in ODD_VALUES:
        yield from (unified(**{name: value}) for name in unified())
        yield from (unified(alerts=[entry(**{name: value}), entry()]) for name in entry())
        yield unified(alerts=[entry(labels=dict.fromkeys([*NO_DATA, "severity"], value))])
        yield unified(alerts=[entry(labels=NO_DATA, annotations={"Error": value})])
        yield from (legacy(**{name: value}) for name in legacy())
        yield legacy(evalMatches=[value, {"metric": value, "value": value, "tags": value}])


def test_no_body_brings_anything_but_alerts_faults_or_a_refusal() -> None:
    read = 0
    for body in mutations():
        assert isinstance(grafana.detect(body), bool)
        try:
            parsed = sources.parse(body, source="grafana")
        except UnreadablePayloadError:
            continue
        assert len(parsed.alerts) + len(parsed.faults) == len(body.get("alerts", [body]))
        read += 1

    assert read > len(ODD_VALUES) * len(entry())


def contact_points() -> dict[str, dict[str, Any]]:
    """The settings of the webhook of each contact point that we ship, with Grafana's variables filled in."""
    text = VENDOR.read_text("utf-8")
    for name, secret in SECRETS.items():
        text = text.replace(f"${name}\n", f"{json.dumps(secret)}\n")
    given = yaml.safe_load(text)
    assert given["apiVersion"] == 1
    found = {}
    for point in given["contactPoints"]:
        [receiver] = point["receivers"]
        assert (receiver["type"], receiver["disableResolveMessage"]) == ("webhook", False)
        found[point["name"]] = receiver["settings"]
    return found


def our_side() -> list[str]:
    """What the file says to set on our side, for each contact point in their order."""
    return re.findall(r"# +WATCHKEEPER_WEBHOOK_AUTH=(.+)", VENDOR.read_text("utf-8"))


@pytest.fixture
def client(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FlaskClient]:
    """A receiver that is set as the file says for the contact point of this number, asked from elsewhere."""
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    monkeypatch.setenv("WATCHKEEPER_WEBHOOK_AUTH", our_side()[request.param])
    with fresh_sqlite(tmp_path) as url:
        database = Database(url)
        app = create_app(settings.load(), database)
        client = app.test_client()
        client.environ_base["REMOTE_ADDR"] = "192.0.2.7"
        yield client
        app.extensions["watchkeeper"].acceptor.close()
        database.dispose()


@pytest.mark.parametrize("client", [0], indirect=True)
def test_contact_point_is_let_in_with_its_token_at_its_url(client: FlaskClient) -> None:
    given = contact_points()["watchkeeper"]
    scheme, token = given["authorization_scheme"], given["authorization_credentials"]
    path = urlsplit(given["url"]).path

    answers = [
        client.open(
            path, method=given["httpMethod"], json=unified(), headers={"Authorization": f"{scheme} {sent}"}
        )
        for sent in (token, "another")
    ]

    assert token == SECRETS["WATCHKEEPER_GRAFANA_TOKEN"]
    assert path == "/alerts/webhook/grafana/"
    assert [answer.status_code for answer in answers] == [202, 401]
    assert answers[0].get_json()["status"] == "accepted"


@pytest.mark.parametrize("client", [1], indirect=True)
def test_contact_point_is_let_in_with_its_signature_at_its_url(client: FlaskClient) -> None:
    given = contact_points()["watchkeeper-signed"]
    signing = given["hmacConfig"]
    body = json.dumps(unified()).encode()
    now = int(time.time())

    answers = []
    for timestamp in (now, now - 3600):
        signed = f"{timestamp}:".encode() + body
        signature = hmac.new(signing["secret"].encode(), signed, "sha256").hexdigest()
        headers = {signing["header"]: signature, signing["timestampHeader"]: str(timestamp)}
        path = urlsplit(given["url"]).path
        answers.append(client.open(path, method=given["httpMethod"], data=body, headers=headers))

    assert [answer.status_code for answer in answers] == [202, 401]
    assert answers[0].get_json()["status"] == "accepted"


def test_largest_group_of_the_contact_points_fits_our_limit_and_says_what_is_cut_off() -> None:
    entries = [entry(fingerprint=str(number), annotations={"description": "x" * 1024}) for number in range(1500)]

    for given in contact_points().values():
        most = given["maxAlerts"]
        body = unified(alerts=entries[:most], truncatedAlerts=1500 - most, message="x" * 2048 * most)
        parsed = sources.parse(body)

        assert len(json.dumps(body).encode()) < settings.Settings.model_fields["max_body_bytes"].default
        assert (len(parsed.alerts), parsed.truncated_alerts) == (1000, 500)
