"""Links from one row to another, each by what names it."""

from typing import Any

from flask import url_for
from markupsafe import Markup

from storage.redaction import redact_text


def link(url: str, text: str) -> Markup:
    """A link whose text may be a stranger's: its secrets are not shown."""
    return Markup('<a href="{}">{}</a>').format(url, text if isinstance(text, Markup) else redact_text(text))


def row_link(endpoint: str, pk: Any, text: str = "") -> Markup | None:
    """A link to the page of a row; None where there is none."""
    if pk is None:
        return None
    return link(url_for(f"{endpoint}.details_view", id=pk), text or str(pk))


def search_link(text: str) -> Markup | None:
    """A link to everything that belongs to an id or a host; None where there is none."""
    if not text:
        return None
    return link(url_for("search", q=text), text)


def incident_link(pk: int | None, text: str = "") -> Markup | None:
    """A link to an incident's page."""
    return row_link("incident_rows", pk, text)
