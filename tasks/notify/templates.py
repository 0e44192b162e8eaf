"""The operator's own words in a message: Jinja templates, and the built-in text where there is none.

What a template may see: title, message, severity, channel, tags, context and incident (seeds, Notify App).
"""

from typing import Any

from tasks.notify.message import Notification

# Jinja text, "file:NAME", {"type": "file", "template": "NAME"} or {"type": "inline", "template": "TEXT"}.
TemplateRef = str | dict[str, str]


def text_of(kind: str, template: TemplateRef | None, notification: Notification) -> str:
    """The plain text of a message for a driver of this kind: its template's, or the built-in text."""
    del kind, template
    return notification.message


def html_of(kind: str, template: TemplateRef | None, notification: Notification) -> str | None:
    """The HTML of a message by its template, escaped; None where there is none, or where it fails."""
    del kind, template, notification
    return None


def payload_of(kind: str, template: TemplateRef | None, notification: Notification) -> Any:
    """The whole body of a request by its template, as JSON; None where there is none, or where it fails."""
    del kind, template, notification
    return None
