"""`watchkeeper notifications`: the messages to people, to look through and to put right.

What the commands do stands in notification_actions.py, so that --help imports none of what they need.
"""

from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from storage.vocabulary import NotificationReason, NotificationStatus

notifications = App(name="notifications", help_format="plaintext")  # Markdown takes a quarter of a second more

LIMIT_MAX = 1000
# A larger number makes the databases raise.
ID_MAX = 2**63 - 1
Json = Annotated[bool, Parameter(name="--json", help="Print JSON, as the API answers it.", negative="")]


@notifications.command(name="list")
def list_all(
    *,
    status: Annotated[
        list[NotificationStatus] | None, Parameter(help="Only those that are that; repeatable.", negative="")
    ] = None,
    channel: Annotated[str, Parameter(help="Only those to this channel.")] = "",
    incident_id: Annotated[
        int | None, Parameter(help="Only those about this incident.", validator=Number(gte=1, lte=ID_MAX))
    ] = None,
    reason: Annotated[
        list[NotificationReason] | None, Parameter(help="Only those for this reason; repeatable.", negative="")
    ] = None,
    trace_id: Annotated[str, Parameter(help="Only those of this trace.")] = "",
    since: Annotated[str, Parameter(help="Only those made then or later: 2h, 7d, 2026-09-14T06:00:00Z.")] = "",
    limit: Annotated[int, Parameter(validator=Number(gte=1, lte=LIMIT_MAX))] = 20,
    as_json: Json = False,
) -> None:
    """List messages, newest first, and what of all of them has not arrived."""
    from deployments.commands import notification_actions  # noqa: PLC0415  (keeps --help fast, here and below)

    notification_actions.list_all(
        status=status or [],
        channel=channel,
        incident_id=incident_id,
        reason=reason or [],
        trace_id=trace_id,
        since=since,
        limit=limit,
        as_json=as_json,
    )


@notifications.command
def show(notification_id: str, /, *, as_json: Json = False) -> None:
    """Show what was said in one message, what became of it, and what happens next."""
    from deployments.commands import notification_actions  # noqa: PLC0415

    notification_actions.show(notification_id, as_json=as_json)


@notifications.command
def retry(
    *notification_ids: str,
    all_dead: Annotated[bool, Parameter(help="All dead letters.", negative="")] = False,
    channel: Annotated[str, Parameter(help="With --all-dead: only those to this channel.")] = "",
) -> int:
    """Let messages be sent now that are dead letters, wait, or were discarded. Whatever worker runs takes them."""
    from deployments.commands import notification_actions  # noqa: PLC0415

    return notification_actions.retry(notification_ids, all_dead=all_dead, channel=channel)


@notifications.command
def discard(
    *notification_ids: Annotated[str, Parameter(required=True)],
    reason: Annotated[str, Parameter(help="Why, for those who look at it later.")] = "",
) -> int:
    """Set messages aside for good that wait or are dead letters."""
    from deployments.commands import notification_actions  # noqa: PLC0415

    return notification_actions.discard(notification_ids, reason=reason)
