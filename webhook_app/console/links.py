"""Links from one row to another, each by what names it."""

from typing import Any

from flask import url_for
from markupsafe import Markup


def row_link(endpoint: str, pk: Any, text: str = "") -> Markup | None:
    """A link to the page of a row; None where there is none."""
    if pk is None:
        return None
    return Markup('<a href="{}">{}</a>').format(url_for(f"{endpoint}.details_view", id=pk), text or pk)


def incident_link(pk: int | None, text: str = "") -> Markup | None:
    """A link to an incident's page."""
    return row_link("incident_rows", pk, text)
