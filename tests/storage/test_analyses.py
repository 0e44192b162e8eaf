"""The books of analyses, on both databases: what was asked, what it cost, and what is left of a day's tokens."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from rows import add_incident
from sqlalchemy import update

from storage import analyses
from storage.analyses import AnalysisOrder, BudgetSpentError
from storage.database import Database
from storage.records import Analysis, Recommendation, Tokens
from storage.tables import AnalysisRun
from storage.tables.base import utc_now
from storage.vocabulary import AnalysisStatus, RecommendationPriority, RecommendationType

ANALYSIS = Analysis(
    summary="The disk is full",
    probable_cause="Logs",
    confidence=0.7,
    recommendations=[
        Recommendation(
            type=RecommendationType.DISK,
            priority=RecommendationPriority.HIGH,
            title="Make room",
            description="Soon",
            actions=["du -xh /var"],
        )
    ],
    model_name="gpt-4o-2024",
    prompt_tokens=30,
    completion_tokens=12,
    total_tokens=42,
)
RUNNING, SUCCEEDED, FAILED = AnalysisStatus.RUNNING, AnalysisStatus.SUCCEEDED, AnalysisStatus.FAILED


def order(**given: Any) -> AnalysisOrder:
    begun = AnalysisOrder(
        provider="openai",
        provider_config={},
        incident_id=None,
        run_id="run-1",
        trace_id="trace-1",
        started_at=utc_now(),
        model_name="gpt-4o",
        cache_key="question-1",
    )
    return replace(begun, **given)


def begin(database: Database, *, most: int = 100, daily: int = 0, **given: Any) -> int:
    with database.write() as session:
        return analyses.begin(session, order(**given), most_tokens=most, daily_tokens=daily)


def answer(database: Database, row_id: int) -> bool:
    with database.write() as session:
        return analyses.succeed(session, row_id, ANALYSIS)


def back_date(database: Database, row_id: int, moment: datetime) -> None:
    with database.write() as session:
        session.execute(update(AnalysisRun).where(AnalysisRun.id == row_id).values(created_at=moment))


def get(database: Database, row_id: int) -> AnalysisRun:
    with database.read() as session:
        return session.get_one(AnalysisRun, row_id)


def test_a_question_is_in_the_books_before_its_answer_is(database: Database) -> None:
    with database.write() as session:
        incident_id = add_incident(session).id
    config = {
        "api_key": "sk-planted",
        "model": "gpt-4o",
        "base_url": "https://ann:hunter2@gateway.example/v1",
    }

    row = get(
        database,
        begin(
            database,
            provider_config=config,
            incident_id=incident_id,
            input_summary="Disk full",
            checker_output_ref="run:run-1:checks",
        ),
    )

    assert (row.status, row.provider, row.model_name, row.incident_id) == (
        RUNNING,
        "openai",
        "gpt-4o",
        incident_id,
    )
    assert (row.trace_id, row.pipeline_run_id) == ("trace-1", "run-1")
    assert (row.input_summary, row.checker_output_ref) == ("Disk full", "run:run-1:checks")
    assert row.provider_config == {
        "api_key": "***",
        "model": "gpt-4o",
        "base_url": "https://***@gateway.example/v1",
    }
    assert (row.completed_at, row.duration_ms) == (None, 0.0)
    assert row.started_at is not None


def test_an_answer_is_kept_with_all_that_the_provider_said_of_it(database: Database) -> None:
    row_id = begin(database, started_at=utc_now() - timedelta(seconds=3))

    is_stored = answer(database, row_id)

    row = get(database, row_id)
    assert is_stored
    assert row.status is SUCCEEDED
    assert analyses.stored_analysis(row) == ANALYSIS
    assert (row.recommendations_count, row.total_tokens, row.fallback_used) == (1, 42, False)
    assert row.completed_at is not None
    assert 3000 <= row.duration_ms < 60_000


def test_a_failure_is_kept_with_its_cost_and_without_secrets(database: Database) -> None:
    row_id = begin(database)

    with database.write() as session:
        analyses.fail(
            session, row_id, "ValueError: api_key=sk-planted was refused", tokens=Tokens(prompt=30, total=30)
        )

    row = get(database, row_id)
    assert (row.status, row.error_message) == (FAILED, "ValueError: api_key=*** was refused")
    assert (row.prompt_tokens, row.completion_tokens, row.total_tokens) == (30, None, 30)
    assert row.completed_at is not None
    assert row.duration_ms > 0


def test_what_could_not_even_be_asked_is_a_failure_from_the_beginning(database: Database) -> None:
    with database.write() as session:
        row_id = analyses.add_failed(session, order(), "ValueError: no key").id

    row = get(database, row_id)
    assert (row.status, row.error_message, row.total_tokens) == (FAILED, "ValueError: no key", None)
    assert row.completed_at is not None


def test_the_last_tokens_of_a_day_may_be_used_and_not_one_more(database: Database) -> None:
    answer(database, begin(database, most=100, daily=142))

    fits = begin(database, most=100, daily=142)
    with pytest.raises(
        BudgetSpentError, match="142 of the day's 142 tokens are used, and this request may need 1"
    ):
        begin(database, most=1, daily=142)

    assert get(database, fits).total_tokens == 100


def test_an_answer_gives_back_what_it_did_not_need(database: Database) -> None:
    row_id = begin(database, most=100, daily=150)
    answer(database, row_id)

    assert begin(database, most=100, daily=150)


def test_tokens_of_failures_count_and_those_of_yesterday_do_not(database: Database) -> None:
    yesterday, failed = begin(database, most=70), begin(database)
    midnight = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
    back_date(database, yesterday, midnight - timedelta(microseconds=1))
    back_date(database, failed, midnight)
    with database.write() as session:
        analyses.fail(session, failed, "no JSON", tokens=Tokens(total=60))

    with pytest.raises(BudgetSpentError, match="60 of the day's 100 tokens"):
        begin(database, most=41, daily=100)

    assert begin(database, most=40, daily=100)


def test_without_a_budget_nothing_is_counted(database: Database) -> None:
    begin(database, most=10**9)

    assert begin(database, most=10**9, daily=0)


def test_many_that_ask_at_once_stay_within_the_budget_together(database: Database, database_url: str) -> None:
    elsewhere = Database(database_url, pool_size=8)  # as another process has it
    gate = threading.Barrier(12)
    begun: list[int] = []
    refused: list[str] = []

    def ask(where: Database) -> None:
        gate.wait(10)
        try:
            begun.append(begin(where, most=100, daily=350))
        except BudgetSpentError as spent:
            refused.append(str(spent))

    threads = [threading.Thread(target=ask, args=(where,)) for where in (database, elsewhere) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    elsewhere.dispose()
    assert (len(begun), len(refused)) == (3, 9)
    assert set(refused) == {"300 of the day's 350 tokens are used, and this request may need 100"}


def test_only_one_of_many_that_ask_the_same_at_once_begins(database: Database, database_url: str) -> None:
    elsewhere = Database(database_url, pool_size=8)  # as another process has it
    gate = threading.Barrier(8)
    since = utc_now() - timedelta(minutes=1)
    begun: list[bool] = []

    def ask(where: Database) -> None:
        gate.wait(10)
        with where.write() as session:
            analyses.take_turn(session)
            is_first = not analyses.is_being_asked(session, "question-1", since=since)
            if is_first:
                analyses.begin(session, order(), most_tokens=100, daily_tokens=0)
            begun.append(is_first)

    threads = [threading.Thread(target=ask, args=(where,)) for where in (database, elsewhere) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    elsewhere.dispose()
    assert sorted(begun) == [*[False] * 7, True]


def test_a_question_is_being_asked_until_it_ends_or_was_begun_too_long_ago(database: Database) -> None:
    row_id = begin(database)
    now = utc_now()

    def is_asked(key: str, since: datetime) -> bool:
        with database.read() as session:
            return analyses.is_being_asked(session, key, since=since)

    asked = [
        is_asked("question-1", now - timedelta(minutes=1)),
        is_asked("question-1", now + timedelta(minutes=1)),
    ]
    other = is_asked("question-2", now - timedelta(minutes=1))
    answer(database, row_id)

    assert (asked, other) == ([True, False], False)
    assert not is_asked("question-1", now - timedelta(minutes=1))


@pytest.mark.parametrize("said", ["no\x00pe", "no\ud800pe"])
def test_no_word_from_outside_keeps_an_end_from_being_stored(database: Database, said: str) -> None:
    failed, answered = begin(database), begin(database)
    step = ANALYSIS.recommendations[0].model_copy(update={"actions": [said]})
    told = ANALYSIS.model_copy(update={"summary": said, "model_name": said, "recommendations": [step]})

    with database.write() as session:
        analyses.fail(session, failed, said, tokens=Tokens())
        analyses.succeed(session, answered, told)
        analyses.add_failed(session, order(), said)

    row = get(database, answered)
    assert get(database, failed).error_message == "no\ufffdpe"
    assert (row.summary, row.model_name) == ("no\ufffdpe", "no\ufffdpe")
    assert row.recommendations[0]["actions"] == ["no\ufffdpe"]


@pytest.mark.parametrize(
    ("total", "estimate", "stored"),
    [
        (2**31 - 1, 7, 2**31 - 1),
        (2**31, 7, 7),
        (-1, 7, 7),
        (0, 7, 0),
        (None, 7, 7),
        (None, None, None),
        (-1, -1, None),
    ],
)
def test_where_nobody_counted_an_estimate_counts(
    database: Database, total: int | None, estimate: int | None, stored: int | None
) -> None:
    row_id = begin(database)

    with database.write() as session:
        analyses.fail(session, row_id, "no", tokens=Tokens(total, total, total), estimate=estimate)

    row = get(database, row_id)
    counted = total if total not in {2**31, -1} else None
    assert (row.prompt_tokens, row.completion_tokens, row.total_tokens) == (counted, counted, stored)


def test_what_hangs_is_given_up_where_it_was_begun_else_on_its_own(database: Database) -> None:
    with database.write() as session:
        incident_ids = [add_incident(session).id for _ in range(2)]
    mine, other = (begin(database, incident_id=each) for each in incident_ids)
    given = order(incident_id=incident_ids[0])

    for _ in range(2):
        with database.write() as session:
            analyses.give_up(session, given, "hangs")

    assert [get(database, row_id).status for row_id in (mine, other)] == [FAILED, RUNNING]
    row, alone = get(database, mine), get(database, other + 1)
    assert (row.error_message, row.total_tokens, row.completed_at is not None) == ("hangs", 100, True)
    assert (alone.status, alone.error_message, alone.total_tokens) == (FAILED, "hangs", None)


def test_what_an_attempt_left_behind_is_ended_by_the_next_one(database: Database) -> None:
    mine, others, outside = (begin(database, run_id=run_id) for run_id in ("run-1", "run-2", ""))
    done, forgotten = begin(database), begin(database, run_id="")
    answer(database, done)
    back_date(database, forgotten, utc_now() - timedelta(minutes=61))

    with database.write() as session:
        counts = [analyses.end_cut_off(session, run_id=run_id) for run_id in ("run-1", "run-1", "")]

    assert counts == [2, 0, 0]
    statuses = [get(database, row_id).status for row_id in (mine, others, outside, done)]
    assert statuses == [FAILED, RUNNING, RUNNING, SUCCEEDED]
    row = get(database, forgotten)
    assert (row.status, row.total_tokens) == (FAILED, 100)
    assert row.error_message.startswith("cut off")
    assert row.completed_at is not None


@pytest.mark.parametrize("end", [analyses.succeed, lambda *args: analyses.fail(*args, tokens=Tokens(30, 12, 42))])
def test_an_answer_after_the_end_adds_what_it_cost_and_nothing_else(
    database: Database, end: Callable[..., bool]
) -> None:
    row_id = begin(database)
    with database.write() as session:
        analyses.end_cut_off(session, run_id="run-1")
    ended = get(database, row_id)

    with database.write() as session:
        is_stored = end(session, row_id, ANALYSIS if end is analyses.succeed else "late")

    late = get(database, row_id)
    assert not is_stored
    assert (late.prompt_tokens, late.completion_tokens, late.total_tokens) == (30, 12, 42)
    columns = (
        "status",
        "error_message",
        "summary",
        "recommendations",
        "completed_at",
        "duration_ms",
        "model_name",
    )
    assert {name: getattr(late, name) for name in columns} == {name: getattr(ended, name) for name in columns}


def find(database: Database, *, hours: float = 1, run_id: str = "run-2", key: str = "question-1") -> int | None:
    with database.read() as session:
        found = analyses.find_answer(session, key, since=utc_now() - timedelta(hours=hours), run_id=run_id)
        return found.id if found else None


def test_an_answer_is_found_by_its_question_while_it_is_young(database: Database) -> None:
    row_id = begin(database)
    before = find(database)
    answer(database, row_id)
    back_date(database, row_id, utc_now() - timedelta(minutes=30))

    found = [find(database), find(database, hours=0.4), find(database, key="question-2")]

    assert (before, found) == (None, [row_id, None, None])


def test_a_runs_own_answer_is_found_however_old_it_is(database: Database) -> None:
    for run_id in ("run-1", ""):
        row_id = begin(database, run_id=run_id)
        answer(database, row_id)
        back_date(database, row_id, utc_now() - timedelta(hours=9))

    assert find(database, run_id="run-1") is not None
    assert find(database, run_id="") is None


def test_an_answer_given_again_is_not_what_the_next_one_is_taken_from(database: Database) -> None:
    paid = begin(database)
    answer(database, paid)
    with database.write() as session:
        analyses.add_succeeded(session, order(), ANALYSIS, completed_at=utc_now(), cached_from_id=paid)

    assert find(database) == paid
