"""Datadog's tags, `name:value` or a bare name, separated by commas: as labels, and as the group of a monitor."""

from collections.abc import Iterable, Mapping

WHOLE_MONITOR = frozenset(["*", "total"])
LABELS = {"hostname": "hostname", "metric": "alert_metric", "monitor_id": "alert_id"}


def labels_of(fields: Mapping[str, str]) -> dict[str, str]:
    """Tags by name, several values of one joined; then the group, which says which of them it is about."""
    values: dict[str, list[str]] = {}
    for name, value in _pairs(_parts(fields.get("tags", ""))):
        values.setdefault(name, []).append(value)
    tags = {name: ",".join(dict.fromkeys(several)) for name, several in values.items()}
    said = {label: fields[name] for label, name in LABELS.items() if name in fields}
    return tags | dict(_pairs(scope_of(fields))) | said


def scope_of(fields: Mapping[str, str]) -> list[str]:
    """The tags that make the group; none where the whole monitor is one."""
    return [part for part in _parts(fields.get("alert_scope", "")) if part not in WHOLE_MONITOR]


def _pairs(tags: Iterable[str]) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (tag.partition(":") for tag in tags)]


def _parts(text: str) -> list[str]:
    return [part for part in map(str.strip, text.split(",")) if part]
