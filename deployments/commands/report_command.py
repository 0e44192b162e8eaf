"""`watchkeeper report`: the last day and week in figures. What it does stands in report_actions.py."""

from typing import Annotated

from cyclopts import Parameter


def report(*, as_json: Annotated[bool, Parameter(name="--json", help="Print JSON.", negative="")] = False) -> None:
    """Print the figures. The help text stands in cli.py."""
    from deployments.commands import report_actions  # noqa: PLC0415  (keeps --help fast)

    report_actions.report(as_json=as_json)
