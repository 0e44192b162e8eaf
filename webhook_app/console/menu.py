"""The menu of the console: every list, in groups, and which of them the present page belongs to."""

from dataclasses import dataclass

from flask import request, url_for

# What the menu calls each list, by the endpoint of its view. A test compares them with VIEWS.
GROUPS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("Overview", (("dashboard", "Dashboard"),)),
    (
        "Alerts",
        (
            ("incident_rows", "Incidents"),
            ("alert_rows", "Alerts"),
            ("history_rows", "History"),
            ("delivery_rows", "Deliveries"),
        ),
    ),
    (
        "Work",
        (
            ("run_rows", "Runs"),
            ("stage_rows", "Stages"),
            ("check_rows", "Checks"),
            ("analysis_rows", "Analyses"),
        ),
    ),
    ("Messages", (("notification_rows", "Notifications"), ("channel_rows", "Channels"))),
    ("Setup", (("definition_rows", "Definitions"), ("provider_rows", "Providers"), ("audit_rows", "Audit"))),
)


@dataclass(frozen=True)
class Item:
    """One line of the menu. `is_here`: the present page is this list or belongs to it."""

    name: str
    url: str
    is_here: bool


@dataclass(frozen=True)
class Group:
    """Lines that belong together."""

    name: str
    items: tuple[Item, ...]


def menu() -> list[Group]:
    """The menu as the present page shows it."""
    return [Group(name, tuple(_item(*each) for each in items)) for name, items in GROUPS]


def _item(endpoint: str, name: str) -> Item:
    view = "index" if endpoint == "dashboard" else "index_view"
    return Item(name, url_for(f"{endpoint}.{view}"), request.blueprint == endpoint)
