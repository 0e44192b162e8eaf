"""`watchkeeper doctor`.

What it does stands in doctor_actions.py, so that --help imports none of what it needs.
"""

from typing import Annotated

from cyclopts import Parameter


def doctor(
    *,
    send: Annotated[
        bool, Parameter(help="Send a real test message through each active channel as well.", negative="")
    ] = False,
    as_json: Annotated[bool, Parameter(name="--json", help="Print JSON.", negative="")] = False,
) -> int:
    """Say what is wrong with this installation, and what to do about it."""
    from deployments.commands import doctor_actions  # noqa: PLC0415  (keeps --help fast)

    return doctor_actions.examine(send=send, as_json=as_json)
