"""The warm worker: cancels, crashes, Prefect's retries, slow channels, leases, and a drain that loses nothing."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx
import psutil
import pytest
from moody import MoodySink
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.states import AwaitingRetry, Cancelling
from sqlalchemy import delete, select
from stack import LiveStack, live_stack, wait_until

from storage import definitions
from storage.tables import ChannelState, Delivery, Notification, PipelineRun
from storage.vocabulary import DeliveryStatus, NotificationStatus, RunStatus
from tasks.definition.presets import preset

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

LEASE_SECONDS = 4


@pytest.fixture(scope="module")
def sink() -> Iterator[MoodySink]:
    with MoodySink(delay_seconds=0.03) as sink:
        yield sink


@pytest.fixture(scope="module")
def stack(sink: MoodySink) -> Iterator[LiveStack]:
    """One place for runs in each pipeline, quick retries, and a pipeline `slow` whose checks take 3 s."""
    environment = {
        "WATCHKEEPER_SLOTS": "1",
        "WATCHKEEPER_LEASE_SECONDS": str(LEASE_SECONDS),
        "ORCHESTRATION_MAX_RETRIES_PER_STAGE": "2",
        "ORCHESTRATION_BACKOFF_FACTOR": "1.5",
    }
    with live_stack(**environment) as stack:
        stack.add_channel("sink", "generic", {"endpoint": sink.url})
        slow = preset("health-checked").model_dump(mode="json")
        slow["nodes"][1]["config"]["checkers"]["cpu"] = {"samples": 16, "sample_interval": 0.2}
        with stack.database.write() as session:
            definitions.save(session, name="slow", config=slow)
        time.sleep(5.5)  # the receiver looks for new names of pipelines every 5 s
        yield stack


@pytest.fixture(autouse=True)
def well(stack: LiveStack) -> None:
    """The channel does not rest any more from what the test before had it refuse."""
    with stack.database.write() as session:
        session.execute(delete(ChannelState))


def test_a_definition_saved_under_a_new_name_runs_in_prefect(stack: LiveStack, sink: MoodySink) -> None:
    run = stack.wait_for_run(stack.post(alert("saved-definition"), pipeline="slow"))

    assert (run["status"], run["via"]) == ("NOTIFIED", "prefect")
    assert len(sink.about("saved-definition")) == 1


def test_a_cancel_in_prefect_is_honoured_at_the_next_stage_boundary(stack: LiveStack, sink: MoodySink) -> None:
    accepted = stack.post(alert("cancelled"), pipeline="slow")
    run_id = wait_for_stage(stack, accepted, "check")["run_id"]

    with stack.prefect() as client:
        client.set_flow_run_state(UUID(flow_run_id_of(stack, run_id)), Cancelling())
    run = stack.wait_for_run(accepted)

    assert (run["status"], run["last_error_type"]) == ("FAILED", "CancelledRunError")
    assert [(stage["node_id"], stage["status"]) for stage in run["stages"]] == [
        ("ingest", "SUCCEEDED"),
        ("check", "SUCCEEDED"),
    ]
    assert not sink.about("cancelled")
    assert wait_for_flow_run(stack, run["flow_run_id"], {"CANCELLED"})


def test_a_cancel_outlives_the_worker_that_should_have_honoured_it(stack: LiveStack, sink: MoodySink) -> None:
    accepted = stack.post(alert("cancel-then-kill"), pipeline="slow")
    run_id = wait_for_stage(stack, accepted, "check")["run_id"]

    stack.kill("worker")
    with stack.prefect() as client:
        client.set_flow_run_state(UUID(flow_run_id_of(stack, run_id)), Cancelling())
    run = stack.wait_for_run(accepted)

    assert (run["status"], run["last_error_type"]) == ("FAILED", "CancelledRunError")
    assert not sink.about("cancel-then-kill")


def test_a_crash_in_one_flow_never_ends_the_worker(stack: LiveStack) -> None:
    pid = wait_until(lambda: stack.pid("worker"), 30, what="the worker")

    crashed = start_flow_run(stack, "direct", {"run_id": "there is no such run"})
    wait_for_flow_run(stack, crashed.id, {"FAILED", "CRASHED"})
    run = stack.wait_for_run(stack.post(alert("after-a-crash")))

    assert run["status"] == "NOTIFIED"
    assert stack.pid("worker") == pid


def test_a_faulty_definition_sets_its_deliveries_aside_and_stops_nothing_else(stack: LiveStack) -> None:
    with stack.database.write() as session:
        row = definitions.find_active(session, "ai-analyzed")
        row.config = {"nodes": [{"id": "first", "type": "no such type"}]}
    accepted = stack.post(alert("to-a-faulty-definition"), pipeline="ai-analyzed")

    wait_until(
        lambda: stack.web.get(accepted["status_url"]).json()["status"] == "quarantined", 20, what="the quarantine"
    )
    run = stack.wait_for_run(stack.post(alert("after-a-faulty-definition")))

    assert "nodes.0.type" in stack.web.get(accepted["status_url"]).json()["reason"]
    assert run["status"] == "NOTIFIED"


def test_prefect_deployment_run_works_the_payload_it_is_given(stack: LiveStack, sink: MoodySink) -> None:
    parameters = {
        "payload": json.dumps(alert("by-hand")),
        "source": "generic",
        "environment": "staging",
        "trace_id": "by-hand-1",
    }
    command = [sys.executable, "-m", "prefect", "deployment", "run", "full/full"]
    command += [part for name, value in parameters.items() for part in ("--param", f"{name}={value}")]

    subprocess.run(command, env=stack.client_env, check=True, capture_output=True)
    run_id = wait_until(lambda: find_run(stack, trace_id="by-hand-1"), 30, what="the run")
    flow_run = wait_for_flow_run(stack, run_id, {"COMPLETED"})
    with stack.prefect() as client:
        wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run.id]))
        [artifact] = wait_until(lambda: client.read_artifacts(artifact_filter=wanted), 10, what="the artifact")

    run = stack.web.get(f"/orchestration/pipeline/{run_id}/").json()
    assert (run["status"], run["trace_id"], run["environment"]) == ("NOTIFIED", "by-hand-1", "staging")
    assert {"source:generic", "environment:staging", "trace_id:by-hand-1"} <= set(flow_run.tags)
    assert artifact.type == "markdown"
    assert "by-hand" in artifact.data
    assert len(sink.about("by-hand")) == 1


def test_a_flow_run_without_parameters_ends_well_with_nothing_to_tell(stack: LiveStack) -> None:
    flow_run = wait_for_flow_run(stack, start_flow_run(stack, "full", {}).id, {"COMPLETED", "FAILED", "CRASHED"})

    run = stack.web.get(f"/orchestration/pipeline/{flow_run.id}/").json()
    assert flow_run.state.is_completed(), flow_run.state
    assert not run["notifications"]
    assert run["last_error_message"] == ""


def test_prefects_retry_of_a_failed_run_goes_on_where_it_failed(stack: LiveStack, sink: MoodySink) -> None:
    sink.refused.add("channel-down")
    failed = stack.wait_for_run(stack.post(alert("channel-down")))
    tries = len(sink.about("channel-down"))
    sink.refused.clear()

    retry(stack, failed["flow_run_id"])
    flow_run = wait_for_flow_run(stack, failed["flow_run_id"], {"COMPLETED"})

    run = stack.web.get(f"/orchestration/pipeline/{failed['run_id']}/").json()
    assert (failed["status"], tries) == ("FAILED", 3)
    assert (run["status"], flow_run.state_name) == ("NOTIFIED", "Completed")
    assert Counter(stage["node_id"] for stage in run["stages"]) == {"ingest": 1, "notify": 4}
    assert len(sink.about("channel-down")) == tries + 1
    assert [message["status"] for message in run["notifications"]] == ["sent"]


def test_prefects_retry_of_a_run_that_told_people_tells_nobody_again(stack: LiveStack, sink: MoodySink) -> None:
    told = stack.wait_for_run(stack.post(alert("told-once")))
    wait_for_flow_run(stack, told["flow_run_id"], {"COMPLETED"})

    retry(stack, told["flow_run_id"])
    with stack.prefect() as client:
        wait_until(lambda: client.read_flow_run(UUID(told["flow_run_id"])).run_count == 2, 30, what="the retry")
    wait_for_flow_run(stack, told["flow_run_id"], {"COMPLETED"})

    assert show(stack, told) == told
    assert len(sink.about("told-once")) == 1


def test_deliveries_that_fail_do_not_hold_up_the_one_behind_them(stack: LiveStack, sink: MoodySink) -> None:
    sink.refused.add("bad-")
    bad = [stack.post(alert(f"bad-{number}")) for number in range(4)]
    wait_until(lambda: len(sink.about("bad-")) >= 4, 20, what="the first tries of the bad ones")
    posted = time.monotonic()

    stack.post(alert("good-one"))
    [request] = wait_until(lambda: sink.about("good-one"), 20, what="the good message")
    waiting = [run for run in find_open_runs(stack) if run.status is RunStatus.RETRYING]
    statuses = [stack.wait_for_run(accepted)["status"] for accepted in bad]
    sink.refused.clear()

    print(f"the message behind failing ones came after {request.received_at - posted:.2f} s")
    assert request.received_at - posted < 6  # the failing ones come back after 2, 4 and 8 s
    assert waiting
    assert statuses == ["FAILED"] * 4


def test_a_worker_that_wakes_up_late_changes_nothing(stack: LiveStack, sink: MoodySink) -> None:
    accepted = stack.post(alert("frozen"), pipeline="slow")
    wait_for_stage(stack, accepted, "check")
    frozen = psutil.Process(wait_until(lambda: stack.pid("worker"), 30, what="the worker"))

    frozen.suspend()
    started = time.monotonic()
    try:
        with second_worker(stack):
            run = stack.wait_for_run(accepted)
            took_seconds = time.monotonic() - started
            frozen.resume()
            behind = stack.wait_for_run(stack.post(alert("behind-the-frozen")))
            time.sleep(6)  # what the late one was doing comes to its end
    finally:
        frozen.resume()

    print(f"taken over and told {took_seconds:.1f} s after the freeze, with a lease of {LEASE_SECONDS} s")
    later = show(stack, run)
    assert behind["status"] == "NOTIFIED"
    assert {key: later[key] for key in run} == run
    assert Counter(stage["node_id"] for stage in later["stages"] if stage["status"] == "SUCCEEDED") == {
        "ingest": 1,
        "check": 1,
        "notify": 1,
    }
    assert len(sink.about("frozen")) == 2  # "frozen" and "behind-the-frozen"
    assert wait_for_flow_run(stack, run["flow_run_id"], {"COMPLETED"})


def test_a_stop_drains_and_a_start_works_what_came_until_the_end(stack: LiveStack, sink: MoodySink) -> None:
    in_flight = stack.post(alert("in-flight"), pipeline="slow")
    wait_for_stage(stack, in_flight, "check")
    accepted: list[str] = []
    poster = threading.Thread(target=post_until_refused, args=(stack, accepted))
    poster.start()
    time.sleep(1)

    code = stack.stop()
    poster.join()
    told_before_the_start = len(sink.about("in-flight"))
    stack.start()

    assert code == 0, stack.said()
    assert told_before_the_start == 1
    run = stack.wait_for_run(in_flight)
    assert (run["status"], run["total_attempts"]) == ("NOTIFIED", 1)
    wait_until(lambda: set(statuses_of(stack, accepted)) == {DeliveryStatus.DONE}, 60, what="all to be worked")
    assert len(statuses_of(stack, accepted)) == len(accepted) > 0
    wait_until(lambda: not find_open_runs(stack), 60, what="the end of all runs")
    with stack.database.read() as session:
        sent = session.scalars(select(Notification.status).where(Notification.title.contains("until-the-end")))
        assert Counter(sent) == {NotificationStatus.SENT: len(accepted)}


def alert(name: str) -> dict[str, Any]:
    return {"name": name, "severity": "critical", "fingerprint": name}


def show(stack: LiveStack, run: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = stack.web.get(f"/orchestration/pipeline/{run['run_id']}/").json()
    return fields


def wait_for_stage(stack: LiveStack, accepted: dict[str, Any], node_id: str) -> dict[str, Any]:
    """The run of a delivery as soon as an attempt at this node is running."""

    def find() -> dict[str, Any] | None:
        for listed in stack.web.get(accepted["status_url"]).json()["runs"]:
            run: dict[str, Any] = stack.web.get(listed["url"]).json()
            if any((stage["node_id"], stage["status"]) == (node_id, "RUNNING") for stage in run["stages"]):
                return run
        return None

    return wait_until(find, 30, what=f"the node {node_id}")


def flow_run_id_of(stack: LiveStack, run_id: str) -> str:
    return str(stack.web.get(f"/orchestration/pipeline/{run_id}/").json()["flow_run_id"])


def find_run(stack: LiveStack, *, trace_id: str) -> str | None:
    with stack.database.read() as session:
        return session.scalar(select(PipelineRun.run_id).where(PipelineRun.trace_id == trace_id))


def find_open_runs(stack: LiveStack) -> list[PipelineRun]:
    with stack.database.read() as session:
        return list(session.scalars(select(PipelineRun).where(PipelineRun.completed_at.is_(None))))


def start_flow_run(stack: LiveStack, pipeline: str, parameters: dict[str, Any]) -> FlowRun:
    with stack.prefect() as client:
        deployment = client.read_deployment_by_name(f"{pipeline}/{pipeline}")
        return client.create_flow_run_from_deployment(
            deployment.id, parameters=parameters, idempotency_key=str(uuid4())
        )


def retry(stack: LiveStack, flow_run_id: str) -> None:
    """What the Retry button in the Prefect UI does."""
    with stack.prefect() as client:
        client.set_flow_run_state(UUID(flow_run_id), AwaitingRetry(), force=False)


def wait_for_flow_run(stack: LiveStack, flow_run_id: UUID | str, states: set[str]) -> FlowRun:
    def find() -> FlowRun | None:
        flow_run = client.read_flow_run(UUID(str(flow_run_id)))
        return flow_run if flow_run.state_type and flow_run.state_type.value in states else None

    with stack.prefect() as client:
        return wait_until(find, 60, what=f"flow run {flow_run_id} to be {states}")


@contextmanager
def second_worker(stack: LiveStack) -> Iterator[subprocess.Popen[bytes]]:
    """Another worker of the same installation."""
    environment = {
        **stack.client_env,
        "PREFECT_HOME": str(stack.home / "prefect"),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    command = [sys.executable, "-m", "deployments.worker"]
    with (stack.home / "logs" / "second-worker.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()


def post_until_refused(stack: LiveStack, accepted: list[str]) -> None:
    """Post until the receiver is gone."""
    for number in range(10_000):
        try:
            response = stack.web.post(
                "/alerts/webhook/generic/?pipeline=direct", json=alert(f"until-the-end-{number:05}-")
            )
        except httpx.TransportError:
            return
        if response.status_code == 202:
            accepted.append(response.json()["delivery_id"])
        time.sleep(0.02)


def statuses_of(stack: LiveStack, delivery_ids: list[str]) -> list[DeliveryStatus]:
    with stack.database.read() as session:
        return list(session.scalars(select(Delivery.status).where(Delivery.delivery_id.in_(delivery_ids))))
