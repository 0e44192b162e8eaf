"""Which incident an alert belongs to."""

import hashlib
import json
from collections.abc import Sequence

from storage.records import ParsedAlert
from tasks.hosts import instance_of


def group_of(
    alert: ParsedAlert, *, source: str, environment: str, group_by: Sequence[str] = ()
) -> tuple[str, str]:
    """The group's key (a sha256) and its readable label.

    The labels of `group_by`, across all sources, for an alert that has one of them; else the vendor's own
    grouping where it has one; else source, alert name, instance and environment, so that two hosts, or two
    things of one name, never share an incident.
    """
    if any(alert.labels.get(name) for name in group_by):
        parts = [environment, "labels", *(f"{name}={alert.labels.get(name, '')}" for name in group_by)]
    elif alert.group_key:
        parts = [source, environment, "group", alert.group_key]
    else:
        parts = [source, environment, alert.name, instance_of(alert.labels)]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return digest, " / ".join(part for part in parts if part)[:500]
