"""A database of the size that an installation reaches, written in bulk by the database itself.

Times are spread evenly over DAYS; ids rise with them. The oldest rows of each table have words of their own
(`attic`), which no other row has: the worst case of a list that is read from the newest row down.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, Connection, text

from storage.database import Database
from storage.tables import Base

DAYS = 30
HOSTS = 2_000
OLDEST = 10
PROSE = "Filesystem on the host is nearly full and grows by the hour, see the runbook of the storage team. "


@dataclass(frozen=True)
class Size:
    """How many alerts and runs; the other tables have rows in proportion, but for the `settings`."""

    alerts: int
    runs: int
    settings: int = 20

    def rows(self) -> dict[str, int]:
        """The number of rows of each table that grows, in the order in which they refer to one another."""
        return {
            **dict.fromkeys(SETTINGS, self.settings),
            "incidents": self.alerts // 20,
            "alerts": self.alerts,
            "alert_history": self.alerts * 2,
            "deliveries": self.runs * 3 // 2,
            "pipeline_runs": self.runs,
            "run_deliveries": self.runs,
            "stage_executions": self.runs * 4,
            "check_runs": self.alerts,
            "notifications": self.runs,
            "analysis_runs": self.runs // 2,
            "audit_entries": self.alerts // 20,
        }


def fill(database: Database, size: Size) -> None:
    """Write all rows, then let the database look at them once; the database was empty."""
    rows = size.rows()
    with database.engine.connect() as connection, _quickly(connection, database):
        for name, count in rows.items():
            _insert(connection, database, name, count, rows)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE" if database.is_sqlite else "VACUUM ANALYZE"))


SETTINGS = ("notification_channels", "intelligence_providers", "pipeline_definitions")

# A value per column, in SQL that both databases read; {…} are the words below. `n` is the row's number from 1,
# `total` how many there are. What is not named here has its column's default.
COLUMNS: dict[str, dict[str, str]] = {
    "incidents": {
        "title": "'Disk full on host-' || (n % {hosts})",
        "status": "CASE WHEN total - n < 40 THEN 'open' WHEN n % 1009 = 7 THEN 'acknowledged'"
        " WHEN n % 10 = 3 THEN 'resolved' ELSE 'closed' END",
        "severity": "{severity}",
        "description": "'{prose}'",
        "environment": "{environment}",
        "group_key": "{md5}(CAST(n AS text))",
        "started_at": "{at}",
        "created_at": "{at}",
        "updated_at": "{at}",
        "resolved_at": "CASE WHEN total - n >= 40 THEN {at} END",
    },
    "alerts": {
        "fingerprint": "{md5}('alert' || n)",
        "source": "{source}",
        "name": "'Disk full on host-' || (n % {hosts})",
        "severity": "{severity}",
        "status": "CASE WHEN total - n < 200 OR n % 9001 = 7 THEN 'firing' ELSE 'resolved' END",
        "description": "'{prose}'",
        "labels": '{json}(\'{"alertname": "DiskFull", "host": "host-\' || (n % {hosts}) || \'"}\')',
        "annotations": '{json}(\'{"summary": "{prose}"}\')',
        "hostname": "{hostname}",
        "raw_payload": '{json}(\'{"text": "{prose}{prose}{prose}{prose}"}\')',
        "environment": "{environment}",
        "started_at": "{at}",
        "received_at": "{at}",
        "updated_at": "{at}",
        "joined_at": "{at}",
        "trace_id": "'trace-' || (n / 5)",
        "incident_id": "1 + (n - 1) / 20 % {incidents}",
    },
    "alert_history": {
        "alert_id": "1 + n * 7919 % {alerts}",
        "event": "CASE WHEN n <= {oldest} THEN 'truncated' WHEN n % 2 = 0 THEN 'created' ELSE 'resolved' END",
        "old_status": "'firing'",
        "new_status": "'resolved'",
        "details": '{json}(\'{"because": "the sender said so"}\')',
        "trace_id": "'trace-' || (n / 10)",
        "created_at": "{at}",
    },
    "deliveries": {
        "delivery_id": "{md5}('delivery' || n)",
        "trace_id": "'trace-' || n",
        "source": "{source}",
        "pipeline": "{pipeline}",
        "environment": "{environment}",
        "headers": '{json}(\'{"content-type": "application/json"}\')',
        "body": "{blob}",
        "body_bytes": "1700",
        "sha256": "{md5}('body' || n)",
        "status": "CASE WHEN n <= {oldest} THEN 'discarded' WHEN total - n < 30 THEN 'waiting'"
        " WHEN n % 5003 = 7 THEN 'quarantined' ELSE 'done' END",
        "received_at": "{at}",
        "finished_at": "CASE WHEN total - n >= 30 THEN {at} END",
    },
    "pipeline_runs": {
        "trace_id": "'trace-' || n",
        "run_id": "{md5}('run' || n)",
        "definition_name": "{pipeline}",
        "definition_version": "1",
        "status": "CASE WHEN n <= {oldest} THEN 'SKIPPED' WHEN total - n < 20 THEN 'RETRYING'"
        " WHEN n % 97 = 7 THEN 'FAILED' ELSE 'NOTIFIED' END",
        "incident_id": "1 + (n - 1) / 4 % {incidents}",
        "source": "{source}",
        "alert_fingerprint": "{md5}('alert' || n)",
        "environment": "{environment}",
        "total_attempts": "1 + n % 2",
        "last_error_type": "CASE WHEN n % 97 = 7 THEN 'ConnectError' ELSE '' END",
        "via": "CASE WHEN n % 5003 = 7 THEN 'direct' ELSE 'prefect' END",
        "created_at": "{at}",
        "updated_at": "{at}",
        "started_at": "{at}",
        "completed_at": "CASE WHEN total - n >= 20 THEN {at} END",
        "total_duration_ms": "100.0 + n % 4000",
    },
    "run_deliveries": {"run_id": "n", "delivery_id": "n"},
    "stage_executions": {
        "pipeline_run_id": "1 + (n - 1) / 4",
        "stage": "CASE n % 4 WHEN 1 THEN 'INGEST' WHEN 2 THEN 'CHECK' WHEN 3 THEN 'ANALYZE' ELSE 'NOTIFY' END",
        "node_id": "'node-' || (n % 4)",
        "status": "CASE WHEN n <= {oldest} THEN 'SKIPPED' WHEN total - n < 20 THEN 'RUNNING'"
        " WHEN n % 389 = 7 THEN 'FAILED' ELSE 'SUCCEEDED' END",
        "attempt": "1",
        "idempotency_key": "'stage-' || n",
        "output_snapshot": '{json}(\'{"text": "{prose}{prose}{prose}"}\')',
        "error_type": "CASE WHEN n % 389 = 7 THEN 'ConnectError' ELSE '' END",
        "started_at": "{at}",
        "completed_at": "{at}",
        "duration_ms": "10.0 + n % 900",
    },
    "check_runs": {
        "checker_name": "CASE WHEN n <= {oldest} THEN 'attic' ELSE 'checker-' || (n % 9) END",
        "hostname": "{hostname}",
        "status": "CASE WHEN n <= {oldest} THEN 'skipped' WHEN n % 211 = 7 THEN 'critical'"
        " WHEN n % 53 = 7 THEN 'warning' WHEN n % 9001 = 7 THEN 'unknown' ELSE 'ok' END",
        "message": "'{prose}'",
        "metrics": '{json}(\'{"used_percent": 51.5, "free_bytes": 1234567}\')',
        "alert_id": "CASE WHEN n % 10 = 0 THEN n END",
        "executed_at": "{at}",
        "trace_id": "'trace-' || (n / 5)",
    },
    "notifications": {
        "channel": "CASE WHEN n <= {oldest} THEN 'attic' ELSE 'channel-' || (n % 7) END",
        "driver": "CASE n % 3 WHEN 0 THEN 'slack' WHEN 1 THEN 'email' ELSE 'generic' END",
        "incident_id": "1 + (n - 1) / 4 % {incidents}",
        "episode": "1",
        "sequence": "n",
        "reason": "CASE WHEN n <= {oldest} THEN 'message' WHEN n % 3 = 0 THEN 'resolved' ELSE 'firing' END",
        "status": "CASE WHEN n <= {oldest} THEN 'discarded' WHEN total - n < 20 THEN 'pending'"
        " WHEN n % 997 = 7 THEN 'dead' ELSE 'sent' END",
        "idempotency_key": "{md5}('notification' || n)",
        "run_id": "{md5}('run' || n)",
        "trace_id": "'trace-' || n",
        "title": "'[FIRING] warning: Disk full on host-' || (n % {hosts})",
        "message": "'{prose}{prose}{prose}{prose}{prose}{prose}'",
        "created_at": "{at}",
        "updated_at": "{at}",
        "sent_at": "{at}",
    },
    "analysis_runs": {
        "trace_id": "'trace-' || (n * 2)",
        "pipeline_run_id": "{md5}('run' || (n * 2))",
        "provider": "CASE WHEN n <= {oldest} THEN 'attic' WHEN n % 3 = 0 THEN 'openai' ELSE 'local' END",
        "status": "CASE WHEN n <= {oldest} THEN 'PENDING' WHEN n % 499 = 7 THEN 'FAILED' ELSE 'SUCCEEDED' END",
        "incident_id": "1 + (n - 1) / 2 % {incidents}",
        "summary": "'{prose}{prose}'",
        "probable_cause": "'{prose}'",
        "recommendations": '{json}(\'[{"title": "{prose}"}]\')',
        "total_tokens": "1000 + n % 3000",
        "created_at": "{at}",
        "cache_key": "{md5}('question' || n)",
    },
    "audit_entries": {
        "at": "{at}",
        "actor": "CASE WHEN n <= {oldest} THEN 'attic' ELSE 'person-' || (n % 12) END",
        "action": "CASE WHEN n <= {oldest} THEN 'attic' WHEN n % 3 = 0 THEN 'close' ELSE 'acknowledge' END",
        "object_type": "CASE WHEN n <= {oldest} THEN 'attic' ELSE 'incidents' END",
        "object_id": "CAST(1 + n % {incidents} AS text)",
        "outcome": "CASE WHEN n <= {oldest} THEN 'failed' WHEN n % 301 = 7 THEN 'refused' ELSE 'done' END",
        "detail": "'{prose}'",
        "address": "'127.0.0.1'",
    },
    "notification_channels": {"name": "'channel-' || n", "driver": "'generic'"},
    "intelligence_providers": {"name": "'provider-' || n", "provider": "'local'"},
    "pipeline_definitions": {
        "name": "'pipeline-' || n",
        "config": '{json}(\'{"version": "1.0", "nodes": [{"id": "ingest", "type": "ingest"}]}\')',
    },
}
WORDS = {
    "severity": "CASE WHEN n % 10 = 0 THEN 'critical' WHEN n % 3 = 0 THEN 'warning' ELSE 'info' END",
    "environment": "CASE WHEN n <= {oldest} THEN 'attic' WHEN n % 5 = 0 THEN 'staging' ELSE 'production' END",
    "source": "CASE WHEN n <= {oldest} THEN 'attic' WHEN n % 11 = 0 THEN 'zabbix' WHEN n % 4 = 0 THEN 'grafana'"
    " ELSE 'alertmanager' END",
    "pipeline": "CASE WHEN n <= {oldest} THEN 'attic' WHEN n % 13 = 0 THEN 'pipeline-2' ELSE 'pipeline-1' END",
    "hostname": "CASE WHEN n <= {oldest} THEN 'attic' WHEN n % 3 = 0 THEN 'host-busy'"
    " ELSE 'host-' || (n % {hosts}) END",
    "prose": PROSE,
    "oldest": str(OLDEST),
    "hosts": str(HOSTS),
}
ON_POSTGRES = {
    "at": "(now() - (total - n) * interval '{seconds} seconds')",
    "md5": "md5",
    "json": "jsonb",
    "blob": "decode(repeat('7b', 1700), 'hex')",
}
ON_SQLITE = {
    "at": "(strftime('%Y-%m-%d %H:%M:%f', 'now', '-' || ((total - n) * {seconds}) || ' seconds') || '000')",
    "md5": "md5",
    "json": "json",
    "blob": "zeroblob(1700)",
}


@contextmanager
def _quickly(connection: Connection, database: Database) -> Iterator[None]:
    """Without the references being looked up, and with the indexes made at the end."""
    if database.is_sqlite:
        raw: Any = connection.connection.dbapi_connection
        raw.create_function("md5", 1, _md5, deterministic=True)
        # These two are changed outside a transaction only.
        for pragma in ("foreign_keys=OFF", "synchronous=OFF", "cache_size=-400000"):
            raw.execute(f"PRAGMA {pragma}")
    else:
        connection.execute(text("SET session_replication_role = replica"))
        connection.execute(text("SET maintenance_work_mem = '512MB'"))
        connection.execute(text("SET synchronous_commit = off"))
        connection.execute(text("SET statement_timeout = 0"))
    indexes = _indexes(connection, database)
    for name, _ in indexes:
        connection.execute(text(f"DROP INDEX {name}"))
    yield
    for _, definition in indexes:
        connection.exec_driver_sql(definition)
    connection.commit()
    connection.invalidate()


def _indexes(connection: Connection, database: Database) -> list[tuple[str, str]]:
    query = (
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        if database.is_sqlite
        else "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
        " AND indexname NOT IN (SELECT conname FROM pg_constraint) AND tablename <> 'alembic_version'"
    )
    return [(name, definition) for name, definition in connection.execute(text(query))]


def _insert(connection: Connection, database: Database, name: str, count: int, rows: dict[str, int]) -> None:
    table = Base.metadata.tables[name]
    # An installation comes with some settings: those numbers are taken.
    is_numbered = "id" in table.columns and name not in SETTINGS
    given = ({"id": "n"} if is_numbered else {}) | COLUMNS[name]
    wanted = [column for column in table.columns if column.name != "id" or is_numbered]
    values = {column.name: given.get(column.name) or _default(column) for column in wanted}
    words = (ON_SQLITE if database.is_sqlite else ON_POSTGRES) | WORDS | {each: str(n) for each, n in rows.items()}
    words["seconds"] = str(DAYS * 86_400 / count)
    numbers = (
        f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})"
        f" SELECT {{}} FROM (SELECT n, {count} AS total FROM numbers)"
        if database.is_sqlite
        else f"SELECT {{}} FROM (SELECT n, {count} AS total FROM generate_series(1, {count}::bigint) AS n) AS rows"
    )
    chosen = ", ".join(_filled_in(value, words) for value in values.values())
    columns = ", ".join(f'"{column}"' for column in values)
    statement = f"INSERT INTO {name} ({columns}) " + numbers.replace("{}", chosen)
    # psycopg takes a single one for a place to fill in.
    connection.exec_driver_sql(statement if database.is_sqlite else statement.replace("%", "%%"))
    if not database.is_sqlite and is_numbered:
        connection.execute(text(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), {count})"))


def _default(column: Any) -> str:
    """What a column holds where nothing is said: its own default, as SQL."""
    default = column.default
    if default is None:
        if column.nullable:
            return "NULL"
        raise AssertionError(f"{column}: no value and no default")
    if default.is_scalar:
        if isinstance(default.arg, bool):
            return "TRUE" if default.arg else "FALSE"
        return repr(str(default.arg)) if isinstance(default.arg, str) else repr(default.arg)
    if isinstance(column.type, JSON):
        return f"{{json}}('{default.arg(None)}')"
    return "{at}"


def _filled_in(value: str, words: dict[str, str]) -> str:
    for _ in range(2):  # a word may hold a word
        for word, meaning in words.items():
            value = value.replace(f"{{{word}}}", meaning)
    return value


def _md5(value: Any) -> str:
    return hashlib.md5(str(value).encode(), usedforsecurity=False).hexdigest()
