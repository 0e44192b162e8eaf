"""Which incident an alert belongs to."""

import hashlib
import json

from storage.records import ParsedAlert
from tasks.hosts import instance_of


def group_of(alert: ParsedAlert, *, source: str, environment: str) -> tuple[str, str]:
    """The group's key (a sha256) and its readable label.

    The vendor's own grouping where it has one; else source, alert name, instance and environment, so that
    two hosts, or two things of one name, never share an incident.
    """
    if alert.group_key:
        parts = [source, environment, "group", alert.group_key]
    else:
        parts = [source, environment, alert.name, instance_of(alert.labels)]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return digest, " / ".join(part for part in parts if part)[:500]
