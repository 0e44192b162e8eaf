"""What ingest takes in, in an empty database and in one of a million alerts, in turns."""

import json
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
from bodies import STARTS_AT, webhook
from databases import postgres_server
from report import Figure, Section, median, progress
from sqlalchemy import text
from sqlalchemy.engine import make_url

from storage.database import Database
from tasks.ingest import sources
from tasks.ingest.apply import Arrival, apply
from tasks.ingest.body import read_body

STORED = 1_000_000
AT_ONCE = 100_000  # stored in one transaction: a longer statement runs into our own timeout
GROUP = 5  # alerts of one incident, as many as a webhook brings
BATCH = 40  # deliveries of one run: what a storm coalesces to
BATCHES = 6
ROUNDS = 5
RECEIVED_AT = datetime(2026, 9, 14, 6, 0, tzinfo=UTC)
# Rows as ingest writes them, each with labels, annotations and payload of its own: about 1.5 KB an alert.
INCIDENTS = """
    INSERT INTO incidents (title, status, severity, description, summary, environment, group_key, group_label,
        episode, truncated_alerts, started_at, created_at, updated_at, resolved_at, metadata)
    SELECT 'FilesystemAlmostFull on db-' || n, CASE WHEN n % 10 = 0 THEN 'open' ELSE 'resolved' END, 'critical',
        '', '', 'bench', encode(sha256(n::text::bytea), 'hex'), 'group ' || n, 1, 0, moment, moment, moment,
        CASE WHEN n % 10 = 0 THEN NULL ELSE moment END, '{}'
    FROM (SELECT n, timestamptz '2026-01-01' + n * interval '1 minute' AS moment
          FROM generate_series(1, :incidents) AS n) AS made
"""
ALERTS = """
    INSERT INTO alerts (fingerprint, source, name, severity, raw_severity, status, description, labels,
        annotations, raw_payload, environment, episode, vendor_id, started_at, ended_at, received_at, updated_at,
        trace_id, incident_id)
    SELECT 'stored-' || n, 'alertmanager', 'FilesystemAlmostFull', 'critical', 'critical',
        CASE WHEN is_firing THEN 'firing' ELSE 'resolved' END, 'a file system of db-' || n || ' is full',
        CAST(:labels AS json), CAST(:annotations AS json), CAST(:payload AS json), 'bench', '', '', moment,
        CASE WHEN is_firing THEN NULL ELSE moment END, moment, moment, md5(n::text), (n - 1) / :group + 1
    FROM (SELECT n, is_firing, CASE WHEN is_firing THEN CAST(:starts_at AS timestamptz)
                                    ELSE timestamptz '2026-01-01' + n * interval '20 seconds' END AS moment
          FROM (SELECT n, ((n - 1) / :group + 1) % 10 = 0 AS is_firing
                FROM generate_series(:first, :last) AS n) AS counted) AS made
"""
HISTORY = """
    INSERT INTO alert_history (alert_id, event, old_status, new_status, details, created_at)
    SELECT id, 'created', '', 'firing', '{"trace_id": "a trace"}', started_at
    FROM alerts WHERE id BETWEEN :first AND :last
"""


def measure() -> Section:
    """The same work in both databases, alternately: half of the alerts new, half known."""
    with (
        postgres_server(is_durable=True) as server,
        server.fresh() as empty_url,
        server.fresh() as full_url,
    ):
        empty, full = Database(empty_url), Database(full_url)
        filled_seconds = _fill(full, full_url)
        rates: dict[str, list[float]] = {"empty": [], "full": []}
        for number in range(ROUNDS):
            progress(f"ingest: round {number + 1} of {ROUNDS}")
            # The new ones of the empty database are taken away again, or it would not stay empty.
            rates["empty"].append(_rate(empty, f"e{number}", known=f"e{number}"))
            _clear(empty)
            rates["full"].append(_rate(full, f"f{number}", known="stored"))
        single = {"empty": _single(empty), "full": _single(full)}
        empty.dispose()
        full.dispose()
    return _section(rates, single, filled_seconds)


def _fill(database: Database, url: str) -> float:
    progress(f"ingest: storing {STORED:,} alerts")
    began_at = time.monotonic()
    example = json.loads(webhook("bench", alerts=1))["alerts"][0]
    given = {
        "group": GROUP,
        "starts_at": STARTS_AT,
        "labels": json.dumps(example["labels"]),
        "annotations": json.dumps(example["annotations"]),
        "payload": json.dumps(example),
    }
    with database.write() as session:
        session.execute(text(INCIDENTS), {"incidents": STORED // GROUP})
    for first in range(1, STORED, AT_ONCE):
        part = {"first": first, "last": first + AT_ONCE - 1}
        with database.write() as session:
            session.execute(text(ALERTS), given | part)
            session.execute(text(HISTORY), part)
    _vacuum(url)
    return time.monotonic() - began_at


def _vacuum(url: str) -> None:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def _clear(database: Database) -> None:
    with database.write() as session:
        session.execute(text("TRUNCATE alert_history, alerts, incidents CASCADE"))


def _bodies(marker: str, known: str) -> Iterator[bytes]:
    """Webhooks of five alerts each; every second one is about alerts that are stored."""
    chosen = random.Random(marker)
    for number in range(BATCH * BATCHES):
        body = json.loads(webhook(f"{marker}-{number}", alerts=GROUP))
        if number % 2:
            # One of every tenth incident, whose alerts fire: they are refreshed, as those of the empty database.
            first = (chosen.randrange(1, STORED // GROUP // 10) * 10 - 1) * GROUP + 1
            for place, alert in enumerate(body["alerts"]):
                alert["fingerprint"] = (
                    f"stored-{first + place}" if known == "stored" else f"{known}-{number - 1}-{place}"
                )
        yield json.dumps(body).encode()


def _ingest(database: Database, bodies: list[bytes]) -> None:
    """What the ingest stage does with the deliveries of one run: read, parse, apply, commit."""
    arrivals = [
        Arrival(sources.parse(read_body(body)), trace_id="bench", environment="bench", received_at=RECEIVED_AT)
        for body in bodies
    ]
    with database.write() as session:
        apply(session, arrivals, reopen_window=timedelta(minutes=10))


def _rate(database: Database, marker: str, *, known: str) -> float:
    bodies = list(_bodies(marker, known))
    began_at = time.perf_counter()
    for start in range(0, len(bodies), BATCH):
        _ingest(database, bodies[start : start + BATCH])
    return len(bodies) * GROUP / (time.perf_counter() - began_at)


def _single(database: Database) -> float:
    """Alerts a second where each delivery is a run of its own, as in quiet times."""
    bodies = list(_bodies("single", "single"))[: BATCH * 2]
    began_at = time.perf_counter()
    for body in bodies:
        _ingest(database, [body])
    return len(bodies) * GROUP / (time.perf_counter() - began_at)


def _section(rates: dict[str, list[float]], single: dict[str, float], filled_seconds: float) -> Section:
    empty, full = median(rates["empty"]), median(rates["full"])
    figures = [
        Figure(f"at {STORED:,} alerts, {BATCH} deliveries a run", full, "alerts/s", "empty database", empty),
        Figure("the same as a ratio", empty / full, "times", at_most=1.5),
        Figure(f"at {STORED:,} alerts, one delivery a run", single["full"], "alerts/s", "empty database",
               single["empty"]),
    ]  # fmt: skip
    notes = [
        f"medians of {ROUNDS} rounds in turns, {BATCH * BATCHES * GROUP:,} alerts each; embedded PostgreSQL",
        "from the bytes of Alertmanager webhooks with 5 alerts to the commit; half new, half known",
        f"storing the million took {filled_seconds:.0f} s",
    ]
    return Section("ingest", "alerts from bytes to rows", figures, notes, {"alerts_per_second": rates})
