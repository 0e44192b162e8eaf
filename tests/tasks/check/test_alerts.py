import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, event, func, select

from storage.database import Database
from storage.records import CheckResult, IngestResult, ParsedAlert, ParsedPayload, Reading
from storage.tables import Alert, CheckState, Incident
from storage.tables.base import utc_now
from storage.vocabulary import AlertStatus, CheckStatus, IncidentStatus, NotificationReason, Severity
from tasks.check import alerts as alerts_module
from tasks.check.alerts import KINDS, MAX_NEW_ALERTS, RESERVED_LABELS, Host, alerts_of
from tasks.check.checkers import raid
from tasks.check.checkers.base import conclude, state
from tasks.ingest.apply import Arrival, apply

OK, WARNING, CRITICAL, UNKNOWN = CheckStatus.OK, CheckStatus.WARNING, CheckStatus.CRITICAL, CheckStatus.UNKNOWN


def found(checker: str = "disk", **targets: CheckStatus) -> CheckResult:
    """A result with a reading for each target; `_` stands for the one without a name."""
    readings = [
        state(status, f"{target} is {status}", target=target.strip("_")) for target, status in targets.items()
    ]
    return conclude(checker, readings, metrics={}, good="nothing is bad")


def crashed(checker: str = "disk") -> CheckResult:
    return CheckResult(checker_name=checker, status=UNKNOWN, message="timed out after 10 s", error="timed out")


def skipped(checker: str = "disk") -> CheckResult:
    return CheckResult(checker_name=checker, status=CheckStatus.SKIPPED, message="no disk")


def check(database: Database, *results: CheckResult, host: Host | None = None) -> IngestResult:
    """One run's results, as the check stage stores them."""
    with database.write() as session:
        alerts = alerts_of(session, results, host or Host("web-1", {}, {}))
        payload = ParsedPayload(source="checker", alerts=list(alerts.values()))
        arrival = Arrival(payload, trace_id="t", environment="test", received_at=alerts_module.utc_now())
        return apply(session, [arrival], reopen_window=timedelta(0))[0]


def reasons(result: IngestResult) -> list[NotificationReason]:
    return [change.reason for change in result.changes]


def alerts(database: Database) -> dict[str, tuple[AlertStatus, Severity]]:
    with database.read() as session:
        return {row.name: (row.status, row.severity) for row in session.scalars(select(Alert).order_by(Alert.id))}


def descriptions(database: Database) -> list[str]:
    with database.read() as session:
        return [row.description for row in session.scalars(select(Alert).order_by(Alert.id))]


def incidents(database: Database) -> list[IncidentStatus]:
    with database.read() as session:
        return [row.status for row in session.scalars(select(Incident).order_by(Incident.id))]


def test_a_bad_disk_opens_an_incident_once_and_its_recovery_resolves_it(database: Database) -> None:
    told = [reasons(check(database, found(root=status))) for status in (OK, CRITICAL, CRITICAL, OK, OK)]

    assert told == [[], ["firing"], [], ["resolved"], []]
    assert incidents(database) == [IncidentStatus.RESOLVED]


def test_an_alert_is_known_by_host_checker_and_target(database: Database) -> None:
    check(database, found(root=CRITICAL, data=WARNING), found("cpu", _=WARNING))

    with database.read() as session:
        rows = session.scalars(select(Alert).order_by(Alert.fingerprint)).all()
    assert [(row.fingerprint, row.name, row.severity) for row in rows] == [
        ("web-1:cpu", "cpu check", Severity.WARNING),
        ("web-1:disk:data", "disk data", Severity.WARNING),
        ("web-1:disk:root", "disk root", Severity.CRITICAL),
    ]
    assert rows[2].labels == {"host": "web-1", "checker": "disk", "target": "root"}
    assert rows[2].description == "root is critical"
    assert rows[2].source == "checker"


def test_two_things_that_go_bad_are_two_incidents_and_both_are_told(database: Database) -> None:
    first = check(database, found(root=CRITICAL, data=OK))
    second = check(database, found(root=CRITICAL, data=CRITICAL))

    assert (reasons(first), reasons(second)) == (["firing"], ["firing"])
    assert len(incidents(database)) == 2


def test_two_hosts_do_not_share_what_is_believed(database: Database) -> None:
    check(database, found(root=CRITICAL))

    told = check(database, found(root=OK), host=Host("web-2", {}, {}))

    assert told.changes == []
    assert alerts(database)["disk root"][0] is AlertStatus.FIRING


def test_one_critical_path_fires_although_another_cannot_be_read(database: Database) -> None:
    check(database, found(root=CRITICAL, gone=UNKNOWN))

    assert alerts(database) == {"disk root": (AlertStatus.FIRING, Severity.CRITICAL)}


def test_it_takes_as_many_bad_results_as_are_asked_for(database: Database) -> None:
    patient = Host("web-1", {}, {"disk": 3})

    told = [reasons(check(database, found(root=WARNING), host=patient)) for _ in range(4)]

    assert told == [[], [], ["firing"], []]


def test_what_is_believed_survives_in_the_database_alone(database: Database) -> None:
    patient = Host("web-1", {}, {"disk": 2})
    check(database, found(root=CRITICAL), host=patient)

    with database.read() as session:
        held = session.scalars(select(CheckState)).one()

    assert (held.hostname, held.checker_name, held.target) == ("web-1", "disk", "root")
    assert (held.status, held.bad_in_a_row, held.critical_in_a_row) == (OK, 1, 1)


def test_what_is_back_by_less_than_the_margin_goes_on_firing(database: Database) -> None:
    nearly = Reading(status=OK, held=CRITICAL, message="88 % full", target="root", value=88)
    check(database, found(root=CRITICAL))

    told = check(database, conclude("disk", [nearly], metrics={}))

    assert told.changes == []
    assert alerts(database) == {"disk root": (AlertStatus.FIRING, Severity.CRITICAL)}
    assert descriptions(database) == ["88 % full"]


def test_a_milder_result_lowers_the_severity_at_once(database: Database) -> None:
    check(database, found(root=CRITICAL))

    check(database, found(root=WARNING))

    assert alerts(database) == {"disk root": (AlertStatus.FIRING, Severity.WARNING)}


def test_what_the_check_no_longer_finds_is_over(database: Database) -> None:
    check(database, found(root=OK, data=CRITICAL))

    told = check(database, found(root=OK))

    assert reasons(told) == ["resolved"]
    assert descriptions(database) == ["the check no longer finds it"]
    with database.read() as session:
        assert [row.target for row in session.scalars(select(CheckState))] == ["root"]


@pytest.mark.parametrize("later", [conclude("disk", [], metrics={}, good="none"), skipped()])
def test_a_checker_that_finds_nothing_at_all_ends_what_it_found(database: Database, later: CheckResult) -> None:
    check(database, found(root=CRITICAL))

    assert reasons(check(database, later)) == ["resolved"]


@pytest.mark.parametrize("later", [crashed(), found(_=UNKNOWN), found(_=UNKNOWN, other=OK), found(root=UNKNOWN)])
def test_a_checker_that_could_not_measure_ends_nothing(database: Database, later: CheckResult) -> None:
    check(database, found(root=CRITICAL))

    told = [check(database, later) for _ in range(4)][-1]

    assert "resolved" not in reasons(told)
    assert alerts(database)["disk root"] == (AlertStatus.FIRING, Severity.CRITICAL)
    assert descriptions(database)[0] == "root is critical"


def test_a_check_that_cannot_be_made_is_told_the_third_time_until_it_can(database: Database) -> None:
    told = [reasons(check(database, crashed())) for _ in range(4)]
    resolved = check(database, found(root=OK))

    assert told == [[], [], ["firing"], []]
    assert reasons(resolved) == ["resolved"]
    assert alerts(database) == {"disk check": (AlertStatus.RESOLVED, Severity.WARNING)}


def test_a_path_that_stays_unreadable_is_told_by_itself(database: Database) -> None:
    told = [reasons(check(database, found(root=OK, nfs=UNKNOWN))) for _ in range(3)]

    assert told == [[], [], ["firing"]]
    assert alerts(database) == {"disk nfs": (AlertStatus.FIRING, Severity.WARNING)}


def test_another_checkers_results_end_nothing(database: Database) -> None:
    check(database, found(root=CRITICAL))

    check(database, found("cpu", _=OK))

    assert alerts(database)["disk root"][0] is AlertStatus.FIRING


def test_labels_of_the_run_stand_on_its_alerts_but_name_no_other_thing(database: Database) -> None:
    labels = {"team": "db"} | dict.fromkeys(RESERVED_LABELS, "liar")
    for name in ("web-1", "web-2"):
        check(database, found(root=CRITICAL), found("cpu", _=CRITICAL), host=Host(name, labels, {}))

    with database.read() as session:
        found_labels = session.scalars(select(Alert.labels).order_by(Alert.fingerprint)).all()
    assert found_labels[:2] == [
        {"team": "db", "host": "web-1", "checker": "cpu"},
        {"team": "db", "host": "web-1", "checker": "disk", "target": "root"},
    ]
    assert len(incidents(database)) == 4


def many(count: int) -> CheckResult:
    readings: Sequence[Reading] = [
        state(CRITICAL if number == count - 1 else WARNING, "failed", target=f"unit-{number}")
        for number in range(count)
    ]
    return conclude("systemd_units", readings, metrics={})


def test_a_flood_is_told_in_parts_the_worst_first(database: Database) -> None:
    first = check(database, many(MAX_NEW_ALERTS + 5))
    second = check(database, many(MAX_NEW_ALERTS + 5))

    assert len(first.changes) == MAX_NEW_ALERTS
    assert len(second.changes) == 5
    assert next(iter(alerts(database))) == f"systemd_units unit-{MAX_NEW_ALERTS + 4}"


def test_targets_of_any_length_are_known_again_by_a_name_that_can_be_read(database: Database) -> None:
    names = [f"/srv/{'x' * 2000}{middle}{'x' * 2000}/end" for middle in "ab"]
    result = conclude("disk", [state(CRITICAL, "full", target=name) for name in names], metrics={})

    told = [reasons(check(database, result)) for _ in range(2)]

    assert told == [["firing", "firing"], []]
    with database.read() as session:
        rows = session.scalars(select(Alert)).all()
    assert all(row.name == f"disk {row.labels['target']}" and len(row.name) < 300 for row in rows)
    assert all(row.name.startswith("disk /srv/xxx") and "xxx/end #" in row.name for row in rows)


def test_a_target_of_any_length_that_is_gone_is_over(database: Database) -> None:
    check(database, conclude("disk", [state(CRITICAL, "full", target="/" + "x" * 4000)], metrics={}))

    assert reasons(check(database, found(root=OK))) == ["resolved"]


def test_any_number_of_targets_can_be_stored(database: Database) -> None:
    check(database, many(9000))

    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(CheckState)) == 9000


@pytest.mark.parametrize("later", [found(root=OK), found(other=OK)], ids=["good", "gone"])
def test_a_clock_that_was_a_year_ahead_delays_no_news(
    database: Database, monkeypatch: pytest.MonkeyPatch, later: CheckResult
) -> None:
    now = utc_now()
    monkeypatch.setattr(alerts_module, "utc_now", lambda: now + timedelta(days=365))
    check(database, found(root=CRITICAL))
    monkeypatch.setattr(alerts_module, "utc_now", lambda: now)

    told = [reasons(check(database, each)) for each in (later, found(root=CRITICAL), found(root=WARNING), later)]

    assert told == [["resolved"], ["firing"], [], ["resolved"]]


def test_what_fires_after_the_clock_was_set_right_began_by_the_right_clock(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = utc_now()
    monkeypatch.setattr(alerts_module, "utc_now", lambda: now + timedelta(days=365))
    check(database, found(root=CRITICAL))
    monkeypatch.setattr(alerts_module, "utc_now", lambda: now)

    check(database, found(root=OK))
    check(database, found(root=CRITICAL))

    with database.read() as session:
        assert session.scalars(select(Alert.started_at)).one() == now


def forget_all(database: Database) -> None:
    """As a migration down and up again leaves it."""
    with database.write() as session:
        session.execute(delete(CheckState))


def test_what_fires_and_vanishes_is_over_although_its_state_was_lost(database: Database) -> None:
    check(database, found(root=OK, data=CRITICAL), found("cpu", _=WARNING))
    check(database, found(data=CRITICAL), host=Host("web-2", {}, {}))
    forget_all(database)

    told = check(database, found(root=OK))

    assert reasons(told) == ["resolved"]
    assert alerts(database)["cpu check"][0] is AlertStatus.FIRING
    with database.read() as session:
        firing = session.scalars(select(Alert.fingerprint).where(Alert.status == AlertStatus.FIRING))
        assert sorted(firing) == ["web-1:cpu", "web-2:disk:data"]


def test_what_fires_is_believed_although_its_state_was_lost(database: Database) -> None:
    nearly = Reading(status=OK, held=CRITICAL, message="88 % full", target="root", value=88)
    check(database, found(root=CRITICAL))
    forget_all(database)

    told = [check(database, found(root=UNKNOWN)) for _ in range(4)]
    told.append(check(database, conclude("disk", [nearly], metrics={})))

    assert [reasons(each) for each in told] == [[]] * 5
    assert alerts(database) == {"disk root": (AlertStatus.FIRING, Severity.CRITICAL)}


def test_an_alert_from_before_things_had_alerts_of_their_own_ends(database: Database) -> None:
    whole = ParsedAlert(
        fingerprint="web-1:disk",
        name="disk check",
        status=AlertStatus.FIRING,
        started_at=None,
        severity=Severity.CRITICAL,
        raw_severity="critical",
        labels={"host": "web-1", "checker": "disk"},
    )
    with database.write() as session:
        arrival = Arrival(ParsedPayload(source="checker", alerts=[whole]), "t", "test", utc_now())
        apply(session, [arrival], reopen_window=timedelta(0))

    told = check(database, found(root=CRITICAL, nfs=UNKNOWN))

    assert sorted(reasons(told)) == ["firing", "resolved"]
    assert alerts(database)["disk check"][0] is AlertStatus.RESOLVED


def test_what_a_check_fired_that_is_no_longer_configured_is_over(database: Database) -> None:
    check(database, found(root=CRITICAL), found("cpu", _=WARNING), host=Host("web-2", {}, {}))
    check(database, found(root=CRITICAL), found("cpu", _=WARNING))

    told = check(database, found("cpu", _=WARNING), host=Host("web-1", {}, {}, lately_checked=frozenset()))

    assert reasons(told) == ["resolved"]
    with database.read() as session:
        ended = session.scalars(select(Alert).where(Alert.status == AlertStatus.RESOLVED)).one()
        states = session.execute(select(CheckState.hostname, CheckState.checker_name)).all()
    assert (ended.fingerprint, ended.description) == ("web-1:disk:root", "the check is no longer configured")
    assert sorted(map(tuple, states)) == [("web-1", "cpu"), ("web-2", "cpu"), ("web-2", "disk")]


def test_what_another_definition_checks_on_the_same_host_goes_on_firing(database: Database) -> None:
    check(database, found(root=CRITICAL))

    told = check(database, found("cpu", _=OK), host=Host("web-1", {}, {}, lately_checked={"disk"}))

    assert told.changes == []


def test_a_check_that_is_configured_and_could_not_be_made_ends_nothing(database: Database) -> None:
    check(database, found(root=CRITICAL))

    told = check(database, crashed(), host=Host("web-1", {}, {}, lately_checked=frozenset()))

    assert told.changes == []


@pytest.mark.parametrize("later", [found(nfs=UNKNOWN), found(nfs=UNKNOWN, root=OK)])
def test_a_path_that_nobody_can_read_keeps_no_other_firing(database: Database, later: CheckResult) -> None:
    check(database, found(data=CRITICAL, nfs=UNKNOWN))

    assert reasons(check(database, later)) == ["resolved"]


def test_a_place_that_can_be_read_again_is_told_while_another_hangs(database: Database) -> None:
    for _ in range(3):
        check(database, found("disk_common", _=UNKNOWN, var=UNKNOWN, tmp=UNKNOWN))

    told = check(database, found("disk_common", _=UNKNOWN, tmp=UNKNOWN))

    assert reasons(told) == ["resolved"]
    assert alerts(database)["disk_common var"][0] is AlertStatus.RESOLVED


THINGS = {"mdstat": "md0", "zpool": "zpool tank", "btrfs": "btrfs data"}


@pytest.mark.parametrize("kind", THINGS)
def test_what_is_of_a_kind_that_cannot_be_listed_goes_on_firing_and_the_rest_ends(
    database: Database, kind: str
) -> None:
    check(database, found("raid", **dict.fromkeys(THINGS.values(), CRITICAL)))

    told = [reasons(check(database, found("raid", **{kind: UNKNOWN}))) for _ in range(4)]

    assert told == [["resolved", "resolved"], [], ["firing"], []]
    assert alerts(database)[f"raid {THINGS[kind]}"][0] is AlertStatus.FIRING


def test_a_pool_that_only_could_not_be_measured_goes_on_firing_while_none_can_be_listed(
    database: Database,
) -> None:
    for _ in range(3):
        check(database, found("raid", **{"zpool tank": UNKNOWN}))

    assert check(database, found("raid", zpool=UNKNOWN, md0=OK)).changes == []


def test_the_kinds_are_those_that_raid_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(*_: Any, **__: Any) -> None:
        raise PermissionError

    for reader in (raid.mdstat, raid.zpool, raid.btrfs):
        monkeypatch.setattr(reader, "read", break_off)

    result = raid.Raid(raid.Raid.Config()).measure()

    assert {(raid.Raid.kind, reading.target) for reading in result.readings} == set(KINDS)


@contextmanager
def pause_after_insert(database: Database, seconds: float) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Hold the first transaction that inserts states right after it, until it may go on or for so long."""
    has_inserted, may_go_on = threading.Event(), threading.Event()

    def wait(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO check_states") and not has_inserted.is_set():
            has_inserted.set()
            may_go_on.wait(seconds)

    event.listen(database.engine, "after_cursor_execute", wait)
    try:
        yield has_inserted, may_go_on
    finally:
        event.remove(database.engine, "after_cursor_execute", wait)


def test_two_runs_at_once_do_not_take_each_others_rows_away(database: Database) -> None:
    check(database, found(root=CRITICAL, data=OK))
    with pause_after_insert(database, 1.0) as (has_inserted, may_go_on), ThreadPoolExecutor() as pool:
        first = pool.submit(check, database, found(root=CRITICAL, data=OK))
        assert has_inserted.wait(5)
        second = pool.submit(check, database, found(data=OK))
        with suppress(TimeoutError):
            second.result(timeout=0.5)
        may_go_on.set()
        told = [reasons(each.result(timeout=10)) for each in (first, second)]

    assert told == [[], ["resolved"]]
