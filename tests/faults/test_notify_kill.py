"""kill -9 of a process that notifies, at twenty random moments: nothing is lost, and a repeat has the same key.

WATCHKEEPER_TEST_SEED repeats the moments; every failure prints the seed.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from databases import PostgresServer
from notifying import add_channel, add_incidents
from sinks import Answer, HttpSink, ReceivedRequest
from sqlalchemy import func, select, text

from storage import runs, stages
from storage.database import Database
from storage.records import IngestResult
from storage.tables import Notification
from storage.vocabulary import NotificationStatus, Stage
from tasks.notify.sending import SENDERS

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

PROGRAM = Path(__file__).with_name("notify_program.py")
KILLS = 20
CHANNELS = 2
RUNS, INCIDENTS_A_RUN = 20, 40
SINK_SECONDS = 0.05
# From the first message of a process on; the start of a process takes longer than its whole work.
MAX_MOMENT_SECONDS = 0.3


@dataclass
class Raid:
    """What a process was doing when it was killed, as the sink and the database saw it."""

    moment_seconds: float
    received: int
    recorded: int
    was_over: bool


@dataclass
class Tally:
    """All raids of a test."""

    seed: int
    raids: list[Raid] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"WATCHKEEPER_TEST_SEED={self.seed}", "kill  after s  received  recorded  between"]
        lines += [
            f"{number:4}  {raid.moment_seconds:7.3f}  {raid.received:8}  {raid.recorded:8}"
            f"  {raid.received - raid.recorded:7}"
            for number, raid in enumerate(self.raids, 1)
        ]
        return "\n".join(lines)


@pytest.fixture
def database(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    with postgres.fresh() as url:
        monkeypatch.setenv("WATCHKEEPER_DATABASE_URL", url)
        database = Database(url, pool_size=2)
        yield database
        database.dispose()


def test_after_twenty_kills_every_message_has_arrived_and_repeats_have_the_same_key(database: Database) -> None:
    seed = int(os.environ.get("WATCHKEEPER_TEST_SEED") or random.SystemRandom().randrange(10**6))
    tally, chance = Tally(seed), random.Random(seed)
    with HttpSink(default=Answer(delay_seconds=SINK_SECONDS)) as sink:
        for number in range(CHANNELS):
            add_channel(database, f"channel-{number}", f"{sink.url}/{number}")
        run_ids = [make_run(database) for _ in range(RUNS)]
        for _ in range(KILLS):
            tally.raids.append(raid(database, sink, run_ids, chance.uniform(0, MAX_MOMENT_SECONDS)))
        last = start(run_ids)
        assert last.wait(120) == 0, tally
        requests = sink.requests
    print(tally)

    wanted = RUNS * INCIDENTS_A_RUN * CHANNELS
    by_message = keys_by_message(requests)
    times = Counter(request.headers["Idempotency-Key"] for request in requests)
    repeats = sum(count - 1 for count in times.values())
    between = sum(max(each.received - each.recorded, 0) for each in tally.raids)
    print(f"{wanted} messages, {len(requests)} requests, {repeats} repeats")
    assert sum(not each.was_over for each in tally.raids) >= KILLS - 2, tally
    assert len(by_message) == wanted, tally
    assert all(len(keys) == 1 for keys in by_message.values()), tally
    assert recorded(database) == wanted, tally
    # Only what the sink had been given and the database had not been told: at most one for each sender.
    assert repeats <= between, tally
    assert repeats <= KILLS * CHANNELS * SENDERS, tally


def raid(database: Database, sink: HttpSink, run_ids: list[str], moment_seconds: float) -> Raid:
    """Start the process, kill it so long after it has begun to send, and look what it left."""
    before, known = len(sink.requests), recorded(database)
    process = start(run_ids)
    until = time.monotonic() + 60
    while len(sink.requests) == before and process.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    time.sleep(moment_seconds)
    was_over = process.poll() is not None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(SINK_SECONDS * 2)  # the sink takes note of what was on the wire
    with database.write() as session:  # its leases have run out
        session.execute(text("UPDATE pipeline_runs SET lease_owner = '', lease_expires_at = NULL"))
    return Raid(moment_seconds, len(sink.requests) - before, recorded(database) - known, was_over)


def start(run_ids: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), *run_ids],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def make_run(database: Database) -> str:
    """A run whose ingest has found incidents that nobody was told of yet."""
    changes = add_incidents(database, INCIDENTS_A_RUN)
    with database.write() as session:
        run = runs.create_run(session, definition_name="direct", definition_version=0)
        row = stages.begin_attempt(session, run_pk=run.id, run_id=run.run_id, stage=Stage.INGEST, node_id="ingest")
        stages.succeed(row, IngestResult(changes=changes).model_dump(mode="json"))
        return run.run_id


def recorded(database: Database) -> int:
    with database.read() as session:
        sent = select(func.count()).where(Notification.status == NotificationStatus.SENT)
        return session.scalar(sent) or 0


def keys_by_message(requests: list[ReceivedRequest]) -> dict[tuple[str, str], set[str]]:
    """The keys of each message, by channel and incident."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for request in requests:
        incident_id = json.loads(request.body)["tags"]["incident_id"]
        found[request.path, incident_id].add(request.headers["Idempotency-Key"])
    return found
