"""`watchkeeper monitor-pipeline`: the runs, and one of them whole.

What it does stands in monitor_actions.py, so that --help imports none of what that needs.
"""

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

LIMIT_MAX = 1000


def monitor_pipeline(
    *,
    limit: Annotated[
        int,
        Parameter(help="How many runs to list (10).", validator=Number(gte=1, lte=LIMIT_MAX), show_default=False),
    ] = 10,
    status: Annotated[
        str,
        Parameter(help="Only those: completed, failed, running, or a run's own status.", show_default=False),
    ] = "",
    run_id: Annotated[
        str, Parameter(help="This run whole; 8 characters of its id are enough.", show_default=False)
    ] = "",
    follow: Annotated[bool, Parameter(help="Go on with what changes.", negative="", show_default=False)] = False,
    as_json: Annotated[
        bool,
        Parameter(
            name="--json",
            help="Print JSON; with --follow a line for each change.",
            negative="",
            show_default=False,
        ),
    ] = False,
) -> int:
    """Look at runs. The help text stands in cli.py."""
    from deployments.commands import monitor_actions  # noqa: PLC0415  (keeps --help fast)

    if run_id:
        return monitor_actions.show(run_id, follow=follow, as_json=as_json)
    return monitor_actions.list_all(status=status, limit=limit, follow=follow, as_json=as_json)
