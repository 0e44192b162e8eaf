"""Hours that are over are counted once and kept; the present one is counted at each look."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rows import add_alert, add_delivery
from sqlalchemy import delete, event, func, select
from sqlalchemy.orm import Session

from storage import hours, runs
from storage.alerts import add_history
from storage.database import Database
from storage.figures import figures
from storage.tables import AlertHistory, AnalysisRun, CheckRun, HourlyFigure, PipelineRun
from storage.vocabulary import AlertEvent, AnalysisStatus, CheckStatus, RunStatus

NOW = datetime(2026, 11, 22, 5, 40, tzinfo=UTC)
HOUR = timedelta(hours=1)
OVER, PRESENT = NOW - 3 * HOUR, NOW - timedelta(minutes=5)


def add_events(session: Session, *events: AlertEvent, at: datetime) -> None:
    alert = add_alert(session)
    add_history(session, [{"alert_id": alert.id, "event": each, "created_at": at} for each in events])


def add_run(session: Session, *, at: datetime, **given: Any) -> PipelineRun:
    row = runs.create_run(session, definition_name="direct", definition_version=1)
    run = session.get_one(PipelineRun, row.id)
    for name, value in ({"created_at": at, "completed_at": at, "status": RunStatus.NOTIFIED} | given).items():
        setattr(run, name, value)
    session.flush()
    return run


def add_something_of_each(session: Session, at: datetime) -> None:
    add_events(session, AlertEvent.CREATED, AlertEvent.REFIRED, at=at)
    add_delivery(session, source="grafana", received_at=at)
    add_run(session, at=at)
    add_run(session, at=at, status=RunStatus.FAILED, last_error_type="Timeout")
    for status in (CheckStatus.OK, CheckStatus.CRITICAL):
        session.add(CheckRun(checker_name="disk", hostname="h", status=status, executed_at=at))
    session.add(AnalysisRun(provider="openai", status=AnalysisStatus.SUCCEEDED, total_tokens=1200, created_at=at))
    session.flush()


EACH = {
    hours.ALERTS: {"created": 1, "refired": 1},
    hours.DELIVERIES: {"grafana": 1},
    hours.RUNS: {"NOTIFIED/": 1, "FAILED/Timeout": 1},
    hours.CHECKS: {"critical/disk": 1},
    hours.ANALYSES: {"openai": 1},
    hours.TOKENS: {"openai": 1200},
}


def look(database: Database, now: datetime = NOW) -> hours.Past:
    with database.read() as session:
        return hours.read(session, now)


@pytest.mark.parametrize("at", [OVER, PRESENT])
def test_each_figure_is_there_whether_its_hour_is_kept_or_counted_anew(database: Database, at: datetime) -> None:
    with database.write() as session:
        add_something_of_each(session, at)
    hours.fill(database, NOW)

    past = look(database)

    assert {name: dict(counts) for name, counts in past.last_day.items()} == EACH
    assert {name: dict(counts) for name, counts in past.last_week.items()} == EACH
    assert past.of_hour(hours.ALERTS, hours.hour_of(at)) == Counter(EACH[hours.ALERTS])
    assert past.missing(168) == 0


def test_what_is_older_than_a_day_counts_for_the_week_alone(database: Database) -> None:
    with database.write() as session:
        add_something_of_each(session, NOW - 30 * HOUR)
    hours.fill(database, NOW)

    past = look(database)

    assert past.last_day == {}
    assert past.of_week(hours.DELIVERIES) == {"grafana": 1}


def test_an_hour_is_kept_no_sooner_than_its_last_rows_can_be_there(database: Database) -> None:
    shortly_after = datetime(2026, 11, 22, 5, 10, tzinfo=UTC)
    hours.fill(database, shortly_after)
    with database.write() as session:
        add_delivery(session, source="late", received_at=datetime(2026, 11, 22, 4, 59, 59, tzinfo=UTC))

    seen_at_once = look(database, shortly_after).of_day(hours.DELIVERIES)
    hours.fill(database, NOW)

    assert seen_at_once == look(database).of_day(hours.DELIVERIES) == {"late": 1}


def test_what_is_not_counted_yet_is_missing_and_not_zero(database: Database) -> None:
    past = look(database)

    assert past.missing(24) == 23
    assert past.missing(168) == 167
    assert past.counted == {hours.hour_of(NOW)}


def test_only_hours_that_are_missing_are_counted(database: Database) -> None:
    first = hours.fill(database, NOW)

    assert (first, hours.fill(database, NOW), hours.fill(database, NOW + 2 * HOUR)) == (167, 0, 2)


def test_figures_outlive_their_rows(database: Database) -> None:
    with database.write() as session:
        add_something_of_each(session, OVER)
    hours.fill(database, NOW)

    with database.write() as session:
        session.execute(delete(AlertHistory))
        session.execute(delete(PipelineRun))

    assert look(database).of_week(hours.RUNS) == EACH[hours.RUNS]


def test_figures_go_after_their_time(database: Database) -> None:
    hours.fill(database, NOW)

    hours.fill(database, NOW + timedelta(days=60))

    with database.read() as session:
        oldest = session.scalar(select(func.min(HourlyFigure.hour_at)))
    assert oldest is not None
    assert oldest > NOW + timedelta(days=20)


def test_several_that_count_at_once_keep_each_hour_once(database: Database) -> None:
    with database.write() as session:
        for back in range(1, 60):
            add_something_of_each(session, NOW - back * HOUR)

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda _: hours.fill(database, NOW), range(3)))

    assert look(database).of_week(hours.TOKENS) == {"openai": 59 * 1200}
    assert look(database).missing(168) == 0


def test_an_hour_that_somebody_kept_meanwhile_stays_as_it_is(database: Database) -> None:
    hour = hours.hour_of(OVER)
    with database.write() as session:
        hours.keep(session, [hour], [hours.Count(hour, hours.ALERTS, "created", 5)])

    with database.write() as session:
        hours.keep(session, [hour], [hours.Count(hour, hours.ALERTS, "refired", 7)])

    assert look(database).of_week(hours.ALERTS) == {"created": 5}


def test_alerts_whose_delivery_waited_are_added_to_the_hour_in_which_it_came(database: Database) -> None:
    with database.write() as session:
        add_events(session, AlertEvent.CREATED, at=OVER)
    hours.fill(database, NOW)
    with database.write() as session:
        add_events(session, AlertEvent.CREATED, AlertEvent.RESOLVED, at=OVER)
        add_events(session, AlertEvent.CREATED, at=NOW - 150 * HOUR)

    hours.fill(database, NOW + HOUR)

    past = look(database, NOW + HOUR)
    assert past.of_hour(hours.ALERTS, hours.hour_of(OVER)) == {"created": 2, "resolved": 1}
    assert past.of_week(hours.ALERTS) == {"created": 3, "resolved": 1}


def test_alerts_that_were_pruned_stay_counted_when_others_come_late(database: Database) -> None:
    with database.write() as session:
        add_events(session, AlertEvent.CREATED, AlertEvent.CREATED, AlertEvent.REFIRED, at=OVER)
    hours.fill(database, NOW)
    with database.write() as session:
        session.execute(delete(AlertHistory))
        add_events(session, AlertEvent.CREATED, at=OVER)

    hours.fill(database, NOW + HOUR)

    assert look(database, NOW + HOUR).of_week(hours.ALERTS) == {"created": 2, "refired": 1}


def test_what_a_clock_that_was_ahead_has_kept_of_an_open_hour_is_counted_anew(database: Database) -> None:
    with database.write() as session:
        add_delivery(session, source="grafana", received_at=PRESENT)
        present = hours.hour_of(PRESENT)
        hours.keep(session, [present], hours.count(session, present, present + HOUR))

    past = look(database)

    assert past.of_day(hours.DELIVERIES) == {"grafana": 1}


def test_the_report_says_the_same(database: Database) -> None:
    with database.write() as session:
        for back in (0, 2, 5, 23):
            add_something_of_each(session, NOW - back * HOUR)
        add_something_of_each(session, NOW - 25 * HOUR)
    hours.fill(database, NOW)
    past = look(database)

    with database.read() as session:
        report = figures(session, since=past.day_began_at)

    assert past.of_day(hours.DELIVERIES) == report["deliveries"]["by_source"]
    assert past.of_day(hours.ALERTS)[AlertEvent.CREATED] == report["alerts"]["new"]
    assert past.of_day(hours.RUNS).total() == report["runs"]["total"]
    assert past.of_day(hours.RUNS)["FAILED/Timeout"] == report["runs"]["failed"]
    assert report["checks"]["top_failing"] == [{"checker": "disk", "count": past.of_day(hours.CHECKS).total()}]
    (provider,) = report["analyses"]["by_provider"]
    assert past.of_day(hours.ANALYSES)["openai"] == provider["count"]
    assert past.of_day(hours.TOKENS)["openai"] == provider["total_tokens"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_each_figure_is_counted_along_the_time(database: Database) -> None:
    statements: list[tuple[str, Any]] = []
    event.listen(
        database.engine,
        "before_cursor_execute",
        lambda _c, _u, statement, parameters, _x, _m: statements.append((statement, parameters)),
    )
    with database.read() as session:
        hours.count(session, OVER, NOW)

    with database.engine.connect() as connection:
        plans = [
            " ".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters))
            for statement, parameters in list(statements)
            if statement.startswith("SELECT")
        ]

    indexes = (
        "ix_alert_history_figures",
        "ix_deliveries_received_at",
        "ix_check_runs_figures",
        "ix_pipeline_runs_ended",
        "ix_analysis_runs_created_at",
    )
    assert [index in plan and "SCAN" not in plan for index, plan in zip(indexes, plans, strict=True)] == [True] * 5
