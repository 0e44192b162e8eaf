"""What a run found and nobody was told of is told by the next one."""

import json
from typing import Any

import pytest
from commands import watchkeeper
from sinks import HttpSink
from sqlalchemy import select, update

from storage import channels
from storage.database import Database
from storage.tables import Incident, Notification, PipelineRun
from storage.tables.base import utc_now
from storage.vocabulary import IncidentStatus, NotificationReason

ALWAYS_BAD = ["--warning-threshold", "0", "--critical-threshold", "0"]
NEVER_BAD = ["--warning-threshold", "101", "--critical-threshold", "102"]
FIRING, RESOLVED = NotificationReason.FIRING, NotificationReason.RESOLVED


def add_channel(database: Database, sink: HttpSink) -> None:
    with database.write() as session:
        channels.add_channel(session, name="sink", driver="generic", config={"endpoint": sink.url})


def check(*limits: str) -> list[str]:
    """The reasons of what a run told."""
    said = watchkeeper("run-pipeline", "--checks-only", "--checkers", "memory", "--json", *limits)
    form: dict[str, Any] = json.loads(said.stdout)
    return [each["reason"] for each in form["notifications"]]


def forget(database: Database, reason: NotificationReason) -> None:
    """As if the run had been killed before it wrote down whom to tell."""
    with database.write() as session:
        for row in session.scalars(select(Notification).where(Notification.reason == reason)):
            session.delete(row)
        session.execute(update(PipelineRun).values(completed_at=utc_now()))


def test_what_was_found_before_there_was_a_channel_is_told_once_there_is(
    database: Database, http_sink: HttpSink
) -> None:
    check(*ALWAYS_BAD)
    add_channel(database, http_sink)

    assert [check(*ALWAYS_BAD), check(*ALWAYS_BAD)] == [[FIRING], []]


def test_what_a_run_that_was_killed_had_found_is_told_by_the_next(database: Database, http_sink: HttpSink) -> None:
    add_channel(database, http_sink)
    check(*ALWAYS_BAD)
    forget(database, FIRING)

    assert [check(*ALWAYS_BAD), check(*ALWAYS_BAD)] == [[FIRING], []]


def test_an_end_that_a_killed_run_had_found_is_told_by_the_next(database: Database, http_sink: HttpSink) -> None:
    add_channel(database, http_sink)
    check(*ALWAYS_BAD)
    check(*NEVER_BAD)
    forget(database, RESOLVED)

    assert [check(*NEVER_BAD), check(*NEVER_BAD)] == [[RESOLVED], []]


def test_the_end_of_what_nobody_was_told_of_is_not_told_either(database: Database, http_sink: HttpSink) -> None:
    check(*ALWAYS_BAD)
    check(*NEVER_BAD)
    add_channel(database, http_sink)

    assert check(*NEVER_BAD) == []


@pytest.mark.parametrize("status", [IncidentStatus.RESOLVED, IncidentStatus.CLOSED])
def test_what_a_person_ended_is_not_told_again_while_it_is_still_bad(
    database: Database, http_sink: HttpSink, status: IncidentStatus
) -> None:
    add_channel(database, http_sink)
    check(*ALWAYS_BAD)
    with database.write() as session:
        session.execute(update(Incident).values(status=status, resolved_at=utc_now()))

    assert [check(*ALWAYS_BAD), check(*ALWAYS_BAD)] == [[], []]


def test_an_incident_of_another_host_is_not_this_runs_to_tell(database: Database, http_sink: HttpSink) -> None:
    check("--hostname", "web-1", *ALWAYS_BAD)
    add_channel(database, http_sink)

    assert check("--hostname", "web", *NEVER_BAD) == []
    assert check("--hostname", "web-1", *ALWAYS_BAD) == [FIRING]
