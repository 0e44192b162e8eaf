"""Runs with an analysis by an AI provider over real HTTP, without Prefect: who is asked when, and who is told."""

import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from ai_vendors import GOOD, VENDORS
from analyzing import activate, add_run, alert, execute, execute_to_the_end, rows, save_pipeline
from sinks import Answer, HttpSink
from sqlalchemy import select, update

from flows.execution import PostponedError
from flows.report import markdown_report
from storage import analyses, definitions, providers
from storage.analyses import AnalysisOrder
from storage.database import Database
from storage.records import Analysis, AnalyzeResult
from storage.tables import AnalysisRun, Incident, PipelineRun, StageExecution
from storage.tables.base import utc_now
from storage.vocabulary import AnalysisStatus, FailureKind, RunStatus, StageStatus
from tasks.analyze.prompt import Prompt
from tasks.analyze.providers import PROVIDERS
from tasks.analyze.providers.local import Local
from tasks.analyze.request import AnalysisRequest
from tasks.errors import PermanentError

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

OPENAI = VENDORS["openai"]
REPLY = OPENAI.answer(json.dumps(GOOD))
# Words of a provider that nobody but the operator may see.
SAID = "quota of org-planted exceeded"
UNAVAILABLE = "AI analysis unavailable"
SUCCEEDED, FAILED = AnalysisStatus.SUCCEEDED, AnalysisStatus.FAILED


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATION_BACKOFF_FACTOR", "0")


@pytest.fixture
def vendor(database: Database) -> Any:
    """OpenAI, which is the active provider and knows the answer."""
    with HttpSink(default=REPLY) as sink:
        activate(database, "openai", OPENAI.config(sink.url))
        yield sink


def books(database: Database) -> list[tuple[str, AnalysisStatus, bool]]:
    return [(row.provider, row.status, row.fallback_used) for row in rows(database, AnalysisRun)]


def tries(database: Database) -> list[StageStatus]:
    return [row.status for row in rows(database, StageExecution) if row.node_id == "analyze"]


def told(people: HttpSink) -> list[str]:
    return [json.loads(request.body)["message"] for request in people.requests]


def output(database: Database) -> AnalyzeResult:
    [row] = [row for row in rows(database, StageExecution) if row.node_id == "analyze" and row.output_snapshot]
    return AnalyzeResult.model_validate(row.output_snapshot)


def test_people_are_told_what_the_provider_says(database: Database, vendor: HttpSink, http_sink: HttpSink) -> None:
    save_pipeline(database, http_sink.url)

    outcome = execute(add_run(database, alert("db-1")))

    assert outcome.status is RunStatus.NOTIFIED
    assert books(database) == [("openai", SUCCEEDED, False)]
    assert len(vendor.requests) == 1
    [message] = told(http_sink)
    assert all(text in message for text in ("Analysis by openai", GOOD["summary"], GOOD["probable_cause"], "83%"))
    assert UNAVAILABLE not in message
    [run] = rows(database, PipelineRun)
    assert (run.intelligence_fallback_used, run.intelligence_output_ref) == (False, f"run:{run.run_id}:analyses")


def test_what_passes_is_tried_again(database: Database, vendor: HttpSink, http_sink: HttpSink) -> None:
    save_pipeline(database, http_sink.url)
    vendor.answer_with(OPENAI.error(500, SAID))

    outcome = execute_to_the_end(add_run(database, alert("db-1")))

    assert outcome.status is RunStatus.NOTIFIED
    assert books(database) == [("openai", FAILED, False), ("openai", SUCCEEDED, False)]
    assert tries(database) == [StageStatus.RETRYING, StageStatus.SUCCEEDED]
    [message] = told(http_sink)
    assert GOOD["summary"] in message


def test_what_does_not_pass_leaves_the_local_rules_and_no_word_of_the_provider(
    database: Database, vendor: HttpSink, http_sink: HttpSink
) -> None:
    save_pipeline(database, http_sink.url, node={"max_retries": 1})
    vendor.answer_with(*[OPENAI.error(503, SAID)] * 2)
    run_id = add_run(database, alert("db-1"))

    outcome = execute_to_the_end(run_id)

    assert outcome.status is RunStatus.NOTIFIED
    assert len(vendor.requests) == 2
    assert books(database) == [("openai", FAILED, False), ("openai", FAILED, False), ("local", SUCCEEDED, True)]
    [run] = rows(database, PipelineRun)
    assert run.intelligence_fallback_used
    assert [SAID in row.error_message for row in rows(database, AnalysisRun)] == [True, True, False]
    [first, _] = [row for row in rows(database, StageExecution) if row.node_id == "analyze"]
    assert (first.error_type, first.error_retryable) == ("TransientError", True)
    assert first.error_message == f"{UNAVAILABLE}: mine failed; why is in the run's analyses"
    assert SAID in first.error_stack
    with database.read() as session:
        report = markdown_report(session, run_id)
    [message] = told(http_sink)
    assert UNAVAILABLE in message
    assert UNAVAILABLE in report
    assert SAID not in json.dumps([message, report, first.error_message, output(database).model_dump(mode="json")])


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_is_one_request_and_at_once_the_local_rules(
    database: Database, vendor: HttpSink, http_sink: HttpSink, status: int
) -> None:
    save_pipeline(database, http_sink.url)
    vendor.answer_with(OPENAI.error(status, SAID))

    outcome = execute(add_run(database, alert("db-1")))

    assert outcome.status is RunStatus.NOTIFIED
    assert len(vendor.requests) == 1
    assert books(database) == [("openai", FAILED, False), ("local", SUCCEEDED, True)]
    assert tries(database) == [StageStatus.SUCCEEDED]
    [message] = told(http_sink)
    assert UNAVAILABLE in message
    assert SAID not in message


def test_a_wish_to_wait_is_honoured(database: Database, vendor: HttpSink, http_sink: HttpSink) -> None:
    save_pipeline(database, http_sink.url)
    vendor.answer_with(OPENAI.error(429, SAID, retry_after=7))
    run_id = add_run(database, alert("db-1"))

    with pytest.raises(PostponedError) as postponed:
        execute(run_id)

    [run] = rows(database, PipelineRun)
    assert postponed.value.delay_seconds == 7
    assert run.lease_expires_at - run.updated_at > timedelta(seconds=6.9)
    assert run.status is RunStatus.RETRYING
    assert SAID not in run.last_error_message


def test_the_longest_wish_counts_where_several_are_asked(
    database: Database, vendor: HttpSink, http_sink: HttpSink
) -> None:
    save_pipeline(database, http_sink.url)
    vendor.answer_with(OPENAI.error(429, SAID, retry_after=7), OPENAI.error(429, SAID, retry_after=9))

    with pytest.raises(PostponedError) as postponed:
        execute(add_run(database, alert("db-1"), alert("db-2"), alert("db-3")))

    assert postponed.value.delay_seconds == 9


@pytest.mark.parametrize("second", [OPENAI.error(429, SAID, retry_after=61), OPENAI.error(401, SAID)])
def test_nobody_waits_for_one_answer_where_another_will_not_come(
    database: Database, vendor: HttpSink, http_sink: HttpSink, second: Answer
) -> None:
    save_pipeline(database, http_sink.url)
    vendor.answer_with(OPENAI.error(500, SAID), second)

    outcome = execute(add_run(database, alert("db-1"), alert("db-2"), alert("db-3")))

    assert outcome.status is RunStatus.NOTIFIED
    assert len(vendor.requests) == 3
    assert sorted(entry.fallback_used for entry in output(database).analyses) == [False, True, True]


@pytest.mark.parametrize(("wish", "is_waited_for"), [(30, True), (60, False), (1000, False)])
def test_a_wish_beyond_patience_leaves_the_local_rules_at_once(
    database: Database, vendor: HttpSink, http_sink: HttpSink, wish: int, *, is_waited_for: bool
) -> None:
    save_pipeline(database, http_sink.url, patience_seconds=60)
    vendor.answer_with(OPENAI.error(429, SAID, retry_after=wish))
    run_id = add_run(database, alert("db-1"))

    if is_waited_for:
        with pytest.raises(PostponedError):
            execute(run_id)
    else:
        assert execute(run_id).status is RunStatus.NOTIFIED

    assert len(vendor.requests) == 1


def test_a_backoff_beyond_patience_leaves_the_local_rules_at_once(
    database: Database, vendor: HttpSink, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATION_BACKOFF_FACTOR", "9")
    save_pipeline(database, http_sink.url, patience_seconds=9)
    vendor.answer_with(OPENAI.error(500, SAID))

    outcome = execute(add_run(database, alert("db-1")))

    assert outcome.status is RunStatus.NOTIFIED


def test_patience_is_for_all_tries_together(database: Database, vendor: HttpSink, http_sink: HttpSink) -> None:
    save_pipeline(database, http_sink.url, patience_seconds=60)
    vendor.answer_with(OPENAI.error(500, SAID))
    run_id = add_run(database, alert("db-1"))
    with pytest.raises(PostponedError):
        execute(run_id)
    with database.write() as session:  # the worker was away meanwhile
        session.execute(update(StageExecution).values(started_at=utc_now() - timedelta(seconds=59.7)))

    outcome = execute(run_id)

    assert outcome.status is RunStatus.NOTIFIED
    assert len(vendor.requests) == 1
    assert books(database) == [("openai", FAILED, False), ("openai", FAILED, False), ("local", SUCCEEDED, True)]
    assert rows(database, AnalysisRun)[1].error_message == "TransientError: no time was left to ask"


def test_the_nodes_own_time_limit_caps_patience(database: Database, vendor: HttpSink, http_sink: HttpSink) -> None:
    save_pipeline(database, http_sink.url, node={"timeout_seconds": 5}, patience_seconds=60)
    vendor.answer_with(OPENAI.error(429, SAID, retry_after=4))

    outcome = execute(add_run(database, alert("db-1")))

    assert outcome.status is RunStatus.NOTIFIED
    assert len(vendor.requests) == 1


def test_without_the_fallback_the_run_fails_and_can_be_resumed(
    database: Database, vendor: HttpSink, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATION_INTELLIGENCE_FALLBACK_ENABLED", "0")
    save_pipeline(database, http_sink.url, patience_seconds=60)
    vendor.answer_with(OPENAI.error(401, SAID))
    run_id = add_run(database, alert("db-1"))

    failed = execute(run_id)
    with database.read() as session:
        report = markdown_report(session, run_id)
    with database.write() as session:  # somebody resumes it the next day
        session.execute(update(StageExecution).values(started_at=utc_now() - timedelta(days=1)))
    resumed = execute(run_id)

    assert (failed.status, failed.message) == (
        RunStatus.FAILED,
        f"{UNAVAILABLE}: mine failed; why is in the run's analyses",
    )
    assert SAID not in report
    assert resumed.status is RunStatus.NOTIFIED
    assert books(database) == [("openai", FAILED, False), ("openai", SUCCEEDED, False)]
    assert tries(database) == [StageStatus.FAILED, StageStatus.SUCCEEDED]


def test_without_the_fallback_nobody_waits_longer_than_patience_either(
    database: Database, vendor: HttpSink, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATION_INTELLIGENCE_FALLBACK_ENABLED", "0")
    save_pipeline(database, http_sink.url)
    vendor.answer_with(OPENAI.error(429, SAID, retry_after=100))

    outcome = execute(add_run(database, alert("db-1")))

    assert outcome.status is RunStatus.FAILED
    assert http_sink.requests == []


def test_a_retry_asks_only_for_what_is_not_answered_yet(
    database: Database, vendor: HttpSink, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHKEEPER_AI_CACHE_HOURS", "0")
    save_pipeline(database, http_sink.url)
    vendor.answer_with(REPLY, OPENAI.error(500, SAID), REPLY)

    outcome = execute_to_the_end(add_run(database, alert("db-1"), alert("db-2"), alert("db-3")))

    assert outcome.status is RunStatus.NOTIFIED
    assert len(vendor.requests) == 4
    assert sorted(status for _, status, _ in books(database)) == [FAILED, SUCCEEDED, SUCCEEDED, SUCCEEDED]
    refs = {entry.ai_output_ref for entry in output(database).analyses}
    paid = {f"analysis:{row.id}" for row in rows(database, AnalysisRun) if row.status is SUCCEEDED}
    assert refs == paid


def test_what_a_killed_worker_left_is_ended_by_the_next_attempt(
    database: Database, vendor: HttpSink, http_sink: HttpSink
) -> None:
    save_pipeline(database, http_sink.url)
    run_id = add_run(database, alert("db-1"))
    with database.write() as session:  # what kill -9 leaves
        asked = AnalysisOrder("openai", {}, None, run_id, "trace-1", utc_now())
        analyses.begin(session, asked, most_tokens=1000, daily_tokens=0)

    outcome = execute(run_id)

    left, answered = rows(database, AnalysisRun)
    assert outcome.status is RunStatus.NOTIFIED
    assert (left.status, answered.status) == (FAILED, SUCCEEDED)
    assert left.error_message.startswith("cut off")
    assert len(vendor.requests) == 1


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("openai", {"modell": "x", "api_key": "k"}),
        ("openai", {"api_key": {"env": "NO_SUCH"}}),
        ("local", {"x": 1}),
    ],
)
def test_a_broken_config_keeps_nobody_from_being_told(
    database: Database, http_sink: HttpSink, kind: str, config: dict[str, Any]
) -> None:
    activate(database, kind, config)
    save_pipeline(database, http_sink.url)

    outcome = execute(add_run(database, alert("db-1")))

    assert outcome.status is RunStatus.NOTIFIED
    assert books(database) == [(kind, FAILED, False), ("local", SUCCEEDED, True)]
    [message] = told(http_sink)
    assert UNAVAILABLE in message


def test_people_are_told_even_where_the_local_rules_fail(
    database: Database, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Faulty(Local):
        def analyze(self, request: AnalysisRequest) -> Analysis:
            raise RuntimeError(f"a fault of ours about {request.own_host}")

    monkeypatch.setitem(PROVIDERS, "local", Faulty)
    save_pipeline(database, http_sink.url, node={"max_retries": 1})

    outcome = execute_to_the_end(add_run(database, alert("db-1")))

    assert outcome.status is RunStatus.NOTIFIED
    assert tries(database) == [StageStatus.RETRYING, StageStatus.SUCCEEDED]
    assert {(row.provider, row.status) for row in rows(database, AnalysisRun)} == {("local", FAILED)}
    [message] = told(http_sink)
    assert "Disk full on db-1" in message
    assert "a fault of ours" not in message


def test_references_stay_references_in_the_row_and_in_the_books(
    database: Database, vendor: HttpSink, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-planted")
    config = {"base_url": f"{vendor.url}/v1", "api_key": {"env": "MY_KEY"}}
    activate(database, "openai", config)
    save_pipeline(database, http_sink.url)

    execute(add_run(database, alert("db-1")))

    with database.read() as session:
        row = providers.find(session, "mine")
        booked = session.scalars(select(AnalysisRun.provider_config)).first()
    assert row is not None
    assert vendor.requests[0].headers["Authorization"] == "Bearer sk-planted"
    assert row.config == booked == config


def test_a_later_nodes_answer_does_not_hide_that_an_earlier_one_had_none(
    database: Database, vendor: HttpSink, http_sink: HttpSink
) -> None:
    save_pipeline(database, http_sink.url)
    nodes = [
        {"id": "ingest", "type": "ingest", "next": "first"},
        {"id": "first", "type": "intelligence", "next": "second"},
        {"id": "second", "type": "intelligence", "next": "notify"},
        {"id": "notify", "type": "notify"},
    ]
    with database.write() as session:
        definitions.save(session, name="analyzed", config={"version": "1.0", "nodes": nodes})
    vendor.answer_with(OPENAI.error(401, SAID))

    outcome = execute(add_run(database, alert("db-1")))

    assert outcome.status is RunStatus.NOTIFIED
    assert books(database)[-1] == ("openai", SUCCEEDED, False)
    assert rows(database, PipelineRun)[0].intelligence_fallback_used


def test_the_worst_incidents_are_asked_about_and_stand_first(
    database: Database, vendor: HttpSink, http_sink: HttpSink
) -> None:
    save_pipeline(database, http_sink.url, max_incidents=6)
    severities = ["info", "critical", "warning"] * 3

    execute(add_run(database, *(alert(f"db-{n}", severity) for n, severity in enumerate(severities))))

    severity_of = {row.id: str(row.severity) for row in rows(database, Incident)}
    found = [
        (severity_of[entry.incident_id or 0], entry.provider, entry.fallback_used)
        for entry in output(database).analyses
    ]
    assert found == [
        *[("critical", "openai", False)] * 3,
        *[("warning", "openai", False)] * 3,
        *[("info", "local", True)] * 3,
    ]
    ids = [entry.incident_id or 0 for entry in output(database).analyses]
    assert ids == [*sorted(ids[:3]), *sorted(ids[3:6]), *sorted(ids[6:])]
    assert len(vendor.requests) == 6
    reasons = {row.error_message for row in rows(database, AnalysisRun) if row.fallback_used}
    assert reasons == {"not asked: only 6 of a run's incidents are (max_incidents)"}


def test_a_provider_that_refuses_the_first_is_not_asked_about_the_others(
    database: Database, http_sink: HttpSink
) -> None:
    with HttpSink(default=OPENAI.error(401, SAID)) as vendor:
        activate(database, "openai", OPENAI.config(vendor.url))
        save_pipeline(database, http_sink.url)

        outcome = execute(add_run(database, *(alert(f"db-{n}") for n in range(10))))

    assert outcome.status is RunStatus.NOTIFIED
    assert len(vendor.requests) == 4
    assert len(told(http_sink)) == 10
    reasons = [row.error_message for row in rows(database, AnalysisRun) if row.fallback_used]
    assert reasons == [
        *[""] * 4,
        *["not asked: none of the first 4 of the run's incidents got an answer"] * 6,
    ]


@pytest.mark.parametrize("begins", [False, True])
def test_what_hangs_beyond_every_deadline_is_left_behind(
    database: Database, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch, *, begins: bool
) -> None:
    is_over = threading.Event()

    class Hanging(PROVIDERS["openai"]):  # type: ignore[misc]
        def compose(self, request: AnalysisRequest) -> Prompt:
            if not begins:
                is_over.wait(60)
            return super().compose(request)

        def ask(self, *_: Any, **__: Any) -> Analysis:
            is_over.wait(60)
            raise PermanentError("too late")

    monkeypatch.setitem(PROVIDERS, "openai", Hanging)
    activate(database, "openai", OPENAI.config("http://127.0.0.1:9"))
    save_pipeline(database, http_sink.url, node={"timeout_seconds": 60}, patience_seconds=1.5)

    outcome = execute(add_run(database, alert("db-1")))
    found = books(database), rows(database, AnalysisRun)[0]
    is_over.set()

    assert outcome.status is RunStatus.NOTIFIED
    assert found[0] == [("openai", FAILED, False), ("local", SUCCEEDED, True)]
    assert found[1].error_message.startswith("TransientError: mine hangs: neither an answer nor a failure within ")
    assert (found[1].total_tokens is not None) is begins
    assert "hangs" not in told(http_sink)[0]


def test_a_storm_with_a_provider_that_hangs_ends_within_patience(database: Database, http_sink: HttpSink) -> None:
    with HttpSink(default=Answer(200, delay_seconds=60)) as vendor:
        activate(database, "openai", OPENAI.config(vendor.url))
        save_pipeline(database, http_sink.url, patience_seconds=1)
        run_id = add_run(database, *(alert(f"db-{n}") for n in range(200)))

        outcome = execute_to_the_end(run_id)

    [stage] = [row for row in rows(database, StageExecution) if row.node_id == "analyze"]
    print(f"200 incidents were analyzed in {stage.duration_ms:.0f} ms")
    assert outcome.status is RunStatus.NOTIFIED
    assert [row.status for row in rows(database, AnalysisRun)].count(FAILED) == 4
    assert len(output(database).analyses) == 200
    assert stage.duration_ms < 30_000  # patience is 1 s; the rest is what a busy machine takes for 200 answers
    assert len(told(http_sink)) == 200


class TestRest:
    """A provider that fails again and again is left alone, so that people need not wait for it each time."""

    @pytest.fixture(autouse=True)
    def failing(self, database: Database, vendor: HttpSink, http_sink: HttpSink) -> None:
        save_pipeline(database, http_sink.url, node={"max_retries": 0})
        vendor.answer_with(*[OPENAI.error(500, SAID)] * analyses.FAILURES_IN_A_ROW)
        for number in range(analyses.FAILURES_IN_A_ROW):
            execute_to_the_end(add_run(database, alert(f"db-{number}")))

    def test_after_three_failures_in_a_row_nobody_waits_for_it(
        self, database: Database, vendor: HttpSink, http_sink: HttpSink
    ) -> None:
        outcome = execute(add_run(database, alert("db-9")))

        assert outcome.status is RunStatus.NOTIFIED
        assert len(vendor.requests) == analyses.FAILURES_IN_A_ROW
        assert f"{UNAVAILABLE} (openai): {FailureKind.RESTING.told}" in told(http_sink)[-1]
        row = rows(database, AnalysisRun)[-1]
        assert (row.provider, row.fallback_used, row.failure_kind) == ("local", True, FailureKind.RESTING)
        assert FailureKind.RESTING.told in row.error_message

    def test_after_the_rest_one_is_let_through_and_its_answer_ends_it(
        self, database: Database, vendor: HttpSink, http_sink: HttpSink
    ) -> None:
        with database.write() as session:
            session.execute(update(AnalysisRun).values(completed_at=utc_now() - analyses.REST))

        for number in (8, 9):
            execute(add_run(database, alert(f"db-{number}")))

        assert len(vendor.requests) == analyses.FAILURES_IN_A_ROW + 2
        assert all(GOOD["summary"] in message for message in told(http_sink)[-2:])

    def test_a_failure_after_the_rest_begins_it_anew(self, database: Database, vendor: HttpSink) -> None:
        vendor.answer_with(OPENAI.error(500, SAID))
        with database.write() as session:
            session.execute(update(AnalysisRun).values(completed_at=utc_now() - analyses.REST))

        for number in (8, 9):
            execute_to_the_end(add_run(database, alert(f"db-{number}")))

        assert len(vendor.requests) == analyses.FAILURES_IN_A_ROW + 1

    def test_one_that_is_asked_to_see_whether_it_is_over_is_asked_alone(self, database: Database) -> None:
        with database.write() as session:
            session.execute(update(AnalysisRun).values(completed_at=utc_now() - analyses.REST))
            before = analyses.is_resting(session, "openai", run_id="another")
            order = AnalysisOrder("openai", {}, None, "", "", utc_now(), cache_key="k")
            analyses.begin(session, order, most_tokens=1, daily_tokens=0)

            assert (before, analyses.is_resting(session, "openai", run_id="another")) == (False, True)
            assert not analyses.is_resting(session, "claude", run_id="another")


@pytest.mark.parametrize("status", [401, 429])
def test_refusals_and_rate_limits_are_no_reason_to_rest(
    database: Database, vendor: HttpSink, http_sink: HttpSink, status: int
) -> None:
    save_pipeline(database, http_sink.url, node={"max_retries": 0})
    vendor.answer_with(*[OPENAI.error(status, SAID)] * 3)

    for number in range(4):
        execute_to_the_end(add_run(database, alert(f"db-{number}")))

    assert len(vendor.requests) == 4
    assert GOOD["summary"] in told(http_sink)[-1]


def test_an_outage_that_meets_all_questions_of_a_run_is_waited_out(
    database: Database, vendor: HttpSink, http_sink: HttpSink
) -> None:
    save_pipeline(database, http_sink.url)
    vendor.answer_with(*[OPENAI.error(500, SAID)] * 4)

    execute_to_the_end(add_run(database, *(alert(f"db-{number}") for number in range(4))))
    execute_to_the_end(add_run(database, alert("db-9")))

    assert len(vendor.requests) == 4 + 4 + 1
    assert all(GOOD["summary"] in message for message in told(http_sink))
