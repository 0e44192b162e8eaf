"""Saved definitions, their deployments and schedules, and every way to resume, on one stack as users run it."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from moody import MoodySink
from prefect.states import AwaitingRetry, Cancelling, Scheduled
from prefect_views import (
    alert,
    at_node,
    failing_run,
    find_deployment,
    find_failed,
    newest_flow_run,
    order,
    over,
    payload_of,
    prefect,
    save,
    schedules_of,
    set_schedule,
    show,
    succeeded,
    wait_for_flow_run,
)
from sqlalchemy import delete, func, select
from stack import LiveStack, live_stack, wait_until

from deployments.work_pool import WORK_POOL
from flows.report import TAG
from storage import definitions, runs, workers
from storage.tables import ChannelState, CheckRun
from tasks.definition.presets import preset

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

NOTIFY_ONLY = {"nodes": [{"id": "ingest", "type": "ingest", "next": "tell"}, {"id": "tell", "type": "notify"}]}
WATCH = {
    "nodes": [
        {
            "id": "look",
            "type": "context",
            "config": {"checker_names": ["memory"], "checkers": {"memory": {"warning_threshold": 0.001}}},
            "next": "tell",
        },
        {"id": "tell", "type": "notify"},
    ]
}


@pytest.fixture(scope="module")
def sink() -> Iterator[MoodySink]:
    with MoodySink() as sink:
        yield sink


@pytest.fixture(scope="module")
def stack(sink: MoodySink) -> Iterator[LiveStack]:
    environment = {"ORCHESTRATION_MAX_RETRIES_PER_STAGE": "1", "ORCHESTRATION_BACKOFF_FACTOR": "0.5"}
    with live_stack(**environment) as stack:
        stack.add_channel("sink", "generic", {"endpoint": sink.url})
        yield stack


@pytest.fixture(autouse=True)
def well(stack: LiveStack, sink: MoodySink) -> None:
    """The channel refuses nothing, and does not rest any more from what the test before had it refuse."""
    sink.refused.clear()
    with stack.database.write() as session:
        session.execute(delete(ChannelState))


def test_definition_saved_while_all_runs_can_be_run_from_prefect_at_once(
    stack: LiveStack, sink: MoodySink
) -> None:
    save(stack, "a/b", NOTIFY_ONLY)  # a name that Prefect takes for no deployment
    save(stack, "faulty", {"nodes": [{"id": "x", "type": "no such type"}]})
    saved = time.monotonic()
    save(stack, "night.shift-2", NOTIFY_ONLY)

    deployment = wait_until(lambda: find_deployment(stack, "night.shift-2"), 10, what="its deployment")
    took_seconds = time.monotonic() - saved
    said = prefect(stack, "deployment", "run", "night.shift-2/night.shift-2", "--param", payload_of("by-night"))
    flow_run = wait_for_flow_run(stack, newest_flow_run(stack, deployment).id, {"COMPLETED"})

    print(f"the deployment was there after {took_seconds:.1f} s")
    assert took_seconds < 3
    assert said.returncode == 0, said.stderr
    assert show(stack, str(flow_run.id))["status"] == "NOTIFIED"
    assert len(sink.about("by-night")) == 1
    assert find_deployment(stack, "faulty")


def test_pipeline_that_is_renamed_or_switched_off_loses_its_deployment_and_a_strangers_stays(
    stack: LiveStack,
) -> None:
    save(stack, "early", NOTIFY_ONLY)
    early = wait_until(lambda: find_deployment(stack, "early"), 10, what="its deployment")
    with stack.prefect() as client:
        stranger = client.create_deployment(
            flow_id=early.flow_id,
            name="strangers",
            entrypoint=early.entrypoint,
            work_pool_name=WORK_POOL,
            tags=[TAG],
        )
        tomorrow = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(days=1))
        waiting = client.create_flow_run_from_deployment(early.id, state=tomorrow)

    with stack.database.write() as session:
        definitions.rename(session, "early", "late")
    wait_until(lambda: find_deployment(stack, "late"), 10, what="the new deployment")
    wait_until(lambda: not find_deployment(stack, "early"), 10, what="the old one to go")
    with stack.database.write() as session:
        definitions.set_active(session, "late", is_active=False)
    wait_until(lambda: not find_deployment(stack, "late"), 10, what="the deactivated one to go")

    ended = wait_for_flow_run(stack, waiting.id, {"CANCELLED"})
    assert ended.state
    assert "'early' was deactivated, renamed or deleted before this run began" in (ended.state.message or "")
    with stack.prefect() as client:
        assert client.read_deployment(stranger).name == "strangers"


def test_flow_run_of_a_pipeline_that_is_gone_when_it_begins_fails_and_says_why(stack: LiveStack) -> None:
    with stack.database.write() as session:
        session.execute(delete(workers.Worker))  # the worker says again that it lives
        definitions.set_active(session, "ai-analyzed", is_active=False)
        session.commit()
        deployment = find_deployment(stack, "ai-analyzed")
    with stack.prefect() as client:
        wait_until(lambda: not find_deployment(stack, "ai-analyzed"), 10, what="its deployment to go")
        assert deployment
        flow_id = client.read_flow_by_name("ai-analyzed").id
        again = client.create_deployment(flow_id=flow_id, name="again", work_pool_name=WORK_POOL)
        flow_run = client.create_flow_run_from_deployment(again)

    ended = wait_for_flow_run(stack, flow_run.id, {"FAILED"})

    assert ended.state
    assert ended.state.message == "the pipeline cannot be run: pipeline 'ai-analyzed' is deactivated"
    with stack.database.write() as session:
        definitions.set_active(session, "ai-analyzed", is_active=True)
        [worker] = wait_until(lambda: workers.alive(session), 10, what="the worker's beat")
        assert worker.has_prefect


def test_schedule_of_a_definition_stays_as_people_left_it_until_it_changes_here(stack: LiveStack) -> None:
    save(stack, "hourly", WATCH)
    set_schedule(stack, "hourly", {"every_seconds": 3600})
    first = wait_until(lambda: schedules_of(stack, "hourly"), 10, what="its schedule")
    with stack.prefect() as client:
        deployment = client.read_deployment_by_name("hourly/hourly")
        path = f"/deployments/{deployment.id}/schedules/{deployment.schedules[0].id}"
        client.request("PATCH", path, json={"active": False})

    save(stack, "hourly-2", WATCH)
    wait_until(lambda: find_deployment(stack, "hourly-2"), 10, what="all to be registered again")
    left_alone = schedules_of(stack, "hourly")
    set_schedule(stack, "hourly", {"cron": "30 6 * * MON-FRI", "timezone": "Europe/Berlin"})
    changed = wait_until(
        lambda: [each for each in schedules_of(stack, "hourly") if each[0] != timedelta(hours=1)],
        10,
        what="the new schedule",
    )
    set_schedule(stack, "hourly", None)
    wait_until(lambda: not schedules_of(stack, "hourly"), 10, what="the schedule to go")

    assert first == [(timedelta(hours=1), True)]
    assert left_alone == [(timedelta(hours=1), False)]
    assert changed == [("30 6 * * MON-FRI Europe/Berlin", True)]


def by_api(stack: LiveStack, run_id: str, flow_run_id: str) -> None:  # noqa: ARG001
    """What the API and the command do."""
    with stack.database.write() as session:
        runs.resume(session, run_id)


def by_button(stack: LiveStack, run_id: str, flow_run_id: str) -> None:  # noqa: ARG001
    """What Retry in the Prefect UI does."""
    with stack.prefect() as client:
        state = AwaitingRetry(message="Retry from the UI")
        answer = client.set_flow_run_state(UUID(flow_run_id), state, force=False)
        assert answer.status.value == "ACCEPT"


def by_prefects_command(stack: LiveStack, run_id: str, flow_run_id: str) -> None:  # noqa: ARG001
    said = prefect(stack, "flow-run", "retry", flow_run_id)
    assert said.returncode == 0, said.stdout + said.stderr


def from_webhook(stack: LiveStack, name: str) -> str:
    return str(stack.wait_for_run(stack.post(alert(name), pipeline="full"))["run_id"])


def from_prefect(stack: LiveStack, name: str) -> str:
    deployment = find_deployment(stack, "full")
    assert deployment
    with stack.prefect() as client:
        flow_run = client.create_flow_run_from_deployment(deployment.id, parameters={"payload": alert(name)})
    return str(wait_for_flow_run(stack, flow_run.id, {"FAILED"}).id)


Begin = Callable[[LiveStack, str], str]
Resume = Callable[[LiveStack, str, str], None]


@pytest.mark.parametrize(
    ("node_id", "begin", "resume"),
    [
        ("ingest", from_webhook, by_api),
        ("check", from_webhook, by_button),
        ("analyze", from_webhook, by_prefects_command),
        ("notify", from_webhook, by_api),
        ("notify", from_prefect, by_button),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_resume_goes_on_under_the_same_flow_run_with_all_tries_again(
    stack: LiveStack, sink: MoodySink, node_id: str, begin: Begin, resume: Resume
) -> None:
    name = f"{node_id}-{begin.__name__}-{resume.__name__}"
    failed = show(stack, failing_run(stack, sink, node_id, lambda: begin(stack, name)))
    tried = len(sink.about(name))
    wait_for_flow_run(stack, failed["flow_run_id"], {"FAILED"})
    if node_id == "notify":
        sink.answer_with(503)  # so that it takes the second of its two tries
        with stack.database.write() as session:
            session.execute(delete(ChannelState))

    resume(stack, failed["run_id"], failed["flow_run_id"])
    flow_run = wait_for_flow_run(stack, failed["flow_run_id"], {"COMPLETED"})

    run = show(stack, failed["run_id"])
    assert (run["status"], run["via"], run["flow_run_id"]) == ("NOTIFIED", "prefect", failed["flow_run_id"])
    assert flow_run.state_name == "Completed"
    assert succeeded(run) == {"ingest": 1, "check": 1, "analyze": 1, "notify": 1}
    tries = [stage["status"] for stage in run["stages"] if stage["node_id"] == node_id]
    again = ["RETRYING", "SUCCEEDED"] if node_id == "notify" else ["SUCCEEDED"]
    assert tries == ["RETRYING", "FAILED", *again]
    assert len(sink.about(name)) - tried == len(again)
    with stack.database.read() as session:
        count = select(func.count()).where(CheckRun.trace_id == run["trace_id"])
        assert session.scalar(count) == 3


def test_run_begun_by_a_schedule_is_resumed_by_prefects_command(stack: LiveStack, sink: MoodySink) -> None:
    sink.refused.add("")
    save(stack, "often", WATCH)
    set_schedule(stack, "often", {"every_seconds": 10})
    failed_id = wait_until(lambda: find_failed(stack, "often"), 60, what="a scheduled run that failed")
    set_schedule(stack, "often", None)
    wait_until(lambda: not schedules_of(stack, "often"), 10, what="the schedule to go")
    sink.refused.clear()
    with stack.database.write() as session:
        session.execute(delete(ChannelState))

    by_prefects_command(stack, failed_id, failed_id)
    flow_run = wait_for_flow_run(stack, failed_id, {"COMPLETED"})

    assert flow_run.auto_scheduled
    assert show(stack, failed_id)["status"] == "NOTIFIED"
    assert succeeded(show(stack, failed_id)) == {"look": 1, "tell": 1}


def test_resume_without_the_flow_run_makes_a_new_one(stack: LiveStack, sink: MoodySink) -> None:
    failed = show(stack, failing_run(stack, sink, "notify", lambda: from_webhook(stack, "vacuumed")))
    wait_for_flow_run(stack, failed["flow_run_id"], {"FAILED"})
    with stack.prefect() as client:
        client.delete_flow_run(UUID(failed["flow_run_id"]))

    by_api(stack, failed["run_id"], "")
    run = wait_until(lambda: over(stack, failed["run_id"]), 30, what="the end of the run")

    assert (run["status"], run["via"]) == ("NOTIFIED", "prefect")
    assert run["flow_run_id"] != failed["flow_run_id"]
    assert wait_for_flow_run(stack, run["flow_run_id"], {"COMPLETED"})


def test_run_that_was_cancelled_is_resumed(stack: LiveStack, sink: MoodySink) -> None:
    slow = preset("health-checked").model_dump(mode="json")
    slow["nodes"][1]["config"]["checkers"]["cpu"] = {"samples": 6, "sample_interval": 0.3}
    with stack.database.write() as session:
        run_id = order(session, slow, "cancelled", definition_name="health-checked", is_adhoc=False)
    flow_run_id = wait_until(lambda: at_node(stack, run_id, "check"), 20, what="the check stage")
    with stack.prefect() as client:
        client.set_flow_run_state(UUID(flow_run_id), Cancelling())
    wait_for_flow_run(stack, flow_run_id, {"CANCELLED"})

    by_api(stack, run_id, flow_run_id)
    flow_run = wait_for_flow_run(stack, flow_run_id, {"COMPLETED"})

    assert flow_run.state_name == "Completed"
    assert show(stack, run_id)["status"] == "NOTIFIED"
    assert succeeded(show(stack, run_id)) == {"ingest": 1, "check": 1, "notify": 1}
    assert len(sink.about("cancelled")) == 1


def test_run_of_an_unsaved_definition_is_resumed_without_prefect(stack: LiveStack, sink: MoodySink) -> None:
    sink.refused.add("ad-hoc")
    with stack.database.write() as session:
        run_id = order(session, NOTIFY_ONLY, "ad-hoc", definition_name="__adhoc__", is_adhoc=True)
    failed = wait_until(lambda: over(stack, run_id), 30, what="its failure")
    sink.refused.clear()

    by_api(stack, run_id, "")
    run = wait_until(lambda: over(stack, run_id), 30, what="the end of the run")

    assert (failed["status"], run["status"]) == ("FAILED", "NOTIFIED")
    assert (run["via"], run["flow_run_id"]) == ("direct", None)


def test_run_of_a_pipeline_deleted_since_goes_on_with_the_version_it_began_with(
    stack: LiveStack, sink: MoodySink
) -> None:
    save(stack, "short-lived", NOTIFY_ONLY)
    deployment = wait_until(lambda: find_deployment(stack, "short-lived"), 10, what="its deployment")
    sink.refused.add("outlived")
    with stack.prefect() as client:
        parameters = {"payload": alert("outlived")}
        flow_run = client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
    run_id = str(wait_for_flow_run(stack, flow_run.id, {"FAILED"}).id)
    with stack.database.write() as session:
        definitions.remove(session, "short-lived")
    wait_until(lambda: not find_deployment(stack, "short-lived"), 10, what="its deployment to go")
    with stack.prefect() as client:
        client.delete_flow_run(UUID(run_id))
    sink.refused.clear()

    by_api(stack, run_id, "")
    run = wait_until(lambda: over(stack, run_id), 30, what="the end of the run")

    assert (run["status"], run["via"]) == ("NOTIFIED", "direct")
    assert succeeded(run) == {"ingest": 1, "tell": 1}
