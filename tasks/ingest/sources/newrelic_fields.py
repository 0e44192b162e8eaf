"""What both forms of New Relic's webhook share: unset values, priorities, and what an alert is about."""

from collections.abc import Iterable, Mapping
from typing import Any

from storage.vocabulary import Severity
from tasks.hosts import instance_of
from tasks.ingest.severity import normalise_severity
from tasks.ingest.sources.base import text_of

UNSET = frozenset(["", "null", "na", "n/a"])
HOST_KINDS = frozenset(["host", "server"])


def said(payload: Mapping[str, Any], *names: str) -> str:
    """The first of these fields that is set, as text; of a list, its first item."""
    for name in names:
        value = payload.get(name)
        text = text_of(next(iter(value), None) if isinstance(value, list) else value).strip()
        if text.casefold() not in UNSET:
            return text
    return ""


def joined(value: Any) -> str:
    """A list of names, or a single one, as text."""
    names = value if isinstance(value, list) else [value]
    return ", ".join(dict.fromkeys(text for name in names if (text := text_of(name).strip())))


def severity_of(word: str) -> Severity | None:
    """HIGH is the priority that an incident of severity WARNING gives to its issue.

    https://docs.newrelic.com/docs/alerts/get-notified/incident-workflows/
    """
    return Severity.WARNING if word.casefold() == "high" else normalise_severity(word)


def entities_of(value: Any) -> list[tuple[str, str]]:
    """Names with kinds of a list of entities, or of targets: objects, or names alone."""
    entities = value if isinstance(value, list) else [value]
    return [
        (said(entity, "name"), said(entity, "type"))
        if isinstance(entity, Mapping)
        else (text_of(entity).strip(), "")
        for entity in entities
    ]


def about(labels: Mapping[str, str], entities: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Labels with the entities, given by name and kind; the only one is the host, or else the instance."""
    kinds = {name: kind.casefold() for name, kind in entities if name.casefold() not in UNSET}
    found = dict(labels)
    if kinds:
        found["entity"] = ", ".join(kinds)
    hosts = [name for name, kind in kinds.items() if kind in HOST_KINDS]
    if len(hosts) == 1:
        found["host"] = hosts[0]
    elif len(kinds) == 1 and not instance_of(found):
        found["instance"] = next(iter(kinds))
    return found
