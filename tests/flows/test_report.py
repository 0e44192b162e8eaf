"""What a run leaves for people to read: its messages and its report, here about the host's state."""

import asyncio
import json
import re
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any
from uuid import uuid4

import pytest
from markdown_it import MarkdownIt
from rows import add_incident, add_notification
from sinks import HttpSink
from sqlalchemy import select

from flows.direct import run_directly
from flows.report import markdown_report
from storage import channels, definitions, inbox, runs, stages
from storage.database import Database
from storage.inbox import NewDelivery
from storage.records import (
    Analysis,
    AnalyzeResult,
    CheckResult,
    ChecksResult,
    IncidentAnalysis,
    NotifyResult,
    PassedOver,
    Recommendation,
)
from storage.tables import PipelineRun
from storage.vocabulary import (
    CheckStatus,
    FailureKind,
    NotificationReason,
    NotificationStatus,
    RecommendationPriority,
    RecommendationType,
    Stage,
)

# What is the same whatever the database is.
on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def finish_run(database: Database, result: AnalyzeResult | ChecksResult) -> str:
    """A run whose check or analyze stage left this."""
    with database.write() as session:
        run_id = runs.create_run(session, definition_name="full", definition_version=1).run_id
        run = session.scalars(select(PipelineRun).where(PipelineRun.run_id == run_id)).one()
        row = stages.begin_attempt(session, run_pk=run.id, run_id=run_id, stage=result.stage, node_id="node")
        stages.succeed(row, result.model_dump(mode="json"))
    return run_id


def report(database: Database, run_id: str) -> str:
    with database.read() as session:
        return markdown_report(session, run_id)


def test_the_report_has_the_hosts_state_in_a_line_and_skipped_checks_as_skipped(database: Database) -> None:
    check = CheckResult(checker_name="raid", status=CheckStatus.SKIPPED, message="no array here")
    process = {"pid": 5, "name": "a|b", "cpu_percent": 50, "rss_mb": 10.0}
    evidence: dict[str, Any] = {
        "hostname": "web-01",
        "memory": {"used_percent": 41.0, "total_gb": 15.62},
        "processes": {"by_cpu": [process], "by_memory": []},
    }

    text = report(
        database, finish_run(database, ChecksResult(hostname="web-01", checks=[check], evidence=evidence))
    )

    assert "Host state: memory 41 % of 15.6 GiB; busiest a\\|b \\(pid 5\\) 50 % of a core" in text
    assert "| raid | skipped | no array here |" in text


def test_a_report_without_evidence_says_nothing_of_the_host(database: Database) -> None:
    run_id = finish_run(database, ChecksResult(hostname="web-01"))

    assert "Host state" not in report(database, run_id)


def analysed(summary: str, *advice: str, **given: Any) -> IncidentAnalysis:
    steps = [
        Recommendation(
            type=RecommendationType.DISK, priority=RecommendationPriority.HIGH, title=title, description=""
        )
        for title in advice
    ]
    answer = Analysis(summary=summary, probable_cause="Logs", confidence=given.pop("confidence", 0.82))
    answer = answer.model_copy(update={"recommendations": steps})
    form: dict[str, Any] = {"incident_id": 7, "provider": "openai", "fallback_used": False, "ai_output_ref": "x"}
    return IncidentAnalysis(**(form | given), analysis=answer)


@on_one_database
def test_the_report_says_how_sure_an_analysis_is_and_what_to_do_first(database: Database) -> None:
    first, second = analysed("Full", "a", "b", "c", "d", "e"), analysed("Full", "a", confidence=None)

    text = report(database, finish_run(database, AnalyzeResult(analyses=[first, second])))

    assert "| incident | provider | summary | cause | confidence | recommendations |" in text
    assert "| 7 | openai | Full | Logs | 82% | high: a; high: b; high: c; 2 more |" in text
    assert "| 7 | openai | Full | Logs |  | high: a |" in text
    assert "unavailable" not in text


@on_one_database
def test_the_report_says_who_gave_no_answer_and_why(database: Database) -> None:
    ruled = {"provider": "local", "fallback_used": True}
    known = analysed("Full", **ruled, instead_of="openai", failure=FailureKind.KEY_REFUSED)

    text = report(
        database, finish_run(database, AnalyzeResult(analyses=[known, known, analysed("Full", **ruled)]))
    )

    notes = [line for line in text.splitlines() if "unavailable" in line]
    assert notes == [
        "AI analysis unavailable (openai): it refused the key. The local rules were used.",
        "AI analysis unavailable. The local rules were used.",
    ]


@on_one_database
@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("![x](https://evil.example)", "\\!\\[x\\]\\(https\u2060://evil.example\\)"),
        ("see WWW.evil.example or HTTP://evil.example", "see WWW\u2060.evil.example or HTTP\u2060://evil.example"),
        ("ask me@evil.example", "ask me\u2060@evil.example"),
        ("<img src=x> | **b**", "\\<img src=x\\> \\| \\*\\*b\\*\\*"),
        ("&lt;script&gt; &#60; ~~no~~ $x$", "\\&lt;script\\&gt; \\&\\#60; \\~\\~no\\~\\~ \\$x\\$"),
    ],
    ids=["image", "address", "mail", "html", "entity"],
)
def test_what_an_ai_says_is_no_markup_in_the_report(database: Database, said: str, shown: str) -> None:
    text = report(database, finish_run(database, AnalyzeResult(analyses=[analysed(said, said)])))

    assert f"| {shown} | Logs | 82% | high: {shown} |" in text


@on_one_database
def test_the_report_leads_to_the_run_in_the_console(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHKEEPER_PUBLIC_URL", "https://watch.example")
    run_id = finish_run(database, ChecksResult(hostname="web-01"))

    html = MarkdownIt("commonmark").render(report(database, run_id))

    assert f'<a href="https://watch.example/admin/run/{run_id}/">' in html


def told(database: Database, *messages: dict[str, Any], passed_over: Sequence[PassedOver] = ()) -> str:
    """A run that has told people this, whose notify stage passed these channels over and missed one."""
    with database.write() as session:
        run = runs.create_run(session, definition_name="full", definition_version=1)
        row = stages.begin_attempt(session, run_pk=run.id, run_id=run.run_id, stage=Stage.NOTIFY, node_id="node")
        result = NotifyResult(passed_over=list(passed_over), errors=["channel 'pager' is not active"])
        stages.succeed(row, result.model_dump(mode="json"))
        incident_id = add_incident(session).id
        for message in messages:
            add_notification(session, incident_id=incident_id, run_id=run.run_id, **message)
        return run.run_id


@on_one_database
def test_the_report_says_who_was_told_when_the_rest_is_tried_again_and_who_was_not_told(
    database: Database,
) -> None:
    due_at = datetime(2026, 3, 1, 2, 13, tzinfo=UTC)
    run_id = told(
        database,
        {"status": NotificationStatus.FAILED, "due_at": due_at, "error_message": "503"},
        {"status": NotificationStatus.SENT, "channel": "mail", "instead_of": "ops"},
        passed_over=[
            PassedOver(channel="sms", incident_id=1, reason=NotificationReason.FIRING, why="below critical")
        ],
    )

    text = report(database, run_id)

    assert "| ops | 1 | firing | failed | 2026-03-01 02:13 UTC | 503 |" in text
    assert "| mail instead of ops | 1 | firing | sent |  |  |" in text
    assert "| sms | 1 | firing | below critical |" in text
    assert text.endswith("\n\n- channel 'pager' is not active")


@on_one_database
def test_a_report_shows_the_first_messages_and_counts_the_rest(database: Database) -> None:
    text = report(database, told(database, *({"channel": f"channel-{number}"} for number in range(25))))

    assert text.count("| channel-") == 20
    assert "\n…and 5 more\n" in text


NASTY = (
    "<script>alert(1)</script><!-- --> <img src=x onerror=alert(1)>",
    "&lt;script&gt;alert(1)&lt;/script&gt; &#60;b&#62;",
    "[a](javascript:alert(1)) ![i](//x.example/y) <https://evil.example> [x]: /y",
    "~~a~~ **b** __c__ *d* _e_ `f` ``g`` \\",
    "line\n\n# heading\n\n| x | y |\n|---|---|\n- item\n> quote\n```\ncode",
    "x" * 499 + "|" * 10,
)


@on_one_database
@pytest.mark.parametrize("said", NASTY, ids=["html", "entities", "links", "emphasis", "blocks", "long"])
def test_nothing_from_outside_becomes_markup_where_the_report_is_rendered(database: Database, said: str) -> None:
    why = PassedOver(channel=said, incident_id=1, reason=NotificationReason.FIRING, why=said)
    run_id = told(database, {"channel": said[:128], "error_message": said}, passed_over=[why])
    with database.write() as session:
        run = session.scalars(select(PipelineRun).where(PipelineRun.run_id == run_id)).one()
        run.definition_name, run.environment = said[:100], said[:60]
        run.last_error_message, run.last_error_type = said, "TransientError"

    renderer = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    html = renderer.render(report(database, run_id)).replace("\u2060", "")

    ours = {"h1", "h2", "p", "strong", "code", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "a"}
    assert set(re.findall(r"<([a-z0-9]+)", html)) == ours
    counts = {"<h1": 1, "<h2": 1, "<strong": 1, "<code": 1, "<tr": 4, "<td": 10, "<a ": 1}
    assert {tag: html.count(tag) for tag in counts} == counts
    assert html.count(escape(" ".join(said.split())[:400], quote=False)) >= 4


def alerted(database: Database, host: str) -> str:
    """A run of an alert about a host, through a pipeline that checks and tells."""
    nodes = [
        {"id": "ingest", "type": "ingest", "next": "check"},
        {"id": "check", "type": "context", "config": {"checker_names": ["memory"]}, "next": "analyze"},
        {"id": "analyze", "type": "intelligence", "next": "notify"},
        {"id": "notify", "type": "notify"},
    ]
    body = json.dumps({"name": "High load", "severity": "critical", "labels": {"host": host}}).encode()
    delivery = NewDelivery(
        delivery_id=str(uuid4()),
        trace_id="trace-1",
        source="generic",
        pipeline="checked",
        environment="test",
        body=body,
        sha256="0" * 64,
    )
    with database.write() as session:
        definitions.save(session, name="checked", config={"version": "1.0", "nodes": nodes})
        inbox.accept(session, [delivery])
        claimed = inbox.claim(session, pipeline="checked", limit=1)
        return runs.create_run(session, definition_name="checked", definition_version=1, deliveries=claimed).run_id


def test_an_alert_that_passes_a_check_goes_out_with_the_state_of_the_host(
    database: Database, http_sink: HttpSink
) -> None:
    with database.write() as session:
        channels.add_channel(session, name="sink", driver="generic", config={"endpoint": http_sink.url})
    run_id = alerted(database, socket.gethostname())

    asyncio.run(run_directly(run_id))

    message = json.loads(http_sink.requests[0].body)
    assert f"\nHost state of {socket.gethostname()}, measured by Watchkeeper at 2" in message["message"]
    assert "\n- load " in message["message"]
    evidence = message["context"]["evidence"]
    assert evidence["hostname"] == socket.gethostname()
    assert evidence["processes"]["by_memory"]
    assert evidence["disks"]
    assert "***" not in json.dumps(evidence)
    assert "Host state: load " in report(database, run_id)
