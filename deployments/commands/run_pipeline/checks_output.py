"""What `run-pipeline --checks-only` prints: the checks, and what came of them."""

import sys
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from deployments.commands.check_output import print_lines
from deployments.commands.check_report import print_results
from storage import runs, stages, told
from storage.records import ChecksResult
from storage.tables.base import utc_now
from storage.vocabulary import RunStatus, Stage
from webhook_app.notification_fields import fate_line, notification_fields, passed_over_fields, passed_over_line


def checks_fields(session: Session, run_id: str) -> dict[str, Any]:
    """What a run of checks says beside the result object: the checks, the messages, and who was not told."""
    run = runs.find_run(session, run_id)
    if run is None:
        raise runs.RunNotFoundError(f"no pipeline run {run_id}")
    outputs = stages.outputs_of(session, run.id).values()
    checks = next((output for output in outputs if output.get("stage") == Stage.CHECK), None)
    return {
        "run_status": run.status,
        "message": run.last_error_message if run.status is RunStatus.FAILED else run.status,
        "checks": checks,
        "notifications": [notification_fields(row) for row in told.messages_of_run(session, run_id)],
        "passed_over": passed_over_fields(told.passed_over_of_runs(session, [run.id])),
    }


def print_checks(fields: Mapping[str, Any]) -> None:
    """A table of the checks, and a line for all that came of them."""
    checks = ChecksResult.model_validate(fields["checks"]) if fields["checks"] else None
    if checks and checks.checks:
        print_results(checks.checks)
    now = utc_now()
    print_lines(
        [
            *(f"incident {change.incident_id} {change.reason}" for change in (checks.changes if checks else ())),
            *(fate_line(message, now=now) for message in fields["notifications"]),
            *map(passed_over_line, fields["passed_over"]),
            f"run {fields['run_id']}: {fields['run_status']}",
        ]
    )
    if fields["error"]:
        sys.stderr.write(f"watchkeeper: {fields['error']}\n")
