"""What the retention flow lets go of, and what it must not."""

import asyncio
import subprocess
import sys
import time
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from old_rows import add_old_webhooks, count_rows
from rows import add_alert, add_delivery, add_incident, add_notification
from sqlalchemy import event, func, select

from flows import pruning
from flows.pruning import prune
from storage import definitions, inbox, retention, runs, settings
from storage.alerts import add_history
from storage.database import Database
from storage.tables import (
    Alert,
    AlertHistory,
    AnalysisRun,
    CheckRun,
    DefinitionVersion,
    Delivery,
    Incident,
    Notification,
    PipelineRun,
    RunDelivery,
    StageExecution,
)
from storage.tables.base import Base, utc_now
from storage.vocabulary import (
    AlertEvent,
    AlertStatus,
    AnalysisStatus,
    CheckStatus,
    DeliveryStatus,
    IncidentStatus,
    NotificationStatus,
    RunStatus,
    Stage,
    StageStatus,
)

LONG_AGO = utc_now() - timedelta(days=400)
OLD = {"created_at": LONG_AGO, "updated_at": LONG_AGO}
FOREVER = {name: 0 for name in settings.Settings.model_fields if name.startswith("retain_")}


def prune_now(**days: int) -> dict[str, int]:
    """Prune by the default settings, or by some days that are given."""
    return asyncio.run(prune(settings.load().model_copy(update=days)))


def ids(database: Database, table: type[Base]) -> set[int]:
    with database.read() as session:
        return set(session.scalars(select(table.id)))  # type: ignore[attr-defined]


def left(database: Database) -> tuple[int, int]:
    """How many bodies and senders' ids are still there."""
    with database.read() as session:
        bodies = session.scalar(select(func.count()).select_from(Delivery).where(inbox.HAS_BODY))
        return bodies or 0, session.scalar(select(func.count(Delivery.sender_delivery_id))) or 0


def add_run(database: Database, **given: Any) -> tuple[int, str]:
    """A run of long ago with a delivery and a stage, over in whatever is not given. Returns its key and its id."""
    fields = {"status": RunStatus.NOTIFIED, "completed_at": LONG_AGO, **OLD, **given}
    with database.write() as session:
        delivery_id = add_delivery(session, status=DeliveryStatus.DONE, received_at=LONG_AGO, finished_at=LONG_AGO)
        delivery = session.scalars(select(Delivery).where(Delivery.delivery_id == delivery_id)).one()
        run = runs.create_run(session, definition_name="direct", definition_version=0, deliveries=[delivery])
        key = f"{run.run_id}:ingest:1"
        session.add(
            StageExecution(
                pipeline_run_id=run.id,
                stage=Stage.INGEST,
                node_id="ingest",
                status=StageStatus.SUCCEEDED,
                attempt=1,
                idempotency_key=key,
            )
        )
        for name, value in fields.items():
            setattr(run, name, value)
        return run.id, run.run_id


def test_two_thousand_old_rows_go_and_young_ones_stay(database: Database) -> None:
    add_old_webhooks(database, 170, days_ago=100)
    add_old_webhooks(database, 10, days_ago=1)
    young = {name: count // 18 for name, count in count_rows(database).items()}

    pruned = prune_now()

    # The newest answer about an incident stays as long as the incident.
    assert count_rows(database) == young | {"analysis_runs": young["analysis_runs"] + 1}
    assert pruned["runs"] == pruned["deliveries"] == pruned["notifications"] == 170
    with database.read() as session:
        recorded = {row.name: row.last_count for row in retention.prunings(session)}
    assert recorded["check runs"] == 340


def test_zero_days_keep_everything_for_ever(database: Database) -> None:
    add_old_webhooks(database, 2, days_ago=4000)
    before = count_rows(database)

    pruned = prune_now(**FOREVER)

    assert (pruned, count_rows(database), left(database)) == ({}, before, (2, 2))


def test_days_of_bodies_and_of_senders_ids_are_their_own(database: Database) -> None:
    for days_ago in (6.9, 7.1, 29.9, 30.1):
        add_old_webhooks(database, 1, days_ago=days_ago)

    prune_now()

    assert left(database) == (3, 1)


def test_run_that_is_not_over_or_has_something_to_send_stays_with_its_stages(database: Database) -> None:
    unfinished, _ = add_run(database, status=RunStatus.RETRYING, completed_at=None)
    taken_up, _ = add_run(database, lease_owner="somebody")
    sending, run_id = add_run(database)
    over, _ = add_run(database)
    with database.write() as session:
        add_notification(session, status=NotificationStatus.FAILED, sender_run_id=run_id, **OLD)

    prune_now(retain_deliveries_days=0)

    assert ids(database, PipelineRun) == {unfinished, taken_up, sending}
    with database.read() as session:
        kept_stages = set(session.scalars(select(StageExecution.pipeline_run_id)))
        kept_links = set(session.scalars(select(RunDelivery.run_id)))
    assert over not in kept_stages | kept_links
    assert len(kept_stages) == len(kept_links) == 3


def test_delivery_that_waits_or_that_a_run_works_on_stays(database: Database) -> None:
    add_run(database, status=RunStatus.RETRYING, completed_at=None)
    held = ids(database, Delivery)
    with database.write() as session:
        for status in (DeliveryStatus.WAITING, DeliveryStatus.QUARANTINED):
            add_delivery(session, status=status, received_at=LONG_AGO, finished_at=None)
        waiting = set(session.scalars(select(Delivery.id)))
        add_delivery(session, status=DeliveryStatus.DONE, received_at=LONG_AGO, finished_at=LONG_AGO)

    prune_now()

    assert ids(database, Delivery) == held | waiting


def test_message_stays_while_it_is_unsent_or_its_incident_lives_or_has_just_ended(database: Database) -> None:
    closed = {"status": IncidentStatus.CLOSED, **OLD}
    with database.write() as session:
        over, live = add_incident(session, **closed), add_incident(session, **OLD)
        ended = add_incident(session, status=IncidentStatus.RESOLVED, created_at=LONG_AGO, updated_at=utc_now())
        sent = {"status": NotificationStatus.SENT, **OLD}
        kept = {
            add_notification(session, incident_id=live.id, **sent),
            add_notification(session, incident_id=ended.id, **sent),
            add_notification(session, incident_id=over.id, **(sent | {"status": NotificationStatus.FAILED})),
        }
        add_notification(session, incident_id=over.id, sequence=1, **sent)
        add_notification(session, incident_id=over.id, sequence=2, **(sent | {"status": NotificationStatus.DEAD}))

    prune_now()

    assert ids(database, Notification) == kept


def test_history_of_a_firing_alert_loses_only_what_repeats(database: Database) -> None:
    with database.write() as session:
        for status in (AlertStatus.FIRING, AlertStatus.RESOLVED):
            alert = add_alert(session, status=status, trace_id="")
            add_history(
                session,
                [
                    {"alert_id": alert.id, "event": happened, "created_at": LONG_AGO}
                    for happened in (AlertEvent.CREATED, AlertEvent.SEVERITY_CHANGED, AlertEvent.REFRESHED)
                ],
            )

    prune_now()

    with database.read() as session:
        kept = session.execute(
            select(Alert.status, AlertHistory.event).join(Alert, Alert.id == AlertHistory.alert_id)
        )
        assert {tuple(row) for row in kept} == {
            (AlertStatus.FIRING, AlertEvent.CREATED),
            (AlertStatus.FIRING, AlertEvent.SEVERITY_CHANGED),
        }


def test_newest_answer_about_an_incident_stays_and_one_that_runs_too(database: Database) -> None:
    with database.write() as session:
        incident = add_incident(session, status=IncidentStatus.CLOSED, **OLD)
        given = [
            ("first", AnalysisStatus.SUCCEEDED, incident.id),
            ("newest", AnalysisStatus.SUCCEEDED, incident.id),
            ("failed", AnalysisStatus.FAILED, incident.id),
            ("running", AnalysisStatus.RUNNING, incident.id),
            ("of no incident", AnalysisStatus.SUCCEEDED, None),
        ]
        for provider, status, of in given:
            session.add(AnalysisRun(provider=provider, status=status, incident_id=of, created_at=LONG_AGO))
            session.flush()

    prune_now()

    with database.read() as session:
        assert set(session.scalars(select(AnalysisRun.provider))) == {"newest", "running"}


def test_incidents_go_with_all_that_belongs_to_them_only_when_a_setting_says_so(database: Database) -> None:
    run, _ = add_run(database)
    with database.write() as session:
        over = add_incident(session, status=IncidentStatus.CLOSED, **OLD)
        burning = add_incident(session, status=IncidentStatus.CLOSED, **OLD)
        live = add_incident(session, **OLD)
        for incident in (over, burning, live):
            resolved = {"received_at": LONG_AGO, "updated_at": LONG_AGO, "incident_id": incident.id}
            status = AlertStatus.FIRING if incident is burning else AlertStatus.RESOLVED
            alert = add_alert(session, status=status, trace_id="", **resolved)
            add_history(session, [{"alert_id": alert.id, "event": AlertEvent.CREATED, "created_at": LONG_AGO}])
            add_notification(session, incident_id=incident.id, status=NotificationStatus.SENT, **OLD)
            session.add(
                AnalysisRun(
                    provider="local", status=AnalysisStatus.SUCCEEDED, incident_id=incident.id, created_at=LONG_AGO
                )
            )
            session.add(
                CheckRun(
                    checker_name="cpu",
                    hostname="h",
                    status=CheckStatus.OK,
                    alert_id=alert.id,
                    executed_at=LONG_AGO,
                )
            )
        session.get_one(PipelineRun, run).incident_id = over.id

    prune_now(**FOREVER)
    before = len(ids(database, Incident))
    prune_now(**(FOREVER | {"retain_incidents_days": 30}))

    assert (before, ids(database, Incident)) == (3, {burning.id, live.id})
    assert len(ids(database, Alert)) == len(ids(database, AnalysisRun)) == 2
    with database.read() as session:
        assert session.get_one(PipelineRun, run).incident_id is None


def test_versions_of_a_definition_that_no_run_names_go_and_the_newest_stays(database: Database) -> None:
    config = {"version": "1.0", "nodes": [{"id": "a", "type": "context"}]}
    with database.write() as session:
        for number in range(3):
            definitions.save(session, name="own", config=config | {"description": str(number)})
        for version in session.scalars(select(DefinitionVersion).where(DefinitionVersion.name == "own")):
            version.created_at = LONG_AGO
        run = runs.create_run(session, definition_name="own", definition_version=1)
        run.created_at = utc_now()

    prune_now()

    with database.read() as session:
        kept = session.scalars(select(DefinitionVersion.version).where(DefinitionVersion.name == "own"))
        assert set(kept) == {1, 3}


def test_batches_are_bounded_and_leave_the_database_to_others_between(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "LOOK", 40)
    monkeypatch.setattr(pruning, "BATCH", 15)
    add_old_webhooks(database, 100, days_ago=100)
    deleted: list[tuple[float, int]] = []

    @event.listens_for(database.engine, "after_cursor_execute")
    def note(_connection: Any, cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("DELETE FROM pipeline_runs"):
            deleted.append((time.monotonic(), cursor.rowcount))

    prune_now(**(FOREVER | {"retain_runs_days": 30}))

    counts = [count for _, count in deleted]
    assert sum(counts) == 100
    assert max(counts) <= 15
    moments = [moment for moment, _ in deleted]
    assert min(later - sooner for sooner, later in pairwise(moments)) >= 0.01


def test_two_at_once_prune_without_harm(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH", 5)
    add_old_webhooks(database, 60, days_ago=100)

    async def both() -> list[dict[str, int]]:
        return list(await asyncio.gather(prune(settings.load()), prune(settings.load())))

    first, second = asyncio.run(both())

    assert first["runs"] + second["runs"] == 60
    assert first["check runs"] + second["check runs"] == 120
    assert sum(count_rows(database).values()) == 1


def test_killed_in_the_middle_it_has_let_go_of_whole_runs_only_and_the_next_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHKEEPER_RETAIN_BODIES_DAYS", "0")
    monkeypatch.setenv("WATCHKEEPER_RETAIN_DELIVERY_IDS_DAYS", "0")
    add_old_webhooks(database, 150, days_ago=100)
    program = (
        "import asyncio; from flows import pruning; from storage import settings;"
        "pruning.BATCH = 2; asyncio.run(pruning.prune(settings.load()))"
    )
    process = subprocess.Popen([sys.executable, "-c", program])
    while len(ids(database, PipelineRun)) > 130 and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    process.wait()
    middle = count_rows(database)

    prune_now()

    assert 0 < middle["pipeline_runs"] <= 130
    assert middle["stage_executions"] == 3 * middle["pipeline_runs"]
    assert sum(count_rows(database).values()) == 1
