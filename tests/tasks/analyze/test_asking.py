"""One question to one provider over real HTTP: what is asked, what is paid for, and what is in the books."""

import asyncio
import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from ai_vendors import GOOD, VENDORS
from analyzing import activate, rows
from rows import add_alert, add_incident
from sinks import Answer, HttpSink
from sqlalchemy import text, update

from storage import alerts, analyses, providers
from storage.database import Database
from storage.records import CheckResult, ProviderConfig
from storage.tables import AnalysisRun
from storage.tables.base import utc_now
from storage.vocabulary import AnalysisStatus, CheckStatus
from tasks.analyze import asking
from tasks.analyze.asking import LOCAL, Question
from tasks.analyze.providers import PROVIDERS
from tasks.analyze.request import AnalysisRequest
from tasks.errors import PermanentError, TransientError

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

OPENAI = VENDORS["openai"]
REPLY = OPENAI.answer(json.dumps(GOOD), prompt_tokens=120, completion_tokens=45)
SUCCEEDED, FAILED = AnalysisStatus.SUCCEEDED, AnalysisStatus.FAILED


@pytest.fixture
def vendor(database: Database) -> Any:
    """OpenAI, which knows the answer."""
    del database
    with HttpSink(default=REPLY) as sink:
        yield sink


def openai(url: str, **config: Any) -> ProviderConfig:
    return ProviderConfig(name="mine", provider="openai", config=OPENAI.config(url) | config)


def question(database: Database, *, run_id: str = "run-1", checks: int = 0) -> Question:
    """A question about an incident of its own."""
    with database.write() as session:
        incident_id = add_incident(session).id
        add_alert(session, incident_id=incident_id)
    with database.read() as session:
        [incident] = alerts.view_incidents(session, [incident_id]).values()
    found = [CheckResult(checker_name="disk", status=CheckStatus.OK, message="")] * checks
    return Question(AnalysisRequest(incident=incident, checks=found), run_id, "trace-1")


def ask(database: Database, chosen: ProviderConfig, asked: Question, **limits: Any) -> AnalysisRun:
    """Ask, write down, and give the row."""
    return write_down(database, asking.ask(chosen, asked, **limits))


def write_down(database: Database, answer: asking.Answer) -> AnalysisRun:
    with database.write() as session:
        stored = asking.store(session, answer)
    with database.read() as session:
        return session.get_one(AnalysisRun, int(stored.ai_output_ref.removeprefix("analysis:")))


def test_the_books_hold_what_the_provider_said(database: Database, vendor: HttpSink) -> None:
    asked = question(database, checks=2)

    row = ask(database, openai(vendor.url, model="gpt-4o-mini"), asked)

    assert asked.request.incident
    assert (row.status, row.provider, row.incident_id) == (SUCCEEDED, "openai", asked.request.incident.id)
    assert row.model_name == OPENAI.model  # the one that answered, not the one that was asked for
    assert (row.summary, row.probable_cause, row.confidence) == (
        GOOD["summary"],
        GOOD["probable_cause"],
        GOOD["confidence"],
    )
    assert (row.prompt_tokens, row.completion_tokens, row.total_tokens) == (120, 45, 165)
    assert [step["actions"] for step in row.recommendations] == [GOOD["recommendations"][0]["actions"]]
    assert row.recommendations_count == 1
    assert (row.trace_id, row.pipeline_run_id) == ("trace-1", "run-1")
    assert row.input_summary == "Disk full on db-1 (1 alerts); 2 check results"
    assert row.checker_output_ref == "run:run-1:checks"
    assert row.provider_config["api_key"] == "***"
    assert row.provider_config["base_url"] == f"{vendor.url}/v1"
    assert row.started_at
    assert row.completed_at
    assert row.duration_ms > 0
    assert len(vendor.requests) == 1


def test_the_local_rules_have_a_row_like_any_other(database: Database, vendor: HttpSink) -> None:
    row = ask(database, LOCAL, question(database))

    assert (row.status, row.provider, row.model_name, row.fallback_used) == (SUCCEEDED, "local", "rules", False)
    assert row.summary
    assert (row.total_tokens, row.cached_from_id) == (None, None)
    assert row.completed_at
    assert row.duration_ms > 0
    assert vendor.requests == []


def test_the_same_question_of_another_run_is_answered_without_paying(database: Database, vendor: HttpSink) -> None:
    first = question(database)
    paid = ask(database, openai(vendor.url), first)

    answer = asking.ask(openai(vendor.url), Question(first.request, "run-2", "trace-2"))
    again = write_down(database, answer)

    assert len(vendor.requests) == 1
    assert answer.analysis.total_tokens is None
    assert (again.pipeline_run_id, again.trace_id, again.cached_from_id) == ("run-2", "trace-2", paid.id)
    assert (again.summary, again.model_name) == (paid.summary, paid.model_name)
    assert (again.status, again.total_tokens) == (SUCCEEDED, None)


def test_what_a_run_paid_for_stays_its_row(
    database: Database, vendor: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHKEEPER_AI_CACHE_HOURS", "0")
    asked = question(database)

    both = [ask(database, openai(vendor.url), asked).id for _ in range(2)]

    assert len(vendor.requests) == 1
    assert both[0] == both[1]
    assert [row.total_tokens for row in rows(database, AnalysisRun)] == [165]


@pytest.mark.parametrize(("hours", "age", "requests"), [("2", 1.9, 1), ("2", 2.1, 2), ("0", 0, 2)])
def test_an_answer_is_given_again_while_it_is_young(
    database: Database,
    vendor: HttpSink,
    monkeypatch: pytest.MonkeyPatch,
    *,
    hours: str,
    age: float,
    requests: int,
) -> None:
    monkeypatch.setenv("WATCHKEEPER_AI_CACHE_HOURS", hours)
    first = question(database)
    ask(database, openai(vendor.url), first)
    with database.write() as session:
        session.execute(update(AnalysisRun).values(created_at=utc_now() - timedelta(hours=age)))

    ask(database, openai(vendor.url), Question(first.request, "run-2"))

    assert len(vendor.requests) == requests


@pytest.mark.parametrize("config", [{"model": "gpt-4o"}, {"max_tokens": 900}])
def test_another_config_is_another_question(database: Database, vendor: HttpSink, config: dict[str, Any]) -> None:
    asked = question(database)
    ask(database, openai(vendor.url), asked)

    ask(database, openai(vendor.url, **config), asked)

    assert len(vendor.requests) == 2


def test_another_incident_is_another_question(database: Database, vendor: HttpSink) -> None:
    for _ in range(2):
        ask(database, openai(vendor.url), question(database))

    assert len(vendor.requests) == 2


def test_a_failure_is_not_what_the_next_one_is_told(database: Database, vendor: HttpSink) -> None:
    asked = question(database)
    vendor.answer_with(OPENAI.error(500, "out of order"))
    with pytest.raises(TransientError):
        ask(database, openai(vendor.url), asked)

    row = ask(database, openai(vendor.url), asked)

    failed, succeeded = rows(database, AnalysisRun)
    assert row.id == succeeded.id
    assert (failed.status, failed.model_name) == (FAILED, "gpt-4o-mini")
    assert "500" in failed.error_message
    assert (succeeded.status, succeeded.error_message) == (SUCCEEDED, "")


def test_a_reply_that_never_fits_has_cost_all_the_same(database: Database, vendor: HttpSink) -> None:
    vendor.answer_with(*[OPENAI.answer("no JSON", prompt_tokens=100, completion_tokens=10)] * 2)

    with pytest.raises(PermanentError):
        ask(database, openai(vendor.url), question(database))

    [row] = rows(database, AnalysisRun)
    assert (row.status, row.prompt_tokens, row.completion_tokens, row.total_tokens) == (FAILED, 200, 20, 220)


def test_a_spent_budget_is_a_failure_that_says_so_and_asks_nobody(
    database: Database, vendor: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHKEEPER_AI_DAILY_TOKENS", "50")

    with pytest.raises(PermanentError, match="0 of the day's 50 tokens are used"):
        ask(database, openai(vendor.url), question(database))

    [row] = rows(database, AnalysisRun)
    assert (row.status, row.total_tokens, row.model_name) == (FAILED, None, "gpt-4o-mini")
    assert row.error_message.startswith("PermanentError: 0 of the day's 50 tokens are used, and this request may")
    assert vendor.requests == []


def test_an_answer_given_again_needs_no_budget(
    database: Database, vendor: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = question(database)
    ask(database, openai(vendor.url), first)
    monkeypatch.setenv("WATCHKEEPER_AI_DAILY_TOKENS", "1")

    row = ask(database, openai(vendor.url), Question(first.request, "run-2"))

    assert row.status is SUCCEEDED


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (openai("http://127.0.0.1:9", modell="x"), "provider 'openai': unknown key modell; known: "),
        (
            openai("http://127.0.0.1:9", api_key={"env": "NO_SUCH"}),
            "'openai': api_key: environment variable 'NO_SUCH",
        ),
        (openai("file:///etc/passwd"), "provider 'openai': base_url: not an http or https URL"),
        (ProviderConfig(name="mine", provider="oracle", config={}), "provider: 'oracle' is none of local"),
        (LOCAL.model_copy(update={"config": {"top_n": 3}}), "provider 'local': unknown key top_n; "),
    ],
)
def test_a_broken_config_is_a_failure_that_names_the_field(
    database: Database, chosen: ProviderConfig, said: str
) -> None:
    with pytest.raises(PermanentError):
        asking.ask(chosen, question(database))

    [row] = rows(database, AnalysisRun)
    assert (row.status, row.provider) == (FAILED, chosen.provider)
    assert said in row.error_message
    assert row.completed_at


@pytest.mark.parametrize(
    ("answer", "is_free"),
    [
        (OPENAI.error(401, "who?"), True),
        (OPENAI.error(429, "slow down"), True),
        (OPENAI.error(500, "out of order"), False),
        (Answer(200, delay_seconds=5), False),
    ],
)
def test_what_a_vendor_may_bill_counts_towards_the_day(
    database: Database, vendor: HttpSink, answer: Answer, *, is_free: bool
) -> None:
    vendor.answer_with(answer)

    with pytest.raises((PermanentError, TransientError)):
        asking.ask(openai(vendor.url, timeout_seconds=0.5), question(database))

    [row] = rows(database, AnalysisRun)
    assert row.status is FAILED
    assert (row.prompt_tokens, row.completion_tokens) == (None, None)
    assert row.total_tokens is None if is_free else 500 < row.total_tokens < 2000


def test_what_never_reached_a_vendor_costs_nothing(database: Database) -> None:
    with pytest.raises(TransientError):
        asking.ask(openai("http://127.0.0.1:9"), question(database))

    assert rows(database, AnalysisRun)[0].total_tokens is None


def test_what_could_not_be_sent_costs_nothing(
    database: Database, vendor: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")

    with pytest.raises(PermanentError, match="cannot be set up"):
        asking.ask(openai(vendor.url), question(database))

    assert rows(database, AnalysisRun)[0].total_tokens is None


def test_an_answer_that_nobody_counted_costs_an_estimate(database: Database, vendor: HttpSink) -> None:
    vendor.answer_with(OPENAI.error(500, "out of order"))
    asked = question(database)
    with pytest.raises(TransientError):
        ask(database, openai(vendor.url, max_tokens=900), asked)  # the estimate of the question alone
    vendor.answer_with(OPENAI.answer(json.dumps(GOOD), prompt_tokens=0, completion_tokens=0))

    row = ask(database, openai(vendor.url), asked)

    [of_question, _] = rows(database, AnalysisRun)
    assert (row.prompt_tokens, row.completion_tokens) == (None, None)
    assert of_question.total_tokens < row.total_tokens < of_question.total_tokens + 1000


def test_a_vendors_words_cannot_keep_a_failure_from_the_books(database: Database, vendor: HttpSink) -> None:
    said = "no\x00pe \ud800 \x1b[31mred\x1b[0m \u202egnp.exe"
    vendor.answer_with(OPENAI.error(401, said))

    with pytest.raises(PermanentError):
        asking.ask(openai(vendor.url), question(database))

    [row] = rows(database, AnalysisRun)
    assert row.status is FAILED
    assert "401" in row.error_message
    assert not {"\x00", "\ud800", "\x1b", "\u202e"} & set(row.error_message)


def test_counts_that_no_column_takes_are_no_counts(database: Database, vendor: HttpSink) -> None:
    vendor.answer_with(OPENAI.answer(json.dumps(GOOD), prompt_tokens=2**31, completion_tokens=7))

    row = ask(database, openai(vendor.url), question(database))

    assert (row.status, row.prompt_tokens, row.completion_tokens) == (SUCCEEDED, None, 7)
    assert 500 < row.total_tokens < 5000


def test_an_answer_that_cannot_be_stored_is_not_asked_for_again_and_not_quoted(
    database: Database, vendor: HttpSink
) -> None:
    with database.write() as session:  # what the database may refuse, whatever it is
        session.execute(
            text(
                "CREATE TRIGGER full BEFORE UPDATE ON analysis_runs WHEN NEW.status = 'SUCCEEDED' "
                f"BEGIN SELECT RAISE(ABORT, '{GOOD['summary']}'); END"
            )
        )

    with pytest.raises(PermanentError) as caught:
        asking.ask(openai(vendor.url), question(database))

    [row] = rows(database, AnalysisRun)
    assert str(caught.value) == "the answer could not be stored (IntegrityError)"
    assert (row.status, row.error_message, row.total_tokens) == (FAILED, str(caught.value), 165)


def test_a_failure_that_cannot_be_written_stays_what_it_is(database: Database, vendor: HttpSink) -> None:
    vendor.answer_with(OPENAI.error(401, "who?"))
    with database.write() as session:
        session.execute(
            text("CREATE TRIGGER full BEFORE UPDATE ON analysis_runs BEGIN SELECT RAISE(ABORT, 'full'); END")
        )

    with pytest.raises(PermanentError, match="401"):
        asking.ask(openai(vendor.url), question(database))


def test_the_same_question_asked_at_once_is_paid_for_once(database: Database) -> None:
    asked = question(database)
    slow = Answer(200, delay_seconds=0.5, headers=REPLY.headers, body=REPLY.body)
    with HttpSink(default=slow) as sink:
        gate = threading.Barrier(4)
        refused: list[str] = []

        def ask_too(number: int) -> None:
            gate.wait(10)
            try:
                asking.ask(openai(sink.url), Question(asked.request, f"run-{number}"))
            except TransientError as error:
                refused.append(str(error))

        threads = [threading.Thread(target=ask_too, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        again = asking.ask(openai(sink.url), Question(asked.request, "run-9"))

    assert len(sink.requests) == 1
    assert len(refused) == 3
    assert set(refused) == {"the same is being asked already; its answer will be given again"}
    assert again.cached_from_id is not None


def test_what_a_dead_process_began_keeps_nobody_from_asking_for_long(database: Database, vendor: HttpSink) -> None:
    asked = question(database)
    paid = ask(database, openai(vendor.url, timeout_seconds=10), asked)
    with database.write() as session:
        left = {"status": AnalysisStatus.RUNNING, "created_at": utc_now() - timedelta(seconds=39)}
        session.execute(update(AnalysisRun).where(AnalysisRun.id == paid.id).values(**left))
    with pytest.raises(TransientError, match="already"):
        asking.ask(openai(vendor.url, timeout_seconds=10), asked)
    with database.write() as session:
        left = {"created_at": utc_now() - timedelta(seconds=41)}
        session.execute(update(AnalysisRun).where(AnalysisRun.id == paid.id).values(**left))

    asking.ask(openai(vendor.url, timeout_seconds=10), asked)

    assert len(vendor.requests) == 2


def test_an_answer_about_another_host_is_not_given_again(database: Database, vendor: HttpSink) -> None:
    first = question(database)
    assert first.request.incident
    [about] = first.request.incident.alerts
    questions = [
        Question(
            first.request.model_copy(
                update={
                    "incident": first.request.incident.model_copy(
                        update={
                            "title": "Disk full",
                            "alerts": [about.model_copy(update={"labels": {"host": host}})],
                        }
                    )
                }
            )
        )
        for host in ("alpha-1", "gamma-2", "alpha-1")
    ]

    for each in questions:
        ask(database, openai(vendor.url, hide_hosts=True), each)

    bodies = [request.body for request in vendor.requests]
    assert len(bodies) == 2
    assert bodies[0] == bodies[1]  # the vendor cannot tell them apart, people must


def test_a_client_that_cancels_itself_has_failed(
    database: Database, vendor: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cancelling(PROVIDERS["openai"]):  # type: ignore[misc]
        async def _receive(self, _response: object) -> None:
            raise asyncio.CancelledError

    monkeypatch.setitem(PROVIDERS, "openai", Cancelling)

    with pytest.raises(TransientError, match="cancelled"):
        asking.ask(openai(vendor.url), question(database))

    [row] = rows(database, AnalysisRun)
    assert (row.status, row.error_message) == (FAILED, "CancelledError: ")
    assert row.total_tokens > 500


def test_without_time_left_nobody_is_asked_and_the_books_say_why(database: Database, vendor: HttpSink) -> None:
    with pytest.raises(TransientError):
        asking.ask(openai(vendor.url), question(database), within_seconds=0.4)

    [row] = rows(database, AnalysisRun)
    assert (row.status, row.error_message) == (FAILED, "TransientError: no time was left to ask")
    assert vendor.requests == []


def test_an_answer_that_comes_after_the_end_adds_only_what_it_cost(database: Database) -> None:
    asked = question(database)
    slow = Answer(200, delay_seconds=0.4, headers=REPLY.headers, body=REPLY.body)
    with HttpSink([slow]) as sink:
        late = threading.Thread(target=asking.ask, args=(openai(sink.url), asked))
        late.start()
        sink.wait_for(1, 20)
        with database.write() as session:
            ended = analyses.end_cut_off(session, run_id="run-1")
        late.join(20)

    [row] = rows(database, AnalysisRun)
    assert ended == 1
    assert (row.status, row.summary, row.total_tokens) == (FAILED, "", 165)


def test_an_answer_is_not_waited_for_longer_than_is_allowed(database: Database) -> None:
    slow = Answer(200, delay_seconds=5)
    with HttpSink([slow]) as sink, pytest.raises(TransientError, match=r"did not answer within 0\.6 s"):
        asking.ask(openai(sink.url), question(database), within_seconds=0.6)


def test_a_named_kind_comes_before_the_active_provider_and_that_before_the_local_rules(database: Database) -> None:
    before = asking.choose(None, {"top_n_processes": 3})
    activate(database, "openai", {"api_key": {"env": "MY_KEY"}})

    active, named = asking.choose(None, {}), asking.choose("claude", {"model": "x"})
    with database.write() as session:
        providers.deactivate(session)
    after = asking.choose(None, {})

    assert (before.provider, before.config) == ("local", {"top_n_processes": 3})
    assert (active.name, active.provider, active.config) == ("mine", "openai", {"api_key": {"env": "MY_KEY"}})
    assert (named.provider, named.config) == ("claude", {"model": "x"})
    assert after == LOCAL
