"""The pages of the console that are measured: all lists by all that they offer, so that none is forgotten."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webhook_app.console.filters import Filter
from webhook_app.console.table_view import TableView
from webhook_app.console.views import VIEWS
from webhook_app.console.wish import place_text

SEARCHES = ("trace-5", "host-busy", "absent-word", "incident:1")
ABSENT = "absent-word"
OPTIONS = 3


def pages(session: Session) -> dict[str, list[str]]:
    """The paths of the dashboard, of the search, and of each list: whatever it offers but two filters at once."""
    found = {"dashboard": ["/admin/"], "search": [f"/admin/search/?q={word}" for word in SEARCHES]}
    for view in (kind() for kind in VIEWS):
        ways = _ways(session, view)
        found[str(view.url)] = [*_list_pages(session, view), *_filtered(view, ways)]
        found[f"{view.url}: a row"] = _rows(session, view)
    return found


def pairs(session: Session) -> dict[str, list[str]]:
    """The paths of each list with every two of its filters."""
    found = {}
    for view in (kind() for kind in VIEWS):
        ways = _ways(session, view)
        found[f"{view.url}: two filters"] = [
            f"/admin/{view.url}/?{urlencode({one.name: value, other.name: second})}"
            for one, other in combinations(ways, 2)
            for value in ways[one]
            for second in ways[other]
        ]
    return found


def _ways(session: Session, view: TableView) -> dict[Filter, list[str]]:
    return {each: _values(session, view, each) for each in view.filters}


def _list_pages(session: Session, view: TableView) -> Iterator[str]:
    base = f"/admin/{view.url}/"
    yield base
    yield from (f"{base}?{urlencode({'after': place})}" for place in _far_down(session, view))
    yield from (f"{base}?{urlencode(each)}" for each in _sorts(view))
    yield from (f"{base}?{urlencode({'search': word})}" for word in SEARCHES)


def _filtered(view: TableView, ways: dict[Filter, list[str]]) -> Iterator[str]:
    for each, values in ways.items():
        yield from (f"/admin/{view.url}/?{urlencode({each.name: value})}" for value in values)


def _rows(session: Session, view: TableView) -> list[str]:
    last_pk = session.scalar(select(func.max(view.table.id))) or 1
    return [f"/admin/{view.url}/details/?id={pk}" for pk in sorted({1, last_pk})]


def _sorts(view: TableView) -> Iterator[dict[str, str]]:
    names = [column.key for column in view.orders]
    for number, name in enumerate(view.columns):
        if name in names:
            yield {"sort": str(number)}
            yield {"sort": str(number), "desc": "1"}


def _far_down(session: Session, view: TableView) -> list[str]:
    """Where the list goes on a page before its end."""
    column, pk = view.orders[0], view.table.id
    by = (column.asc(), pk.asc()) if view.is_highest_first else (column.desc(), pk.desc())
    row = session.execute(select(column, pk).order_by(*by).offset(view.page_size).limit(1)).first()
    return [place_text(*row)] if row else []


def _values(session: Session, view: TableView, each: Filter) -> list[str]:
    """The newest row's value, the oldest one's, and one that no row has; or some of the options."""
    if each.name == "since":
        return ["15m", "7d"]
    if each.options:
        return [option for option in each.options if option][:OPTIONS]
    column: Any = getattr(each.condition(each.read("1")[0]), "left", None)
    if column is None:
        return [ABSENT]
    absent = "999999999" if column.type.python_type is int else ABSENT
    order = view.orders[0]
    ends = [session.scalar(select(column).order_by(by).limit(1)) for by in (order.desc(), order.asc())]
    return list(dict.fromkeys([*(str(value) for value in ends if value), absent]))
