"""Datadog's webhooks: our payload template, and the body that Datadog sends by default."""

import json
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingesting import ingest_at, only_alert_of, the_alert
from mutations import ODD
from sqlalchemy import select

from storage.database import Database
from storage.tables import Alert, AlertHistory, Incident
from storage.vocabulary import AlertEvent, AlertStatus, Severity
from tasks.ingest.body import read_body
from tasks.ingest.sources import LAST, SOURCES, datadog, parse, recognise
from tasks.ingest.sources.base import UnreadablePayloadError

ROOT = Path(__file__).parents[4]
PAYLOADS = ROOT / "tests/payloads/datadog"
TEMPLATE = ROOT / "webhook_app/vendor/datadog.json"
FORM = "application/x-www-form-urlencoded"
DATE = datetime(2026, 9, 19, 10, 5, tzinfo=UTC)
UNSET = ["", None, "null", "Null", "$", "  "]
STARTS = ["Triggered", "No Data", "Warn"]
REMINDERS = ["Re-Triggered", "Re-No Data", "Re-Warn", "Renotify"]
NASTY: list[Any] = [*ODD, "$DATE"]

only_alert = partial(only_alert_of, "datadog")
ingest = partial(ingest_at, DATE + timedelta(days=1))


def sample(name: str = "01_custom_full_triggered.json") -> Any:
    return read_body((PAYLOADS / name).read_bytes(), FORM)


def event(minutes: int = 0, **fields: Any) -> dict[str, Any]:
    """The first sample, so many minutes later, with other fields."""
    moment = str(int((DATE + timedelta(minutes=minutes)).timestamp() * 1000))
    body: dict[str, Any] = sample()
    return body | {"date": moment, "last_updated": moment} | fields


def default_body(title: str = "[Triggered on {host:web-03}] Swap in use", **fields: Any) -> dict[str, Any]:
    body: dict[str, Any] = sample("11_default_body_triggered.json")
    link = "[[Monitor Status](https://app.datadoghq.eu/monitors/150020030)]"
    return body | {"title": title, "body": f"%%%\nSwap is used\n\n{link}\n%%%"} | fields


@pytest.mark.parametrize("transition", STARTS)
def test_transition_into_a_state_begins_an_episode_at_its_date(transition: str) -> None:
    alert = only_alert(event(alert_transition=transition))

    assert (alert.status, alert.started_at, alert.ended_at) == (AlertStatus.FIRING, DATE, None)
    assert (alert.occurred_at, alert.episode) == (DATE, "7915540183310011223")


@pytest.mark.parametrize("transition", REMINDERS)
def test_reminder_goes_on_firing_and_its_date_is_no_start(transition: str) -> None:
    alert = only_alert(event(minutes=30, alert_transition=transition))

    assert (alert.status, alert.started_at, alert.ended_at) == (AlertStatus.FIRING, None, None)
    assert alert.occurred_at == DATE + timedelta(minutes=30)


def test_recovery_ends_at_its_date_and_names_no_start() -> None:
    alert = only_alert(event(minutes=40, alert_transition="Recovered", alert_type="success"))

    assert alert.status is AlertStatus.RESOLVED
    assert (alert.started_at, alert.ended_at) == (None, DATE + timedelta(minutes=40))


@pytest.mark.parametrize("word", ["recovered", "RECOVERED", " Recovered "])
def test_case_of_a_transition_does_not_matter(word: str) -> None:
    assert only_alert(event(alert_transition=word)).status is AlertStatus.RESOLVED


@pytest.mark.parametrize("transition", ["Muted", "muted"])
def test_muting_changes_no_state(transition: str) -> None:
    parsed = parse(event(alert_transition=transition))

    assert (parsed.alerts, parsed.faults) == ([], [])
    assert parsed.remark.startswith("muted")


def test_transition_that_datadog_does_not_document_is_refused_without_its_value() -> None:
    with pytest.raises(UnreadablePayloadError, match="alert_transition") as error:
        parse(event(alert_transition="Exploded"))

    assert "Exploded" not in str(error.value)


def test_whole_history_of_an_alert_is_one_episode_with_its_first_start(database: Database) -> None:
    ingest(
        database,
        event(0, alert_transition="Warn"),
        event(5, alert_transition="Triggered"),
        event(35, alert_transition="Re-Triggered"),
        event(65, alert_transition="Renotify"),
        event(70, alert_transition="Recovered", alert_type="success"),
    )

    alert = the_alert(database)
    assert (alert.started_at, alert.ended_at) == (DATE, DATE + timedelta(minutes=70))
    assert (alert.status, alert.severity) == (AlertStatus.RESOLVED, Severity.CRITICAL)
    with database.read() as session:
        assert session.scalars(select(Incident)).one().status == "resolved"
        events = session.scalars(select(AlertHistory.event).order_by(AlertHistory.id)).all()
    assert events == [
        AlertEvent.CREATED,
        AlertEvent.REFRESHED,
        AlertEvent.REFRESHED,
        AlertEvent.REFRESHED,
        AlertEvent.RESOLVED,
    ]


def test_recovery_of_an_unknown_alert_is_stored_and_opens_nothing(database: Database) -> None:
    ingest(database, event(40, alert_transition="Recovered"))

    alert = the_alert(database)
    assert (alert.status, alert.ended_at) == (AlertStatus.RESOLVED, DATE + timedelta(minutes=40))
    with database.read() as session:
        assert session.scalars(select(Incident)).all() == []


def test_trigger_that_comes_after_its_recovery_is_stale(database: Database) -> None:
    ingest(database, event(40, alert_transition="Recovered"), event(0))

    assert the_alert(database).status is AlertStatus.RESOLVED


def test_next_cycle_fires_again(database: Database) -> None:
    ingest(database, event(0), event(5, alert_transition="Recovered"), event(60, alert_cycle_key="next"))

    alert = the_alert(database)
    assert (alert.status, alert.started_at) == (AlertStatus.FIRING, DATE + timedelta(minutes=60))


def test_recovery_of_one_group_leaves_the_other_firing(database: Database) -> None:
    other = sample("03_warn_other_group_of_same_monitor.json")

    ingest(database, event(), other, event(30, alert_transition="Recovered"))

    with database.read() as session:
        states = {alert.fingerprint: alert.status for alert in session.scalars(select(Alert))}
    assert states == {event()["aggreg_key"]: AlertStatus.RESOLVED, other["aggreg_key"]: AlertStatus.FIRING}


@pytest.mark.parametrize(
    ("priority", "kind", "transition", "severity"),
    [
        ("P1", "warning", "Warn", Severity.CRITICAL),
        ("P2", "error", "Triggered", Severity.CRITICAL),
        ("P3", "error", "Triggered", Severity.WARNING),
        ("P4", "error", "Triggered", Severity.INFO),
        ("P5", "error", "Triggered", Severity.INFO),
        (None, "error", "Triggered", Severity.CRITICAL),
        ("", "warning", "Warn", Severity.WARNING),
        ("$ALERT_PRIORITY", "info", "Triggered", Severity.INFO),
        ("null", "success", "Triggered", None),
        ("null", "success", "Recovered", None),
        ("P1", "success", "Recovered", Severity.CRITICAL),
        ("", "", "Triggered", Severity.CRITICAL),
        ("", "", "Re-Triggered", Severity.CRITICAL),
        ("", "$ALERT_TYPE", "Warn", Severity.WARNING),
        ("", "", "No Data", None),
        ("", "", "Renotify", None),
        ("", "", "Recovered", None),
    ],
)
def test_severity_is_the_priority_else_the_type_else_that_of_the_transition(
    priority: Any, kind: str, transition: str, severity: Severity | None
) -> None:
    body = event(alert_priority=priority, alert_type=kind, alert_transition=transition, event_title="Disk latency")

    assert only_alert(body).severity is severity


def test_source_keeps_its_own_word() -> None:
    assert only_alert(event()).raw_severity == "P1"
    assert only_alert(event(alert_priority=None, event_title="Disk")).raw_severity == "error"


def test_recovery_does_not_lower_the_severity(database: Database) -> None:
    unset = {"alert_priority": "null", "event_title": "Disk"}

    ingest(database, event(**unset), event(9, alert_transition="Recovered", alert_type="success", **unset))

    assert the_alert(database).severity is Severity.CRITICAL


@pytest.mark.parametrize(
    "title",
    [
        "Disk latency on {{host.name}}",
        "[Triggered on {host:cache-07,env:prod}] Disk latency on {{host.name}}",
        "[P1] [Recovered on {host:cache-07,env:prod}] Disk latency on {{host.name}}",
        "[Re-No data] [P1] Disk latency on {{host.name}}",
        " [Renotify on {host:a}]  Disk latency on {{host.name}} ",
    ],
)
def test_name_is_the_title_without_what_changes_with_each_transition(title: str) -> None:
    assert only_alert(event(alert_title=title)).name == "Disk latency on {{host.name}}"


def test_brackets_that_are_the_operators_own_stay_in_the_name() -> None:
    assert only_alert(event(alert_title="[Triggered] [prod] [db] Disk [root]")).name == "[prod] [db] Disk [root]"


@pytest.mark.parametrize("unset", UNSET)
def test_name_falls_to_the_events_title_and_then_to_the_monitor(unset: Any) -> None:
    of_title = event(alert_title="$ALERT_TITLE" if unset == "$" else unset)

    assert only_alert(of_title).name == "Disk latency on cache-07"
    assert only_alert(of_title | {"event_title": unset if unset != "$" else "$EVENT_TITLE"}).name == (
        "Datadog monitor 148302277"
    )


@pytest.mark.parametrize("unset", UNSET)
def test_variable_that_is_unset_is_as_if_it_were_absent(unset: Any) -> None:
    names = [
        "alert_priority",
        "hostname",
        "tags",
        "snapshot",
        "link",
        "alert_metric",
        "alert_cycle_key",
        "org_name",
    ]
    template = json.loads(TEMPLATE.read_text())
    given_unset = event(**{name: template[name] if unset == "$" else unset for name in names})
    absent = {name: value for name, value in event().items() if name not in names}

    alert = only_alert(given_unset)

    assert alert.model_dump(exclude={"raw_payload"}) == only_alert(absent).model_dump(exclude={"raw_payload"})
    assert "hostname" not in alert.labels
    assert alert.episode is None


def test_template_that_was_not_filled_in_at_all_is_refused() -> None:
    body = json.loads(TEMPLATE.read_text())

    assert datadog.detect(body)
    with pytest.raises(UnreadablePayloadError, match="filled in"):
        recognise(body)


def test_fingerprint_is_datadogs_key_of_the_group_and_groups_the_incident_too() -> None:
    alert = only_alert(event())

    assert (alert.fingerprint, alert.group_key) == (event()["aggreg_key"], event()["aggreg_key"])


def test_without_a_key_monitor_and_group_are_the_identity_in_whatever_order() -> None:
    one = only_alert(event(aggreg_key="", alert_scope="host:cache-07,env:prod")).fingerprint
    same = only_alert(
        event(aggreg_key=None, alert_scope="env:prod, host:cache-07", alert_id=148302277)
    ).fingerprint
    other = only_alert(event(aggreg_key="", alert_scope="host:cache-08,env:prod")).fingerprint

    assert one == same
    assert one != other
    assert one != "148302277"


def test_without_a_group_the_host_stands_for_it() -> None:
    unset = {"aggreg_key": "", "alert_scope": "", "event_title": "Disk", "event_msg": "", "tags": ""}

    prints = [only_alert(event(**unset, hostname=host)).fingerprint for host in ("a", "b", "")]
    of_tag = only_alert(event(**unset | {"tags": "host:a,env:prod"}, hostname="")).fingerprint

    assert len(set(prints)) == 3
    assert of_tag == prints[0]


@pytest.mark.parametrize("scope", ["", "*", None])
def test_monitor_without_groups_and_hosts_is_one_alert(scope: Any) -> None:
    unset = {"aggreg_key": "", "event_title": "Disk", "event_msg": "", "tags": "team:core", "hostname": ""}

    fired = only_alert(event(**unset, alert_scope=scope))
    ended = only_alert(event(**unset, alert_scope="*", alert_transition="Recovered"))

    assert fired.fingerprint == ended.fingerprint
    assert "*" not in ended.labels


def test_key_of_any_length_fits_the_column() -> None:
    assert len(only_alert(event(aggreg_key="k" * 5000)).fingerprint) == 64


def test_tags_are_labels_and_those_without_a_value_are_kept() -> None:
    tags = "env:prod,monitor, url:http://localhost:9292/api ,security-group:sg-1,security-group:sg-2,,env:prod"

    labels = only_alert(event(tags=tags, alert_scope="host:cache-07")).labels

    assert labels == {
        "env": "prod",
        "monitor": "",
        "url": "http://localhost:9292/api",
        "security-group": "sg-1,sg-2",
        "host": "cache-07",
        "hostname": "cache-07",
        "metric": "disk.await",
        "monitor_id": "148302277",
    }


def test_of_several_tags_of_a_name_the_groups_own_says_what_the_alert_is_about() -> None:
    labels = only_alert(event(tags="host:a,host:b", alert_scope="host:b")).labels

    assert labels["host"] == "b"


def test_tags_given_as_a_list_are_read_as_well() -> None:
    assert only_alert(event(tags=["env:prod", "monitor"])).labels["env"] == "prod"


def test_texts_and_links_for_people_are_kept() -> None:
    alert = only_alert(event())

    assert alert.description == "Disk await is 63.2 ms on cache-07 @webhook-pipeline"
    assert alert.annotations["link"] == event()["link"]
    assert alert.annotations["snapshot"] == event()["snapshot"]
    assert alert.annotations["alert_query"] == event()["alert_query"]
    assert only_alert(event(text_only_msg="")).description.startswith("Disk await is 63.2 ms")


@pytest.mark.parametrize("date", ["1789812300000", 1789812300000, 1789812300000.0, "1789812300", 1789812300])
def test_date_is_a_number_or_text_of_milliseconds_or_seconds(date: Any) -> None:
    assert only_alert(event(date=date)).started_at == DATE


@pytest.mark.parametrize("date", ["", None, "$DATE", "yesterday", 10**400, -5, [], True])
def test_date_that_cannot_be_read_is_none_and_the_alert_goes_on(date: Any) -> None:
    alert = only_alert(event(date=date, last_updated=None))

    assert (alert.started_at, alert.occurred_at) == (None, None)


def test_default_body_is_read_from_its_title_and_links() -> None:
    alert = only_alert(sample("11_default_body_triggered.json"))

    assert (alert.name, alert.status, alert.severity) == ("Swap in use", AlertStatus.FIRING, Severity.CRITICAL)
    assert alert.labels == {"host": "web-03", "env": "prod", "monitor_id": "150020030"}
    assert alert.started_at == DATE
    assert alert.description.startswith("Swap is used on web-03")
    assert "%%%" not in alert.description


def test_default_bodies_of_one_group_are_one_alert_and_end(database: Database) -> None:
    ingest(database, sample("11_default_body_triggered.json"), sample("12_default_body_recovered.json"))

    alert = the_alert(database)
    assert (alert.status, alert.started_at) == (AlertStatus.RESOLVED, DATE)
    assert alert.ended_at == DATE + timedelta(minutes=20)


@pytest.mark.parametrize(
    ("prefix", "status"),
    [
        *((word, AlertStatus.FIRING) for word in ("Triggered", "Warn", "No data", "Re-Triggered", "Re-Warn")),
        *((word, AlertStatus.FIRING) for word in ("Re-No data", "Renotify")),
        ("Recovered", AlertStatus.RESOLVED),
    ],
)
@pytest.mark.parametrize("form", ["[{}] Swap", "[{} on {{host:a}}] Swap", "[P3] [{} on {{host:a}}] Swap"])
def test_transition_of_a_default_body_stands_before_its_title(prefix: str, status: AlertStatus, form: str) -> None:
    alert = only_alert(default_body(form.format(prefix)))

    assert (alert.name, alert.status) == ("Swap", status)


def test_groups_of_a_default_bodys_monitor_are_two_alerts_and_two_incidents(database: Database) -> None:
    ingest(database, *(default_body(f"[Triggered on {{service:{name}}}] Latency") for name in ("a", "b")))

    with database.read() as session:
        assert len(session.scalars(select(Incident)).all()) == 2


@pytest.mark.parametrize(
    "link",
    [
        "[[Monitor Status](https://app.datadoghq.com/monitors#42?group=host%3Aa)]",
        "[[Monitor Status](https://us5.datadoghq.com/monitors/42?to_ts=1&group=host%3Aa&from_ts=2)] /monitors/7",
        "/monitors/7?group=host%3Ab [[Monitor Status](https://app.datadoghq.com/monitors/42?group=host%3Aa)]",
        "https://acme.datadoghq.com/monitors/42?group=host:a",
        "[![Graph](x)](https://app.datadoghq.com/monitors#42?group=host%3Aa) [[Monitor Status](https://a/monitors#42?)]",
    ],
)
def test_monitor_and_group_are_found_in_datadogs_link_where_the_title_names_none(link: str) -> None:
    alert = only_alert(default_body("[Triggered] Swap", body=f"text\n{link}"))

    assert (alert.labels["monitor_id"], alert.labels["host"]) == ("42", "a")


def test_group_of_a_link_that_is_the_whole_monitor_is_no_group() -> None:
    link = "[[Monitor Status](https://app.datadoghq.com/monitors/42?group=total)]"

    assert only_alert(default_body("[Triggered] Swap", body=link)).labels == {"monitor_id": "42"}


def test_link_cannot_bring_in_what_a_database_refuses(database: Database) -> None:
    link = "[[Monitor Status](https://app.datadoghq.com/monitors/42?group=host%3Aa%00%ED%A0%80)]"

    ingest(database, default_body("[Triggered] Swap", body=link))

    assert "\x00" not in the_alert(database).fingerprint


def test_default_body_without_a_link_is_known_by_its_name_and_group() -> None:
    prints = [
        only_alert(default_body(title, body="no link")).fingerprint
        for title in (
            "[Triggered on {host:a}] Swap",
            "[Recovered on {host:a}] Swap",
            "[Triggered on {host:b}] Swap",
        )
    ]

    assert prints[0] == prints[1]
    assert prints[0] != prints[2]


def test_event_that_no_monitor_wrote_holds_no_alert() -> None:
    parsed = parse(default_body("Deployed 4.2", body="@webhook-watchkeeper done"))

    assert (parsed.alerts, parsed.faults) == ([], [])
    assert "not about the state of a monitor" in parsed.remark


def test_monitors_event_without_any_known_transition_is_not_silently_lost() -> None:
    with pytest.raises(UnreadablePayloadError, match="transition"):
        parse(default_body("[Exploded on {host:a}] Swap"))


@pytest.mark.parametrize(
    ("kind", "status"),
    [("error", AlertStatus.FIRING), ("warning", AlertStatus.FIRING), ("success", AlertStatus.RESOLVED)],
)
def test_type_stands_for_a_transition_that_is_not_named(kind: str, status: AlertStatus) -> None:
    body = event(alert_transition="null", alert_type=kind, event_title="Disk")

    assert only_alert(body).status is status


def test_information_about_a_monitor_is_no_state_of_it() -> None:
    parsed = parse(event(alert_transition="Null", alert_type="info", event_title="Monitor was changed"))

    assert parsed.alerts == []
    assert parsed.remark


@pytest.mark.parametrize("transition", ["Triggered", "Recovered"])
def test_test_notification_is_an_alert_of_its_own(transition: str, database: Database) -> None:
    prefix = f"[P1] [{transition} on {{host:cache-07,env:prod}}]"
    test = event(9, alert_transition=transition, event_title=f"{prefix} [TEST] Disk latency on cache-07")

    ingest(database, event(), test)

    with database.read() as session:
        rows = {row.name: row.status for row in session.scalars(select(Alert))}
    assert rows["Disk latency on {{host.name}}"] is AlertStatus.FIRING
    assert "[TEST] Disk latency on {{host.name}}" in rows


@pytest.mark.parametrize("name", ["13_template_form_encoded.txt", "14_template_in_payload_field.txt"])
def test_form_says_what_the_json_says(name: str) -> None:
    of_json = only_alert(sample("03_warn_other_group_of_same_monitor.json"))

    assert only_alert(sample(name)) == of_json


def test_template_for_operators_has_the_keys_of_the_documented_body() -> None:
    assert list(json.loads(TEMPLATE.read_text())) == list(sample())


def test_template_for_operators_becomes_the_documented_body_when_filled_in() -> None:
    values = {name.upper(): value for name, value in sample().items()}

    filled = re.sub(r"\$([A-Z_]+)", lambda found: json.dumps(values[found[1]])[1:-1], TEMPLATE.read_text())

    assert read_body(filled.encode()) == sample()
    assert only_alert(read_body(filled.encode())) == only_alert(sample())


@pytest.mark.parametrize("payload", [event(), default_body(), sample("12_default_body_recovered.json")])
def test_body_is_datadogs_and_nobody_elses(payload: Any) -> None:
    assert [name for name, source in SOURCES.items() if source.detect(payload) and name != LAST] == ["datadog"]
    assert recognise(payload) == "datadog"


@pytest.mark.parametrize(
    "payload",
    [
        *(None, 5, "text", [], {}, [{"alert_transition": "Triggered"}]),
        {"alert_transition": "Triggered"},
        {"alert_id": 1, "alert_status": "firing", "alert_type": "disk", "name": "Disk"},
        {"title": "x", "event_type": "y", "date": 1},
    ],
)
def test_other_bodies_are_not_datadogs(payload: Any) -> None:
    assert not datadog.detect(payload)


@pytest.mark.parametrize("payload", [None, 5, "text", [], {}, {"body": "x"}, {"alert_transition": "Triggered"}])
def test_body_that_names_no_alert_is_refused(payload: Any) -> None:
    with pytest.raises(UnreadablePayloadError):
        recognise(payload, source="datadog")


@pytest.mark.parametrize("field", ["alert_id", "aggreg_key", "alert_title", "event_title", "alert_transition"])
def test_wrong_type_is_refused_at_the_door_by_its_name(field: str) -> None:
    with pytest.raises(UnreadablePayloadError, match=f"^{field} must be text$"):
        recognise(event(**{field: {"secret": "hunter2"}}))


@given(st.lists(st.tuples(st.sampled_from(sorted(sample())), st.sampled_from(NASTY)), max_size=6), st.booleans())
def test_no_value_of_any_field_raises_anything_but_unreadable(
    fields: list[tuple[str, Any]], default: bool
) -> None:
    payload = (default_body() if default else event()) | dict(fields)

    datadog.detect(payload)
    with suppress(UnreadablePayloadError):
        recognise(payload, source="datadog")
    with suppress(UnreadablePayloadError):
        parsed = parse(payload, source="datadog")
        assert parsed.alerts or parsed.remark


@given(st.sampled_from([*NASTY, *[[value] for value in NASTY]]))
def test_no_payload_at_all_breaks_detection(payload: Any) -> None:
    datadog.detect(payload)

    with pytest.raises(UnreadablePayloadError):
        datadog.parse(payload)


@pytest.mark.parametrize(
    "text", ["[P1]" * 250_000, "[Triggered on {" * 60_000, "/monitors/1" * 90_000, "a:" * 500_000]
)
def test_text_made_to_be_slow_is_not(text: str) -> None:
    started = datetime.now(UTC)

    for field in ("alert_title", "event_msg", "tags", "alert_scope"):
        parse(event(**{field: text}))

    assert datetime.now(UTC) - started < timedelta(seconds=10)
