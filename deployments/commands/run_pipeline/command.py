"""`watchkeeper run-pipeline`: one run of a pipeline, watched to its end.

What it does stands in actions.py beside it, so that --help imports none of what that needs.
"""

from dataclasses import dataclass, field
from typing import Annotated

from cyclopts import Parameter


@Parameter(name="*", show_default=False)
@dataclass(frozen=True, kw_only=True)
class Asked:
    """The flags as they were typed. An empty text stands for a flag that was not."""

    sample: Annotated[bool, Parameter(help="Run it with a sample alert, a new one each time.", negative="")] = (
        False
    )
    source: Annotated[
        str,
        Parameter(help="Whose form the sample or the payload has; without it, the payload's own is found out."),
    ] = ""
    file: Annotated[
        str, Parameter(help="Run it with the body in this file; - is standard input.", allow_leading_hyphen=True)
    ] = ""
    payload: Annotated[str | None, Parameter(help="Run it with this JSON.", allow_leading_hyphen=True)] = None
    definition: Annotated[str, Parameter(help="The pipeline: a saved definition or a preset.")] = ""
    config: Annotated[str, Parameter(help="A JSON file with a definition, which is not saved.")] = ""
    dry_run: Annotated[bool, Parameter(help="Say what would happen, and do and store nothing.", negative="")] = (
        False
    )
    environment: Annotated[str, Parameter(help="What the alerts are of (WATCHKEEPER_ENVIRONMENT).")] = ""
    trace_id: Annotated[str, Parameter(help="The trace_id of all that comes of it, in place of a new one.")] = ""
    notify_driver: Annotated[str, Parameter(help="Tell only the channels of this driver.")] = ""
    as_json: Annotated[
        bool, Parameter(name="--json", help="Print the result as JSON, and no progress.", negative="")
    ] = False
    checks_only: Annotated[
        bool,
        Parameter(help="Check this host, raise alerts of what is found, and tell people.", negative=""),
    ] = False
    checkers: Annotated[
        list[str] | None,
        Parameter(help="Which checkers; several after one another.", consume_multiple=True, negative=""),
    ] = None
    no_incidents: Annotated[
        bool, Parameter(help="Keep the results as check runs only: no alert, no incident.", negative="")
    ] = False
    hostname: Annotated[str | None, Parameter(help="The name to store for this host (its own).")] = None
    label: Annotated[list[str], Parameter(help="A label of the alerts, KEY=VALUE; repeatable.", negative="")] = (
        field(default_factory=list)
    )
    warning_threshold: Annotated[float | None, Parameter(help="Of all chosen checkers that measure per cent.")] = (
        None
    )
    critical_threshold: Annotated[float | None, Parameter(help="The same for critical.")] = None


def run_pipeline(asked: Asked | None = None) -> int:
    """Run a pipeline. The help text stands in cli.py."""
    from deployments.commands.run_pipeline import actions as run_pipeline_actions  # noqa: PLC0415  (keeps --help fast)

    return run_pipeline_actions.run(asked or Asked())
