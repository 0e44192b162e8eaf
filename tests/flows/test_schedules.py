"""Schedules as people write them, and runs that come too late by their own schedule."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.flows import load_flow_from_entrypoint

from flows.catalog import entrypoint_of
from flows.lateness import next_after
from tasks.definition.schedule import ScheduleError, read_schedule

MIDNIGHT = datetime(2026, 9, 25, tzinfo=UTC)  # a Friday


@pytest.mark.parametrize(
    ("config", "faults"),
    [
        ({}, ["schedule: give exactly one of every_seconds and cron"]),
        ({"every_seconds": 60, "cron": "* * * * *"}, ["schedule: give exactly one of every_seconds and cron"]),
        ({"every_seconds": 1}, ["every_seconds: Input should be greater than or equal to 10"]),
        ({"cron": "61 * * * *"}, ["cron: '61 * * * *' is no cron expression: bad minute"]),
        ({"cron": "0 0 30 2 1"}, ["cron: '0 0 30 2 1' is no cron expression: bad day-of-month"]),
        ({"cron": "0 0 LW * *"}, ["cron: '0 0 LW * *' is no cron expression that Prefect keeps: there is no LW"]),
        (
            {"cron": "0 0 * * 5L", "timezone": "right/UTC"},
            [
                "cron: '0 0 * * 5L' is no cron expression that Prefect keeps: L is for the day of the month only",
                "timezone: 'right/UTC' is no time zone; give a name such as Europe/Berlin",
            ],
        ),
        (
            {"cron": "* * *", "timezone": "Mars/North"},
            [
                "cron: '* * *' has 3 fields, not five: minute, hour, day, month, day of the week",
                "timezone: 'Mars/North' is no time zone; give a name such as Europe/Berlin",
            ],
        ),
    ],
    ids=["nothing", "both", "too-often", "no-cron", "no-such-day", "no-lw", "no-5l", "two-faults"],
)
def test_schedule_that_cannot_be_kept_is_refused_with_all_its_faults(
    config: dict[str, Any], faults: list[str]
) -> None:
    with pytest.raises(ScheduleError) as caught:
        read_schedule(config)

    assert caught.value.faults == faults


@pytest.mark.parametrize("cron", ["*/5 * * * *", "30 6 * * MON-FRI", "0 0 1 1 *", "0 9 L * *", "0 9 15,L 2 MON#1"])
def test_cron_that_is_accepted_here_is_one_for_prefect(cron: str) -> None:
    schedule = read_schedule({"cron": cron, "timezone": "Europe/Berlin"})

    assert CronSchedule(cron=schedule.cron, timezone=schedule.timezone)


@pytest.mark.parametrize(
    ("schedule", "gap"),
    [
        (IntervalSchedule(interval=timedelta(minutes=5), anchor_date=MIDNIGHT), timedelta(minutes=5)),
        (CronSchedule(cron="0 0 * * MON-FRI", timezone="UTC"), timedelta(days=3)),
    ],
    ids=["interval", "cron-over-the-weekend"],
)
def test_a_run_is_late_when_the_next_of_its_own_schedule_is_due(schedule: Any, gap: timedelta) -> None:
    kept = DeploymentSchedule(id=uuid4(), deployment_id=uuid4(), schedule=schedule, active=True)

    assert asyncio.run(next_after(kept, MIDNIGHT)) == MIDNIGHT + gap


@pytest.mark.parametrize("name", ["night-shift", "a.b_c-d", "a_2d_b", "Übung 1"])
def test_saved_definition_has_an_entrypoint_that_prefect_can_load(name: str) -> None:
    assert load_flow_from_entrypoint(entrypoint_of(name)).name == name
