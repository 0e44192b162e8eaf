"""How Zabbix writes what it knows: keys, macros, times and tags. What they mean for an alert is in zabbix.py.

Zabbix has no format of its own: a script posts the macros that its author chose, under keys of its choice.
Macros: https://www.zabbix.com/documentation/7.0/en/manual/appendix/macros/supported_by_location
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from tasks.ingest.sources.base import first_text, text_of
from tasks.ingest.times import read_time

TAGS = ("eventtags", "eventtagsjson", "triggertags", "tags")
# What Zabbix could not fill in: a built-in or user macro as it was written, one with a function, or this word.
UNSET = re.compile(r"\{(?:[$#?][^{}]*|[A-Z][A-Z0-9_]*(?:\.[^{}]*)?)\}|\{\{[A-Z].*\}|\*UNKNOWN\*", re.DOTALL)
DOTTED_DATE = re.compile(r"^(\d{4})\.(\d\d)\.(\d\d)")


def plain(key: str) -> str:
    """A key by its letters and digits alone: `event_id`, `eventid`, `EVENT.ID` and `{EVENT.ID}` are one."""
    return re.sub(r"[^a-z0-9]", "", key.casefold())


def names_one_of(payload: Mapping[str, Any], plain_keys: Iterable[str]) -> bool:
    """Whether one of these fields is there with anything in it, be it a macro that is not filled in."""
    wanted = set(plain_keys)
    return any(plain(key) in wanted and _text(value) for key, value in payload.items())


def fields_of(payload: Mapping[str, Any]) -> dict[str, str]:
    """All that is set, as text under plain keys; of two spellings of a key the first counts."""
    fields: dict[str, str] = {}
    for key, value in payload.items():
        name = plain(key)
        text = text_of(value) if name in TAGS else _text(value)
        if text and not UNSET.fullmatch(text):
            fields.setdefault(name, text)
    return fields


def moment_of(fields: Mapping[str, str], kind: str) -> datetime | None:
    """When an `event`, `eventrecovery` or `eventupdate` happened: a timestamp, else date and time of the day.

    A date and a time are in the zone of Zabbix, so they are returned naive.
    """
    if stamp := fields.get(f"{kind}timestamp"):
        return read_time(DOTTED_DATE.sub(r"\1-\2-\3", stamp))
    date, time = fields.get(f"{kind}date", ""), fields.get(f"{kind}time", "")
    return read_time(DOTTED_DATE.sub(r"\1-\2-\3", f"{date}T{time}" if date and time else time))


def tags_of(fields: Mapping[str, str]) -> dict[str, str]:
    """Tags from JSON (a list of tag and value, or an object) or from the text `k:v, k:v`; repeated ones joined."""
    text = first_text(fields, *TAGS)
    try:
        found = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        found = text
    if isinstance(found, dict):
        found = [{"tag": tag, "value": value} for tag, value in found.items()]
    tags: dict[str, list[str]] = {}
    for entry in found if isinstance(found, list) else text.split(","):
        tag, value = _tag(entry)
        if tag:
            tags.setdefault(tag, []).append(value)
    return {tag: ", ".join(filter(None, dict.fromkeys(values))) for tag, values in tags.items()}


def _text(value: Any) -> str:
    """A macro's value: an object or a list is none."""
    return "" if isinstance(value, dict | list) else text_of(value).replace("\r\n", "\n").strip()


def _tag(entry: Any) -> tuple[str, str]:
    if isinstance(entry, dict):
        return text_of(entry.get("tag")).strip(), text_of(entry.get("value")).strip()
    tag, _, value = text_of(entry).partition(":")
    return tag.strip(), value.strip()
