"""What a trace is of, as lines of text. `fields` are those of `webhook_app.trace_fields`."""

from collections.abc import Iterator
from typing import Any

Fields = dict[str, Any]


def heading_of(fields: Fields) -> Iterator[str]:
    """What the trace is of."""
    subject = fields["subject"]
    yield f"{subject['kind']} {subject['id']}"
    for alert in fields["alerts"]:
        yield f"alert {alert['id']}: {alert['name']}, {alert['severity']}, {alert['status']} ({alert['source']})"
        labels = ", ".join(f"{name}={value}" for name, value in alert["labels"].items())
        yield f"    fingerprint {alert['fingerprint']}" + (f"; {labels}" if labels else "")
    for incident in fields["incidents"]:
        yield f"incident {incident['id']}: {incident['title']}, {incident['severity']}, {incident['status']}"
    yield ""
