"""Every AI provider with every outcome over real HTTP, through a whole run: people are told each time."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count

import pytest
from ai_vendors import GOOD, VENDORS, Vendor
from analyzing import activate, add_run, alert, execute, save_pipeline
from databases import fresh_sqlite
from raw_server import raw_server
from sinks import Answer, HttpSink
from sqlalchemy import select

from storage import database as database_room
from storage.database import Database
from storage.tables import AnalysisRun, PipelineRun
from storage.vocabulary import AnalysisStatus, RunStatus

SUCCEEDED, FAILED = AnalysisStatus.SUCCEEDED, AnalysisStatus.FAILED
SAID = "words of the vendor"
SLOW, TIMEOUT_SECONDS = "slow", 0.3
GOOD_TEXT = json.dumps(GOOD)

numbers = count(1)


@dataclass(frozen=True)
class Case:
    """What a vendor answers, request by request, and what is in the books after one try."""

    answers: list[Answer]
    tokens: int | None
    error: str = ""


def cases(vendor: Vendor) -> dict[str, Case]:
    """The outcomes by name."""
    misfit = json.dumps({"summary": "x", "confidence": "very"})
    slow = replace(vendor.answer(GOOD_TEXT), delay_seconds=4 * TIMEOUT_SECONDS)
    return {
        "success": Case([vendor.answer(GOOD_TEXT)], 165),
        "wrapped JSON": Case([vendor.answer(f"```json\n{GOOD_TEXT}\n```")], 165),
        "bad JSON": Case([vendor.answer("{summary: no")] * 2, 330, "did not fit"),
        "wrong schema": Case([vendor.answer(misfit)] * 2, 330, "did not fit"),
        "401": Case([vendor.error(401, SAID)], None, "127.0.0.1 answered 401"),
        "429": Case([vendor.error(429, SAID)], None, "127.0.0.1 answered 429"),
        "500": Case([vendor.error(500, SAID)], None, "127.0.0.1 answered 500"),
        SLOW: Case([slow], None, f"did not answer within {TIMEOUT_SECONDS} s"),
        "cut connection": Case([], None, "127.0.0.1"),
    }


# What was sent may have cost something, and the vendor said nothing of it.
UNCOUNTED = ("500", SLOW, "cut connection")
OUTCOMES = list(cases(VENDORS["openai"]))


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, HttpSink]]:
    """One database and one channel for all of them."""
    with (
        pytest.MonkeyPatch.context() as patch,
        fresh_sqlite(tmp_path_factory.mktemp("vendors")) as url,
        HttpSink() as people,
    ):
        patch.setenv("WATCHKEEPER_DATABASE_URL", url)
        patch.setenv("ORCHESTRATION_BACKOFF_FACTOR", "0")
        database_room.get.cache_clear()
        database = database_room.get()
        save_pipeline(database, people.url, node={"max_retries": 0})
        yield database, people
        database.dispose()
        database_room.get.cache_clear()


@contextmanager
def server(case: Case) -> Iterator[tuple[str, list[object]]]:
    """Where the vendor is asked, and what it was asked; one without answers hangs up."""
    requests: list[object] = []
    if case.answers:
        with HttpSink(case.answers) as sink:
            yield sink.url, requests
            requests += sink.requests
    else:
        with raw_server(requests.append) as url:
            yield url, requests


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("kind", VENDORS)
def test_people_are_told(installation: tuple[Database, HttpSink], kind: str, outcome: str) -> None:
    database, people = installation
    vendor = VENDORS[kind]
    case = cases(vendor)[outcome]
    told_before = len(people.requests)
    with server(case) as (url, requests):
        # The first use of a vendor's client takes as long as its import.
        limit = {"timeout_seconds": TIMEOUT_SECONDS} if outcome == SLOW else {}
        activate(database, kind, vendor.config(url) | limit)
        run_id = add_run(database, alert(f"db-{next(numbers)}"))

        ended = execute(run_id)

    with database.read() as session:
        of_run = select(AnalysisRun).where(AnalysisRun.pipeline_run_id == run_id).order_by(AnalysisRun.id)
        asked, *stood_in = session.scalars(of_run)
        run = session.scalars(select(PipelineRun).where(PipelineRun.run_id == run_id)).one()
    [message] = [json.loads(sent.body)["message"] for sent in people.requests[told_before:]]
    is_answered = not case.error
    assert ended.status is RunStatus.NOTIFIED
    assert len(requests) == max(len(case.answers), 1) or outcome == SLOW  # it may not even have come that far
    assert (asked.provider, asked.status) == (kind, SUCCEEDED if is_answered else FAILED)
    if outcome in UNCOUNTED:
        assert (asked.prompt_tokens, asked.total_tokens > 0) == (None, True)  # an estimate: it may be billed
    else:
        assert asked.total_tokens == case.tokens
    assert case.error in asked.error_message
    assert vendor.key not in json.dumps([asked.error_message, asked.provider_config])
    assert [(row.provider, row.fallback_used) for row in stood_in] == ([] if is_answered else [("local", True)])
    assert run.intelligence_fallback_used is not is_answered
    if is_answered:
        assert GOOD["summary"] in message
        assert (asked.model_name, asked.confidence) == (vendor.model, GOOD["confidence"])
        assert asked.recommendations[0]["actions"] == GOOD["recommendations"][0]["actions"]
    else:
        assert "AI analysis unavailable" in message
        assert SAID not in message
