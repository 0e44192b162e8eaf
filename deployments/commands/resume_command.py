"""`watchkeeper resume`: a run goes on after the last stage that succeeded."""

from typing import Annotated

from cyclopts import Parameter


def resume(
    run_id: Annotated[str, Parameter(help="The run's id, or its first 8 characters or more.")],
    /,
    *,
    as_json: Annotated[
        bool, Parameter(name="--json", help="Print the result as JSON, and no progress.", negative="")
    ] = False,
) -> int:
    """Resume a run. The help text stands in cli.py."""
    from deployments.commands import resume_actions  # noqa: PLC0415  (keeps --help fast)

    return resume_actions.resume(run_id, as_json=as_json)
