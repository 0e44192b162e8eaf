"""What joins the parts of the check stage: limits, configs and what is stored."""

import json
from datetime import timedelta
from typing import Any

import pytest
from commands import watchkeeper
from hung_mount import hung_mount
from sinks import HttpSink
from sqlalchemy import select, update

from storage import channels
from storage.database import Database
from storage.runs import HeldRun
from storage.tables import Alert, CheckRun
from storage.tables.base import utc_now
from storage.vocabulary import AlertStatus, CheckStatus
from tasks.attempt import StageContext
from tasks.check.stage import ContextConfig, work

RUN = HeldRun(1, "run", 1, "trace", "", "test", "local-monitor", 0, None)


def context(timeout_seconds: float, **config: Any) -> StageContext:
    return StageContext(
        run=RUN,
        node_id="check",
        config=ContextConfig.model_validate(config),
        attempt=1,
        is_last_attempt=True,
        timeout_seconds=timeout_seconds,
    )


def test_a_checker_may_not_take_longer_than_its_node() -> None:
    with hung_mount() as path:
        configs = {"disk": {"paths": [str(path)], "timeout": 600}}

        findings = work(context(7, checker_names=["disk", "memory"], checkers=configs))

    assert findings.results[0].error == "timed out after 3.5 s"
    assert findings.results[1].status is CheckStatus.OK


def test_the_name_that_a_run_gives_its_host_stands_on_the_evidence_too() -> None:
    findings = work(context(300, checker_names=["memory"], hostname=" web-9\t"))

    assert findings.host.hostname == findings.evidence["hostname"] == "web-9"


def check(monkeypatch: pytest.MonkeyPatch, **checkers: Any) -> None:
    configs = {"cpu": {"samples": 1, "warning_threshold": 101, "critical_threshold": 102}, **checkers}
    monkeypatch.setenv("WATCHKEEPER_CHECKERS", json.dumps(configs))
    said = watchkeeper("run-pipeline", "--checks-only")
    assert said.code == 0, said.stderr


def alert(database: Database) -> Alert:
    with database.read() as session:
        return session.scalars(select(Alert).where(Alert.name == "process wk-gone")).one()


def test_what_is_no_longer_configured_is_over_a_day_after_its_last_check(
    database: Database, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.write() as session:
        channels.add_channel(session, name="sink", driver="generic", config={"endpoint": http_sink.url})
    check(monkeypatch, process={"processes": ["wk-gone"]})
    check(monkeypatch)
    assert alert(database).status is AlertStatus.FIRING
    with database.write() as session:
        session.execute(update(CheckRun).values(executed_at=utc_now() - timedelta(days=2)))

    check(monkeypatch)

    ended = alert(database)
    assert (ended.status, ended.description) == (AlertStatus.RESOLVED, "the check is no longer configured")
    sent = [json.loads(request.body)["title"] for request in http_sink.requests]
    assert [title.split("]")[0].split()[0] for title in sent if "process wk-gone" in title] == [
        "[FIRING",
        "[RESOLVED",
    ]
