"""Every input of the payload corpus against its expected result, parsed and stored, on both databases."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from storage.database import Database
from storage.tables import Alert, AlertHistory, Incident
from storage.vocabulary import AlertEvent, AlertStatus, Severity
from tasks.ingest import sources
from tasks.ingest.apply import Arrival, apply
from tasks.ingest.body import BodyError, read_body
from tasks.ingest.sources.base import UnreadablePayloadError

PAYLOADS = Path(__file__).parents[2] / "payloads"
EXPECTED: dict[str, dict[str, Any]] = json.loads((PAYLOADS / "expected.json").read_text())
RECEIVED_AT = datetime(2026, 9, 24, 12, 0, tzinfo=UTC)
WITH_ALERTS = [name for name, expected in EXPECTED.items() if isinstance(expected.get("alerts"), list)]
COUNTS = {name: expected["alerts_count"] for name, expected in EXPECTED.items() if "alerts_count" in expected}
# Where the corpus leaves it open: Prometheus' own form of a body is read, and so is one with NaN in it.
DECIDED = {"nasty/25_top_level_array.json": 2, "nasty/15_nan_infinity.json": 1}


def arrival(name: str) -> Arrival:
    payload = sources.parse(read_body((PAYLOADS / name).read_bytes()))
    return Arrival(payload=payload, trace_id="trace-1", environment="test", received_at=RECEIVED_AT)


def ingest(database: Database, *arrivals: Arrival) -> None:
    with database.write() as session:
        apply(session, arrivals, reopen_window=timedelta(minutes=10))


def moment(text: str | None) -> datetime | None:
    """A time of the corpus: `<received_at>` is ours, and words behind a time are its explanation."""
    if text is None:
        return None
    if text.startswith("<received_at>") or "clamped to received_at" in text:
        return RECEIVED_AT
    found = datetime.fromisoformat(text.split(" ")[0])
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def severity(word: str) -> Severity:
    """A severity of the corpus; where it is the stored one, nothing is stored here yet."""
    return Severity.WARNING if word.startswith("<stored") else Severity(word)


def rows(database: Database) -> list[Alert]:
    with database.read() as session:
        return list(session.scalars(select(Alert).order_by(Alert.id)))


@pytest.mark.parametrize("name", WITH_ALERTS)
def test_body_becomes_the_expected_rows(name: str, database: Database) -> None:
    ingest(database, arrival(name))

    found = [(row.name, row.severity, row.status, row.started_at, row.ended_at) for row in rows(database)]
    assert found == [
        (
            expected["name"],
            severity(expected["severity"]),
            AlertStatus(expected["status"]),
            moment(expected["started_at"]),
            moment(expected["ended_at"]),
        )
        for expected in EXPECTED[name]["alerts"]
    ]


@pytest.mark.parametrize("name", WITH_ALERTS)
def test_body_says_what_was_done_about_the_alert(name: str) -> None:
    found = [alert.lifecycle for alert in arrival(name).payload.alerts]

    assert found == [expected.get("lifecycle") for expected in EXPECTED[name]["alerts"]]


@pytest.mark.parametrize("name", COUNTS)
def test_body_holds_the_expected_number_of_alerts(name: str) -> None:
    count = DECIDED.get(name, COUNTS[name])

    if count:
        assert len(arrival(name).payload.alerts) == count
    else:
        with pytest.raises((BodyError, UnreadablePayloadError)):
            arrival(name)


@pytest.mark.parametrize("name", [name for name in WITH_ALERTS if not name.startswith("nasty")])
def test_body_is_recognised_without_its_source_in_the_url(name: str) -> None:
    assert arrival(name).payload.source == name.split("/", maxsplit=1)[0]


@pytest.mark.parametrize("name", WITH_ALERTS)
def test_second_delivery_of_a_body_makes_nothing_new(name: str, database: Database) -> None:
    ingest(database, arrival(name))
    before = len(rows(database))

    with database.write() as session:
        result, _ = apply(session, [arrival(name)], reopen_window=timedelta(minutes=10))

    assert (len(rows(database)), result.alerts_created, result.incidents_created) == (before, 0, 0)
    assert result.changes == []


def test_empty_list_of_alerts_is_legal_and_touches_nothing(database: Database) -> None:
    given = arrival("nasty/01_empty_alerts_list.json")

    ingest(database, given)

    assert (rows(database), given.payload.remark != "") == ([], True)


def test_five_thousand_alerts_are_one_incident_and_the_second_body_changes_nothing(database: Database) -> None:
    given = arrival("nasty/05_group_of_5000_alerts.json")

    ingest(database, given)
    ingest(database, given)

    with database.read() as session:
        counts = [session.scalar(select(func.count()).select_from(table)) for table in (Alert, Incident)]
    assert counts == [5000, 1]


def test_truncation_is_kept_on_the_incident_and_once_in_the_history(database: Database) -> None:
    ingest(database, arrival("nasty/08_truncated_alerts.json"))

    with database.read() as session:
        incident = session.scalars(select(Incident)).one()
        truncated = session.scalars(select(AlertHistory).where(AlertHistory.event == AlertEvent.TRUNCATED)).all()
    assert (incident.truncated_alerts, len(truncated)) == (37, 1)


def test_one_fingerprint_of_two_sources_is_two_alerts(database: Database) -> None:
    ingest(database, arrival("datadog/01_custom_full_triggered.json"))
    ingest(database, arrival("nasty/31_fingerprint_collides_with_datadog01.json"))

    found = rows(database)
    assert len({row.fingerprint for row in found}) == 1
    assert {row.source for row in found} == {"datadog", "alertmanager"}


def test_future_start_does_not_block_the_next_episode(database: Database) -> None:
    ingest(database, arrival("nasty/22_future_timestamps.json"))

    [row] = rows(database)
    assert row.started_at == RECEIVED_AT
    assert row.ended_at is None


def test_two_groups_of_one_monitor_are_two_alerts(database: Database) -> None:
    ingest(database, arrival("datadog/01_custom_full_triggered.json"))
    ingest(database, arrival("datadog/03_warn_other_group_of_same_monitor.json"))

    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Incident)) == 2
    assert len(rows(database)) == 2


@pytest.mark.parametrize(
    ("firing", "resolved"),
    [
        ("alertmanager/01_firing_two_hosts.json", "alertmanager/03_all_resolved.json"),
        ("grafana/01_unified_firing.json", "grafana/03_unified_resolved.json"),
        ("newrelic/01_workflow_activated_default.json", "newrelic/02_workflow_closed_default.json"),
    ],
)
def test_end_of_what_fired_resolves_its_one_incident(firing: str, resolved: str, database: Database) -> None:
    ingest(database, arrival(firing))

    ingest(database, arrival(resolved))

    with database.read() as session:
        incident = session.scalars(select(Incident)).one()
    assert {row.status for row in rows(database)} == {AlertStatus.RESOLVED}
    assert incident.status == "resolved"


@pytest.mark.parametrize(
    ("firing", "acknowledged"),
    [
        ("pagerduty/01_v3_incident_triggered.json", "pagerduty/03_v3_incident_acknowledged.json"),
        ("opsgenie/01_create_p1.json", "opsgenie/03_acknowledge.json"),
        ("zabbix/01_problem_high.json", "zabbix/03_update_acknowledged.json"),
    ],
)
def test_acknowledgement_is_not_an_end(firing: str, acknowledged: str, database: Database) -> None:
    ingest(database, arrival(firing))

    ingest(database, arrival(acknowledged))

    with database.read() as session:
        incident = session.scalars(select(Incident)).one()
    [row] = rows(database)
    assert (row.status, row.severity, incident.status) == (AlertStatus.FIRING, Severity.CRITICAL, "acknowledged")
