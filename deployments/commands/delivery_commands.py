"""`watchkeeper deliveries`: the inbox, to look through and to put right.

What the commands do stands in delivery_actions.py, so that --help imports none of what they need.
"""

from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from storage.vocabulary import DeliveryStatus

deliveries = App(name="deliveries", help_format="plaintext")  # Markdown takes a quarter of a second more

LIMIT_MAX = 1000
Json = Annotated[bool, Parameter(name="--json", help="Print JSON, as the API answers it.", negative="")]


@deliveries.command(name="list")
def list_all(
    *,
    status: Annotated[DeliveryStatus | None, Parameter(help="Only those that are that.")] = None,
    source: Annotated[str | None, Parameter(help='Only those of this source; "" where it is not known.')] = None,
    pipeline: Annotated[str, Parameter(help="Only those for this pipeline.")] = "",
    trace_id: Annotated[str, Parameter(help="Only those of this trace.")] = "",
    since: Annotated[str, Parameter(help="Only those received then or later: 2h, 7d, 2026-09-14T06:00:00Z.")] = "",
    limit: Annotated[int, Parameter(validator=Number(gte=1, lte=LIMIT_MAX))] = 20,
    as_json: Json = False,
) -> None:
    """List deliveries, newest first."""
    from deployments.commands import delivery_actions  # noqa: PLC0415  (keeps --help fast, here and below)

    delivery_actions.list_all(
        status=status,
        source=source,
        pipeline=pipeline,
        trace_id=trace_id,
        since=since,
        limit=limit,
        as_json=as_json,
    )


@deliveries.command
def show(
    delivery_id: str,
    /,
    *,
    as_json: Json = False,
    body: Annotated[bool, Parameter(help="Print the body, byte for byte, and nothing else.", negative="")] = False,
) -> None:
    """Show what became of one delivery."""
    from deployments.commands import delivery_actions  # noqa: PLC0415

    delivery_actions.show(delivery_id, as_json=as_json, body=body)


@deliveries.command
def replay(
    *delivery_ids: str,
    all_quarantined: Annotated[bool, Parameter(help="All that could not be read.", negative="")] = False,
    source: Annotated[str | None, Parameter(help="Have them read as this source's.")] = None,
) -> int:
    """Let a run take deliveries once more. Alerts that are up to date are not changed by that."""
    from deployments.commands import delivery_actions  # noqa: PLC0415

    return delivery_actions.replay(delivery_ids, all_quarantined=all_quarantined, source=source)


@deliveries.command
def discard(
    *delivery_ids: Annotated[str, Parameter(required=True)],
    reason: Annotated[str, Parameter(help="Why, for those who look at it later.")] = "",
) -> int:
    """Set deliveries aside for good that wait or are quarantined."""
    from deployments.commands import delivery_actions  # noqa: PLC0415

    return delivery_actions.discard(delivery_ids, reason=reason)
