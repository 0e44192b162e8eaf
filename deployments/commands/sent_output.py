"""What is said of a one-off message that went out."""

from typing import TYPE_CHECKING

from deployments.commands.check_output import plain, print_table

if TYPE_CHECKING:
    from tasks.notify.one_off import Sent


def print_sent(name: str, kind: str, sent: "Sent") -> None:
    """Where it went, what the destination said of it, and how long that took; or that nothing was sent."""
    rows = {
        "title": sent.notification.title,
        "id": sent.receipt.provider_id or sent.notification.idempotency_key,
        "detail": sent.receipt.detail,
        "duration": f"{sent.duration_seconds:.2f} s",
    }
    place = f"{name} ({kind})" if name != kind else kind
    is_sent = not sent.receipt.detail.startswith("not sent")
    print_table(
        (),
        [(key, plain(value)) for key, value in rows.items() if value],
        before=plain(f"{place} has the message", "green")
        if is_sent
        else plain(f"{place} has no message", "yellow"),
    )
