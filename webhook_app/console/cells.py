"""Columns that several tables show alike; each is one of a view's `formatters`."""

from typing import Any

from markupsafe import Markup

from webhook_app.console import formats
from webhook_app.console.links import incident_link, row_link


def incident(_view: Any, _context: Any, row: Any, _name: str) -> Markup | None:
    """The incident of a row, as a link."""
    return incident_link(row.incident_id)


def run(_view: Any, _context: Any, row: Any, _name: str) -> Markup | None:
    """A run, as a link by its id."""
    return row_link("run_rows", row.id, row.run_id)


def milliseconds(_view: Any, _context: Any, row: Any, name: str) -> str:
    """A duration in one unit."""
    return formats.duration(getattr(row, name)) or formats.NOTHING
