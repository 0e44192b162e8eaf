"""What Datadog itself writes into a monitor's event, for bodies in which nothing else says it.

The priority, the transition and the group stand before the title, `[P2] [Warn on {env:prod,host:a}] name`, and
the monitor's id and group in the links below the text. Format: https://docs.datadoghq.com/monitors/notify/
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

from storage.storable import storable_text
from tasks.ingest.sources.base import text_of

TEST = "[TEST]"  # before the name in what the button "Test Notifications" sends
_VARIABLE = re.compile(r"\$[A-Z][A-Z0-9_]*(\[[^\]]*\])?")
_PREFIX = re.compile(
    r"\s*\[(?:(?P<alert_priority>P[1-5])"
    r"|(?P<alert_transition>(?:Re-)?(?:Triggered|Warn|No Data)|Renotify|Recovered|Muted)"
    r"(?: on (?P<alert_scope>\{.*?\}|[^\]]*))?)\]",
    re.IGNORECASE,
)
_LINK = re.compile(r"/monitors[/#](?P<id>\d+)(?P<query>[^)\s]*)")
_GROUP = re.compile(r"[?&]group=([^&]+)")
_STATUS_LINK = "[Monitor Status]("


def fields_of(payload: Mapping[str, Any]) -> dict[str, str]:
    """What a body says, under the names of our template, whichever way it says it; only what is set."""
    given = {name: text for name, value in payload.items() if (text := _set_text(value))}
    given.setdefault("event_title", given.get("title", ""))
    given.setdefault("event_msg", given.get("body", ""))
    given.setdefault("date", given.get("last_updated", ""))
    name, said = read_title(given.get("alert_title", ""))
    event_name, event_said = read_title(given["event_title"])
    is_unmarked_test = name and event_name.startswith(TEST) and not name.startswith(TEST)
    fields = read_links(given["event_msg"]) | event_said | said | given
    fields["alert_title"] = f"{TEST} {name}" if is_unmarked_test else name or event_name
    return {name: text for name, text in fields.items() if text}


def read_title(text: str) -> tuple[str, dict[str, str]]:
    """The title without what Datadog wrote before it, and that by the names of our template."""
    said: dict[str, str] = {}
    end = 0
    while match := _PREFIX.match(text, end):
        said |= {name: found.strip("{}") for name, found in match.groupdict().items() if found}
        end = match.end()
    return text[end:].strip(), said


def read_links(text: str) -> dict[str, str]:
    """The monitor's id from Datadog's own link to it, else from the first to any; its group from the same ones."""
    links = list(_LINK.finditer(text))
    if not links:
        return {}
    own = text.find(_STATUS_LINK)
    monitor = next((link["id"] for link in links if link.start() > own), links[0]["id"])
    groups = (_GROUP.search(link["query"]) for link in links if link["id"] == monitor)
    group = next((group[1] for group in groups if group), "")
    return {"alert_id": monitor, "alert_scope": storable_text(unquote_plus(group))}


def _set_text(value: Any) -> str:
    """A field as text; empty where it is the name of its own variable, which Datadog did not fill in."""
    text = ",".join(map(text_of, value)) if isinstance(value, list) else text_of(value)
    text = text.strip()
    return "" if text.casefold() == "null" or _VARIABLE.fullmatch(text) else text
