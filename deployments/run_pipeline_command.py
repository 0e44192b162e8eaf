"""`watchkeeper run-pipeline --checks-only`: the local-monitor pipeline, in this process and without Prefect."""

import asyncio
import logging
import sys
from typing import Annotated, Any

from cyclopts import Parameter
from pydantic import ValidationError

from deployments.check_output import print_json, print_lines
from deployments.check_report import print_results
from deployments.errors import WrongUseError
from deployments.installed import installed_database
from flows.direct import run_directly
from flows.execution import Outcome, PostponedError
from flows.library import find_definition
from storage import database, runs, stages, told
from storage.records import ChecksResult
from storage.runs import RunHeldError
from storage.settings import Settings, load
from storage.tables.base import utc_now
from storage.vocabulary import RunStatus, Stage
from tasks.check.stage import ContextConfig, plan
from tasks.errors import PermanentError
from webhook_app.notification_fields import fate_line, notification_fields, passed_over_fields, passed_over_line

PIPELINE = "local-monitor"
NODE_TYPE = "context"


def run_pipeline(
    *,
    checks_only: Annotated[
        bool, Parameter(help="Check this host, raise alerts of what is found, and tell people.", negative="")
    ] = False,
    checkers: Annotated[
        list[str] | None,
        Parameter(help="Which checkers; several after one another.", consume_multiple=True, negative=""),
    ] = None,
    no_incidents: Annotated[
        bool, Parameter(help="Keep the results as check runs only: no alert, no incident.", negative="")
    ] = False,
    hostname: Annotated[str | None, Parameter(help="The name to store for this host (its own).")] = None,
    label: Annotated[
        list[str] | None, Parameter(help="A label of the alerts, KEY=VALUE; repeatable.", negative="")
    ] = None,
    warning_threshold: Annotated[
        float | None, Parameter(help="Of all chosen checkers that measure per cent.")
    ] = None,
    critical_threshold: Annotated[float | None, Parameter(help="The same for critical.")] = None,
    as_json: Annotated[bool, Parameter(name="--json", help="Print the run as JSON.", negative="")] = False,
) -> int:
    """Run the local-monitor pipeline. The help text stands in cli.py."""
    if not checks_only:
        raise WrongUseError("run-pipeline: say --checks-only; other pipelines are run by a webhook or by Prefect")
    if checkers == []:
        raise WrongUseError("--checkers: name at least one, or leave it out for the default ones")
    if hostname is not None and not hostname.strip():
        raise WrongUseError("--hostname: must not be blank")
    settings = load()
    wanted = {
        "checker_names": checkers,
        "incidents": False if no_incidents else None,
        "hostname": hostname,
        "labels": _labels(label or []),
        "warning_threshold": warning_threshold,
        "critical_threshold": critical_threshold,
    }
    config = {key: value for key, value in wanted.items() if value not in (None, {})}
    _check(config, settings)
    logging.getLogger("watchkeeper").addHandler(logging.NullHandler())  # its end is told below
    with installed_database(settings):
        run_id = _create(settings, config)
        outcome = asyncio.run(_to_its_end(run_id))
        _print(outcome, run_id, as_json=as_json)
    return 1 if outcome.status is RunStatus.FAILED else 0


def _check(config: dict[str, Any], settings: Settings) -> None:
    """Refuse what cannot be meant before anything is stored."""
    try:
        plan(ContextConfig.model_validate(config), settings.checkers)
    except ValidationError as error:
        faults = (f"{fault['loc'][0]}: {fault['msg'].removeprefix('Value error, ')}" for fault in error.errors())
        raise WrongUseError("; ".join(faults)) from None
    except PermanentError as error:
        raise WrongUseError(str(error)) from None


def _labels(texts: list[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not key or not separator:
            raise WrongUseError(f"--label {text!r}: must be KEY=VALUE")
        labels[key] = value
    return labels


def _create(settings: Settings, config: dict[str, Any]) -> str:
    with database.get().write() as session:
        return runs.create_run(
            session,
            definition_name=PIPELINE,
            definition_version=find_definition(session, PIPELINE).version,
            environment=settings.environment,
            max_retries=settings.max_retries_per_stage,
            node_configs={NODE_TYPE: config},
        ).run_id


async def _to_its_end(run_id: str) -> Outcome:
    while True:
        try:
            return await run_directly(run_id)
        except PostponedError as postponed:
            # A worker that runs beside us may take it up first; then it is no longer ours.
            await asyncio.sleep(postponed.delay_seconds)
        except RunHeldError as held:
            raise PermanentError(f"a worker goes on with it: {held}") from None


def _print(outcome: Outcome, run_id: str, *, as_json: bool) -> None:
    checks, messages, passed_over = _results(run_id)
    if as_json:
        form = {
            "run_id": run_id,
            "status": outcome.status,
            "message": outcome.message,
            "checks": checks.model_dump(mode="json") if checks else None,
            "notifications": messages,
            "passed_over": passed_over,
        }
        print_json(form)
    else:
        if checks and checks.checks:
            print_results(checks.checks)
        changes = checks.changes if checks else []
        now = utc_now()
        print_lines(
            [
                *(f"incident {change.incident_id} {change.reason}" for change in changes),
                *(fate_line(message, now=now) for message in messages),
                *map(passed_over_line, passed_over),
                f"run {run_id}: {outcome.status}",
            ]
        )
    if outcome.status is RunStatus.FAILED:
        sys.stderr.write(f"watchkeeper: {outcome.message}\n")


def _results(run_id: str) -> tuple[ChecksResult | None, list[dict[str, Any]], list[dict[str, Any]]]:
    """What was found, the messages about it, and who was not told."""
    with database.get().read() as session:
        run = runs.find_run(session, run_id)
        outputs = list(stages.outputs_of(session, run.id).values()) if run else []
        messages = [notification_fields(row) for row in told.messages_of_run(session, run_id)]
        passed_over = passed_over_fields(told.passed_over_of_runs(session, [run.id] if run else []))
    checks = next((output for output in outputs if output.get("stage") == Stage.CHECK), None)
    return ChecksResult.model_validate(checks) if checks else None, messages, passed_over
