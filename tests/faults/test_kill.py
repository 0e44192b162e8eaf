"""kill -9 of any part at any moment: no accepted delivery is lost, nothing is told twice once it was recorded.

WATCHKEEPER_TEST_SEED repeats a run's kill points; every failure prints its seed.
"""

import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx
import pytest
from sinks import Answer, HttpSink
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from stack import LiveStack, live_stack, wait_until

from storage import inbox, stages
from storage.tables import Delivery, Incident, Notification, PipelineRun, StageExecution
from storage.vocabulary import DeliveryStatus, NotificationReason, NotificationStatus, RunStatus, StageStatus
from tasks.notify.sending import SENDERS

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

KILLS = ["worker"] * 9 + ["receiver"] * 6 + ["prefect-server"] * 4 + ["postgresql"] * 2
SLOTS = 4
PIPELINES = 2
MAX_PAUSE_SECONDS = 8.0
SETTLE_SECONDS = 150


@dataclass
class Storm:
    """What was posted, killed and received."""

    seed: int
    stack: LiveStack
    sink: HttpSink
    accepted: dict[str, str] = field(default_factory=dict)  # title by delivery id
    killed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"WATCHKEEPER_TEST_SEED={self.seed}, {len(self.accepted)} accepted, killed: {', '.join(self.killed)}"
        )

    @property
    def received(self) -> list[tuple[str, str, datetime]]:
        """(title, idempotency key, time) of each request at the sink."""
        offset = time.time() - time.monotonic()
        return [
            (
                json.loads(request.body)["title"],
                request.headers["Idempotency-Key"],
                datetime.fromtimestamp(request.received_at + offset, UTC),
            )
            for request in self.sink.requests
        ]


@pytest.fixture(scope="module")
def storm() -> Iterator[Storm]:
    """Webhooks come in all the time while parts are killed at random; then everything has settled."""
    seed = int(os.environ.get("WATCHKEEPER_TEST_SEED") or random.SystemRandom().randrange(10**6))
    environment = {"WATCHKEEPER_LEASE_SECONDS": "6", "WATCHKEEPER_SLOTS": str(SLOTS)}
    with HttpSink(default=Answer(delay_seconds=0.03)) as sink, live_stack(**environment) as stack:
        stack.add_channel("sink", "generic", {"endpoint": sink.url})
        storm = Storm(seed, stack, sink)
        _rage(storm)
        print(storm)
        started = time.monotonic()
        wait_until(lambda: not _unfinished(storm), SETTLE_SECONDS, what=f"the end of all runs; {storm}")
        print(f"settled after {time.monotonic() - started:.1f} s")
        yield storm


def test_every_accepted_webhook_ends_in_a_run_that_told_people(storm: Storm) -> None:
    with storm.stack.database.read() as session:
        found = {row.delivery_id: row for row in session.scalars(select(Delivery))}
        lost = storm.accepted.keys() - found.keys()
        statuses = Counter(found[delivery_id].status for delivery_id in storm.accepted if delivery_id in found)
        untold = [
            delivery_id
            for delivery_id in storm.accepted
            if {run.status for run in inbox.runs_of(session, found[delivery_id].id)} != {RunStatus.NOTIFIED}
        ]

    assert not lost, storm
    assert statuses == {DeliveryStatus.DONE: len(storm.accepted)}, storm
    assert not untold, storm


def test_each_webhook_opens_one_incident_with_one_message_that_was_sent(storm: Storm) -> None:
    with storm.stack.database.read() as session:
        incidents = Counter(session.scalars(select(Incident.title)))
        rows = session.execute(select(Incident.title, Notification).join(Incident)).all()

    assert max(incidents.values()) == 1, storm
    assert set(storm.accepted.values()) <= incidents.keys(), storm
    assert Counter(title for title, _ in rows) == incidents, storm
    assert {row.reason for _, row in rows} == {NotificationReason.FIRING}, storm
    assert {row.status for _, row in rows} == {NotificationStatus.SENT}, storm


def test_the_destination_was_told_about_each_accepted_webhook(storm: Storm) -> None:
    told = {title for title, _, _ in storm.received}

    missing = [title for title in storm.accepted.values() if not any(title in heard for heard in told)]

    assert not missing, storm


def test_nothing_is_sent_again_after_it_was_recorded_as_sent(storm: Storm) -> None:
    with storm.stack.database.read() as session:
        sent_at = dict(session.execute(select(Notification.idempotency_key, Notification.sent_at)).all())

    again = [(title, at, sent_at[key]) for title, key, at in storm.received if at > sent_at[key]]

    assert not again, storm


def test_a_repeat_at_the_destination_has_the_same_key_and_comes_from_a_kill(storm: Storm) -> None:
    keys_by_title: dict[str, set[str]] = {}
    for title, key, _ in storm.received:
        keys_by_title.setdefault(title, set()).add(key)
    repeats = len(storm.received) - len(keys_by_title)
    # Only what was between the destination's answer and our commit: at most one a sender of each slot.
    kills = sum(part in {"worker", "postgresql"} for part in storm.killed)

    assert all(len(keys) == 1 for keys in keys_by_title.values()), storm
    assert repeats <= kills * SLOTS * PIPELINES * SENDERS, storm
    print(f"{repeats} repeats of {len(keys_by_title)} messages after {kills} kills")


def test_every_run_is_over_and_no_attempt_is_left_running(storm: Storm) -> None:
    with storm.stack.database.read() as session:
        runs = list(session.scalars(select(PipelineRun)))
        attempts = [row for run in runs for row in stages.list_attempts(session, run.id)]

    assert all(run.completed_at and run.status is RunStatus.NOTIFIED for run in runs), storm
    assert not [row.idempotency_key for row in attempts if row.status is StageStatus.RUNNING], storm


def test_no_stage_that_finished_is_run_again(storm: Storm) -> None:
    with storm.stack.database.read() as session:
        finished = session.execute(
            select(StageExecution.pipeline_run_id, StageExecution.node_id).where(
                StageExecution.status == StageStatus.SUCCEEDED
            )
        ).all()

    assert max(Counter(tuple(row) for row in finished).values()) == 1, storm


def test_a_worker_killed_between_sending_and_recording_sends_once_more_with_the_same_key(storm: Storm) -> None:
    title = f"in-between-{storm.seed}"
    storm.sink.answer_with(Answer(delay_seconds=3))
    accepted = storm.stack.post({"name": title, "severity": "critical", "fingerprint": title})
    wait_until(lambda: any(title in heard for heard, _, _ in storm.received), 30, what="the message to be sent")

    storm.stack.kill("worker")
    run = storm.stack.wait_for_run(accepted)

    keys = [key for heard, key, _ in storm.received if title in heard]
    assert run["status"] == "NOTIFIED", storm
    assert len(keys) == 2, storm
    assert len(set(keys)) == 1, storm


def _rage(storm: Storm) -> None:
    """Post and kill, until the list of kills is at its end."""
    chance = random.Random(storm.seed)
    plan = chance.sample(KILLS, len(KILLS))
    while any(len(set(plan[at : at + 3])) == 1 for at in range(len(plan) - 2)):
        chance.shuffle(plan)  # `up` rightly gives up on a part that dies again and again before it has settled
    stop = threading.Event()
    poster = threading.Thread(target=_post, args=(storm, stop), daemon=True)
    poster.start()
    try:
        for part in plan:
            time.sleep(chance.uniform(0.2, MAX_PAUSE_SECONDS))
            storm.stack.kill(part)
            storm.killed.append(part)
    finally:
        stop.set()
        poster.join()


def _post(storm: Storm, stop: threading.Event) -> None:
    number = 0
    while not stop.wait(0.1):
        number += 1
        title = f"alert-{storm.seed}-{number:05}"
        try:
            answer = storm.stack.web.post(
                f"/alerts/webhook/generic/?pipeline={'full' if number % 10 == 0 else 'direct'}",
                json={"name": title, "severity": "critical", "fingerprint": title},
            )
        except httpx.TransportError:
            continue
        if answer.status_code == 202:
            storm.accepted[answer.json()["delivery_id"]] = title


def _unfinished(storm: Storm) -> bool:
    """Whether anything is still to be done. Not knowing, while the database restarts, counts as that."""
    assert storm.stack.process is not None
    assert storm.stack.process.poll() is None, f"up ended; {storm}\n{storm.stack.said()}"
    open_statuses = (DeliveryStatus.WAITING, DeliveryStatus.CLAIMED)
    try:
        with storm.stack.database.read() as session:
            waiting = session.scalar(select(Delivery.id).where(Delivery.status.in_(open_statuses)).limit(1))
            running = session.scalar(select(PipelineRun.id).where(PipelineRun.completed_at.is_(None)).limit(1))
    except OperationalError:
        return True
    return waiting is not None or running is not None
