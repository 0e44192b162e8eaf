"""The alert sources, in the order in which an unnamed body is offered to them.

To add one: a module with `detect`, `check` and `parse`, and a line here.
"""

from collections.abc import Mapping
from datetime import UTC, tzinfo
from typing import Any

from storage.records import ParsedAlert, ParsedPayload
from storage.storable import storable
from tasks.ingest.sources import alertmanager, datadog, generic, grafana, newrelic, opsgenie, pagerduty, zabbix
from tasks.ingest.sources.base import Source, UnreadablePayloadError
from tasks.ingest.times import in_utc

SOURCES: dict[str, Source] = {
    "grafana": grafana,
    "alertmanager": alertmanager,
    "pagerduty": pagerduty,
    "datadog": datadog,
    "newrelic": newrelic,
    "opsgenie": opsgenie,
    "zabbix": zabbix,
    "generic": generic,
}
# Reads whatever has a name, so it is asked only where no vendor's source knows the body.
LAST = "generic"
TIMES = ("started_at", "ended_at", "occurred_at")


def recognise(payload: Any, *, source: str = "") -> str:
    """The name of the source that reads this payload; a named one always wins.

    Raises UnreadablePayloadError where none does, or where several do.
    """
    name = source or _detect(payload)
    if name not in SOURCES:  # a delivery may be older than this list, or come from a flow's parameters
        raise UnreadablePayloadError(f"the source is not known; one of {', '.join(SOURCES)}")
    SOURCES[name].check(payload)
    return name


def parse(payload: Any, *, source: str = "", zones: Mapping[str, tzinfo] | None = None) -> ParsedPayload:
    """The alerts of a payload; `zones` says in which zone a source writes times that name none (UTC).

    Raises UnreadablePayloadError where nothing can be made of it.
    """
    payload = storable(payload)
    name = recognise(payload, source=source)
    parsed = SOURCES[name].parse(payload)
    zone = (zones or {}).get(name, UTC)
    return parsed.model_copy(update={"alerts": [_in_utc(alert, zone) for alert in parsed.alerts]})


def _detect(payload: Any) -> str:
    found = [name for name, candidate in SOURCES.items() if candidate.detect(payload)]
    named = [name for name in found if name != LAST] or found
    if len(named) == 1:
        return named[0]
    if named:
        raise UnreadablePayloadError(
            f"ambiguous payload: it could be {' or '.join(named)}; post to /alerts/webhook/<source>/"
        )
    raise UnreadablePayloadError(
        f"no source recognises this payload (top level: {_shape(payload)}); "
        f"post to /alerts/webhook/<source>/ with one of {', '.join(SOURCES)}"
    )


def _in_utc(alert: ParsedAlert, zone: tzinfo) -> ParsedAlert:
    naive = {name: moment for name in TIMES if (moment := getattr(alert, name)) and moment.tzinfo is None}
    if not naive:
        return alert
    return alert.model_copy(update={name: in_utc(moment, zone) for name, moment in naive.items()})


def _shape(payload: Any) -> str:
    return {dict: "object", list: "array", str: "string", type(None): "null"}.get(type(payload), "number")
