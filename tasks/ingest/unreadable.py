"""An alert of our own about deliveries that nothing could be made of: somebody's alerts do not arrive.

It fires, one for each source, with the first delivery in quarantine, and ends with the first one that is
read while none of that source is left there (they were replayed or discarded).
"""

from collections.abc import Iterable

from storage.records import ParsedAlert, ParsedPayload
from storage.tables import Alert
from storage.vocabulary import AlertStatus, Severity

SOURCE = "watchkeeper"
NAME = "Webhook could not be read"
UNNAMED = "unnamed"
PREFIX = "unreadable:"


def fingerprint_of(source: str) -> str:
    """The identity of the alert about this source's deliveries."""
    return f"{PREFIX}{source or UNNAMED}"


def is_about(alert: Alert) -> bool:
    """Whether an alert of ours is about deliveries that could not be read."""
    return alert.fingerprint.startswith(PREFIX)


def unreadable_payload(source: str, *, delivery_id: str, reason: str) -> ParsedPayload:
    """A payload that says that a delivery of this source is in quarantine, and why."""
    alert = ParsedAlert(
        fingerprint=fingerprint_of(source),
        name=NAME,
        status=AlertStatus.FIRING,
        started_at=None,
        severity=Severity.WARNING,
        description=(
            f"A webhook ({source or 'its source is not known'}) could not be read, so what it says has reached "
            f"nobody: {reason}. It is kept: watchkeeper deliveries show {delivery_id}"
        ),
        labels={"source": source or UNNAMED},
        annotations={"delivery_id": delivery_id, "reason": reason},
        group_key=fingerprint_of(source),
    )
    return ParsedPayload(source=SOURCE, alerts=[alert])


def readable_payload(alerts: Iterable[Alert]) -> ParsedPayload:
    """A payload that ends these alerts of ours."""
    ended = [
        ParsedAlert(
            fingerprint=alert.fingerprint,
            name=NAME,
            status=AlertStatus.RESOLVED,
            started_at=None,
            labels=alert.labels,
            annotations=alert.annotations,
            group_key=alert.fingerprint,
        )
        for alert in alerts
    ]
    return ParsedPayload(source=SOURCE, alerts=ended)
