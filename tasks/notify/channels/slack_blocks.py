"""What a message looks like in Slack: Block Kit, within its limits. Pure.

Outside text stands in plain_text elements, where neither mentions nor links nor emphasis mean anything, and is
escaped besides: https://api.slack.com/reference/surfaces/formatting. Only the links are mrkdwn: a button
would do as well, but a click on one is reported to the app, and a webhook's app has nobody who answers.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from html import escape
from itertools import accumulate
from typing import Any

from storage.vocabulary import NotificationReason
from tasks.notify.channels.colors import COLORS
from tasks.notify.message import Notification
from tasks.notify.text import one_line, plain_text, shorten
from tasks.notify.web_links import web_links

# Characters: https://docs.slack.dev/reference/block-kit/blocks/header-block
MAX_HEADER_CHARS = 150
# https://docs.slack.dev/reference/block-kit/blocks/section-block
MAX_SECTION_CHARS = 3_000
MAX_FIELDS = 10
# Slack lets 2,000 characters into a field; two columns of them would hide the message.
MAX_FIELD_CHARS = 200
# Of all blocks together. Slack names no limit; it was seen to refuse a message with 11,341:
# https://github.com/slackapi/bolt-js/issues/2867
MAX_SHOWN_CHARS = 9_000
# Less is not worth a section of its own.
MIN_SECTION_CHARS = 500

_ESCAPED_CHARS = {"&": 5, "<": 4, ">": 4}
_LINK_SYNTAX = str.maketrans({"|": "%7C", "<": "%3C", ">": "%3E", "&": "&amp;"})
# What means something in mrkdwn, or ends a link's label.
_LABEL_SYNTAX = str.maketrans(dict.fromkeys("*_~`|<>&", " "))


def build_payload(notification: Notification, text: str) -> dict[str, Any]:
    """The message as JSON: its title as a header, and the rest beside a bar in the colour of its severity.

    `text` is what it says. Where blocks are given, Slack uses the outer `text` for push notifications alone.
    """
    title = one_line(notification.title) or "Watchkeeper"
    header = cut(title, MAX_HEADER_CHARS)
    # A title that does not fit still ends with the host's name, so it is told in whole below.
    body = plain_text(text).rstrip() or title
    body = body if header == escape(title, quote=False) else f"{title}\n\n{body}"
    extras = [*_fields(notification), *_links(web_links(notification))]
    room = MAX_SHOWN_CHARS - MAX_HEADER_CHARS - sum(map(_shown_chars, extras))
    blocks = [*_sections(body, room), *extras]  # never none, so that there is always the colour
    return {
        "text": escape(title, quote=False),
        "mrkdwn": False,
        "parse": "none",
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": [{"type": "header", "text": _plain(header)}],
        "attachments": [{"color": COLORS[notification.severity], "blocks": blocks}],
    }


def cut(text: str, max_chars: int) -> str:
    """The text escaped, or its beginning and how much was left out, in at most so many characters.

    Counted as escaped and in UTF-16 units, the larger of what "characters" may mean. It is cut before it is
    escaped, so no entity is torn.
    """
    if _fitting(text, max_chars) == len(text):
        return escape(text, quote=False)
    kept = _fitting(text, max_chars - len(f"… [+{len(text):,} characters]"))
    return f"{escape(text[:kept], quote=False)}… [+{len(text) - kept:,} characters]"


def _fitting(text: str, max_chars: int) -> int:
    """How many of the text's characters fit."""
    return bisect_right(list(accumulate(map(_width, text[:max_chars]))), max_chars)


def _width(char: str) -> int:
    return _ESCAPED_CHARS.get(char) or 1 + (char > "\uffff")


def _sections(text: str, room: int) -> Iterator[dict[str, Any]]:
    """The text in as many sections as it needs and there is room for, split between lines where it can be."""
    while text.strip():
        is_last = room < MAX_SECTION_CHARS + MIN_SECTION_CHARS
        limit = min(room, MAX_SECTION_CHARS)
        kept = _fitting(text, limit)
        if is_last or kept == len(text):
            yield _section(cut(text.strip("\n"), limit))
            return
        line_end = text.rfind("\n", kept // 2, kept)
        part = text[: line_end if line_end > 0 else kept]
        if part.strip():  # Slack refuses an empty one
            yield _section(escape(part.strip("\n"), quote=False))
        room -= sum(map(_width, part))
        text = text[len(part) :].lstrip("\n")


def _section(escaped: str) -> dict[str, Any]:
    return {"type": "section", "text": _plain(escaped)}


def _plain(escaped: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": escaped, "emoji": False}


def _fields(notification: Notification) -> Iterator[dict[str, Any]]:
    """The tags of a message about no incident: the text of one about an incident says them already."""
    tags = [(one_line(name), one_line(value)) for name, value in notification.tags.items()]
    if notification.reason is not NotificationReason.MESSAGE or not tags:
        return
    shown = [f"{name}: {value}" for name, value in tags[:MAX_FIELDS]]
    if len(tags) > MAX_FIELDS:
        shown[-1] = f"… and {len(tags) - MAX_FIELDS + 1:,} more"
    yield {"type": "section", "fields": [_plain(cut(field, MAX_FIELD_CHARS)) for field in shown]}


def _links(links: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    shown, separator = "", "  ·  "
    left_out = 0
    for label, url in links.items():
        link = f"<{url.translate(_LINK_SYNTAX)}|{_label(label)}>"
        if len(shown) + len(separator) + len(link) > MAX_SECTION_CHARS - len(separator) - len("… and 99 more"):
            left_out += 1
            continue
        shown += separator + link if shown else link
    if left_out:
        shown += f"{separator if shown else ''}… and {left_out:,} more"
    if shown:
        # verbatim: nothing beside the links that are written out becomes one
        yield {"type": "section", "text": {"type": "mrkdwn", "text": shown, "verbatim": True}}


def _label(label: str) -> str:
    return shorten(one_line(label.translate(_LABEL_SYNTAX)), 80) or "link"


def _shown_chars(block: Mapping[str, Any]) -> int:
    texts = [block["text"]] if "text" in block else block["fields"]
    return sum(len(text["text"]) for text in texts)
