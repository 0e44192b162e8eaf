"""`watchkeeper trace`: the whole way of one alert. What it does stands in trace_actions.py."""

from typing import Annotated

from cyclopts import Parameter


def trace(
    subject: Annotated[
        str,
        Parameter(help="An alert's id or fingerprint, or the id of a trace, a run or a delivery."),
    ],
    /,
    *,
    as_json: Annotated[bool, Parameter(name="--json", help="Print JSON.", negative="")] = False,
) -> int:
    """Tell the whole way. The help text stands in cli.py."""
    from deployments.commands import trace_actions  # noqa: PLC0415  (keeps --help fast)

    return trace_actions.trace(subject, as_json=as_json)
