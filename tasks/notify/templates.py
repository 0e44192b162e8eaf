"""The operator's own words in a message: Jinja templates, and the built-in text where there is none.

A template that cannot be used costs nobody a message: the built-in text goes out, and says why.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, NoReturn

from storage import settings
from storage.redaction import redact_text
from tasks.notify.headline import stand_in_line
from tasks.notify.message import MAX_MESSAGE_CHARS, Notification
from tasks.notify.templating import reference
from tasks.notify.templating.reference import TemplateRef
from tasks.notify.templating.renderer import Mode, renderer
from tasks.notify.templating.sandbox import UnusableError
from tasks.notify.templating.variables import escaped, variables_of
from tasks.notify.text import one_line, plain_text, shorten

log = logging.getLogger("watchkeeper.notify")

MAX_REASON_CHARS = 200
# Looked for in the folder of templates where a channel names none (seeds, Notify App).
DEFAULT_FILES: Mapping[Mode, tuple[str, ...]] = {
    "text": ("{kind}_text.j2", "{kind}.j2"),
    "html": ("{kind}_html.j2",),
    "payload": ("{kind}_payload.j2",),
}


def _escape_for_slack(text: str) -> str:
    # https://docs.slack.dev/messaging/formatting-message-text#escaping
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# How values are written in payloads whose texts the vendor reads as markup, such as <!channel>.
ESCAPES: Mapping[str, Callable[[str], str]] = {"slack": _escape_for_slack}


@dataclass(frozen=True)
class Body:
    """What a request is made of: the payload by its template, or else the text."""

    payload: Any | None
    text: str


@dataclass(frozen=True)
class _Used:
    """What came of a template: what it gave, None where there is none; or the word that it could not be used."""

    content: Any | None = None
    note: str = ""


def text_of(kind: str, template: TemplateRef | None, notification: Notification) -> str:
    """The plain text of a message for a driver of this kind: its template's, or the built-in text."""
    used = _use("text", kind, template, notification)
    if used.note:
        return f"{used.note}\n\n{notification.message}"
    if used.content is None:
        return notification.message
    lead = stand_in_line(notification.tags.get("instead_of", ""))
    return f"{lead}\n\n{used.content}" if lead else str(used.content)


def html_of(kind: str, template: TemplateRef | None, notification: Notification) -> str | None:
    """The HTML of a message by its template, with values escaped; None where there is none.

    Where it fails, the built-in text as HTML.
    """
    used = _use("html", kind, template, notification)
    if used.note:
        text = escape(notification.message)
        return f'<p>{escape(used.note)}</p>\n<div style="white-space: pre-wrap">{text}</div>\n'
    lead = stand_in_line(notification.tags.get("instead_of", ""))
    return f"<p>{escape(lead)}</p>\n{used.content}" if lead and used.content else used.content


def body_of(
    kind: str,
    *,
    payload_template: TemplateRef | None,
    template: TemplateRef | None,
    notification: Notification,
) -> Body:
    """The payload of a message, or its text, which says so where the payload's template failed."""
    used = _use("payload", kind, payload_template, notification)
    if used.content is not None:
        return Body(used.content, "")
    text = text_of(kind, template, notification)
    return Body(None, f"{used.note}\n\n{text}" if used.note else text)


def _use(mode: Mode, kind: str, template: TemplateRef | None, notification: Notification) -> _Used:
    chosen = template
    try:
        folder = settings.load().templates_folder
        if chosen is None:
            chosen = reference.default(folder, [name.format(kind=kind) for name in DEFAULT_FILES[mode]])
        if chosen is None:
            return _Used()
        values = variables_of(notification)
        if mode == "payload" and kind in ESCAPES:
            values = escaped(values, ESCAPES[kind])
        rendered = renderer.render(mode, reference.read(chosen, folder), folder, values)
        return _Used(FINISH[mode](rendered))
    except UnusableError as error:
        return _Used(note=_note(mode, chosen, notification, error))


def _note(mode: Mode, chosen: TemplateRef | None, notification: Notification, error: UnusableError) -> str:
    """Say in the log, and in a line for the message, that a template could not be used."""
    name = reference.name_of(chosen) if chosen is not None else "folder"
    reason = shorten(redact_text(one_line(str(error))), MAX_REASON_CHARS)
    log.warning(
        "template not used",
        extra={"channel": notification.channel, "template": name, "mode": mode, "error": reason,
               "trace_id": notification.context.get("trace_id")},
    )  # fmt: skip
    instead = "payload" if mode == "payload" else "text"
    return f"(The {mode} template {name} could not be used: {reason}; this is the built-in {instead}.)"


def _finished_text(rendered: str) -> str:
    return shorten(_finished_html(rendered), MAX_MESSAGE_CHARS)


def _finished_html(rendered: str) -> str:
    text = plain_text(rendered).strip()
    if not text:
        raise UnusableError("it gives no text")
    return text


def _finished_payload(rendered: str) -> Any:
    try:
        payload = json.loads(rendered, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise UnusableError(f"what it gives is not JSON: {error.msg} in line {error.lineno}") from None
    except (RecursionError, ValueError):
        raise UnusableError("what it gives is not JSON") from None
    if payload is None:  # which says that there is none
        raise UnusableError("what it gives is null")
    return payload


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


FINISH: Mapping[Mode, Callable[[str], Any]] = {
    "text": _finished_text,
    "html": _finished_html,
    "payload": _finished_payload,
}

__all__ = ["Body", "TemplateRef", "body_of", "html_of", "text_of"]
