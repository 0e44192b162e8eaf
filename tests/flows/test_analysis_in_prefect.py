"""A run in Prefect whose provider wishes to be left alone for a while."""

import asyncio
import json
from collections.abc import Iterator
from uuid import UUID

import pytest
from ai_vendors import GOOD, VENDORS
from analyzing import PIPELINE, activate, add_run, alert, rows, save_pipeline
from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State
from prefect.testing.utilities import prefect_test_harness
from sinks import HttpSink

from flows.pipeline import build_flow
from storage.database import Database
from storage.tables import AnalysisRun, PipelineRun
from storage.vocabulary import AnalysisStatus, RunStatus

OPENAI = VENDORS["openai"]
SAID = "words of the vendor"
WISH_SECONDS = 2


@pytest.fixture
def prefect() -> Iterator[None]:
    """Prefect's own server for tests, which a busy machine takes minutes to start."""
    with prefect_test_harness(server_startup_timeout=280):
        yield


async def states_of(flow_run_id: UUID, task_name: str) -> list[State]:
    """The states of a task as Prefect's server tells them, once it has heard of the last one."""
    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
    async with get_client() as client, asyncio.timeout(60):
        while True:
            for task_run in await client.read_task_runs(flow_run_filter=of_run):
                states = await client.read_task_run_states(task_run.id)
                if task_run.name.startswith(task_name) and any(state.is_final() for state in states):
                    return states
            await asyncio.sleep(0.1)


@pytest.mark.stack
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("prefect")
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_prefect_waits_as_long_as_the_provider_wishes(
    database: Database, http_sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATION_BACKOFF_FACTOR", "0.1")
    refusal = OPENAI.error(429, SAID, retry_after=WISH_SECONDS)
    with HttpSink([refusal], default=OPENAI.answer(json.dumps(GOOD))) as vendor:
        activate(database, "openai", OPENAI.config(vendor.url))
        save_pipeline(database, http_sink.url)
        run_id = add_run(database, alert("db-1"))

        ended = asyncio.run(build_flow(PIPELINE)(run_id=run_id, return_state=True))

    [first, second] = vendor.requests
    [run] = rows(database, PipelineRun)
    states = asyncio.run(states_of(UUID(run.flow_run_id), "analyze"))
    [waiting] = [state for state in states if state.name == "AwaitingRetry"]
    assert ended.is_completed()
    assert run.status is RunStatus.NOTIFIED
    assert second.received_at - first.received_at >= WISH_SECONDS
    assert waiting.state_details.scheduled_time is not None
    assert (waiting.state_details.scheduled_time - waiting.timestamp).total_seconds() > WISH_SECONDS - 0.2
    assert [row.status for row in rows(database, AnalysisRun)] == [AnalysisStatus.FAILED, AnalysisStatus.SUCCEEDED]
    assert SAID not in str([state.message for state in states])
    assert GOOD["summary"] in json.loads(http_sink.requests[0].body)["message"]
