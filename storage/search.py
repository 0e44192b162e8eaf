"""What a person may mean who types one word: for each table, the ways in which its rows may be found by it.

Each way is one condition along an index, so that a million rows cost what a thousand do.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, select

from storage.tables import Alert, AlertHistory
from storage.tables.base import Base

Ways = Callable[[str], list[ColumnElement[bool]]]


def ways(table: type[Base], text: str) -> list[ColumnElement[bool]]:
    """Conditions of which every row of the table that the text finds meets one; none: it cannot be searched."""
    find = _WAYS.get(table)
    return find(text) if find else []


def can_search(table: type[Base]) -> bool:
    """Whether rows of the table can be found by a word at all."""
    return table in _WAYS


def _alerts(text: str) -> list[ColumnElement[bool]]:
    traced = select(AlertHistory.alert_id).where(AlertHistory.trace_id == text)
    return [Alert.fingerprint == text, Alert.id.in_(traced), Alert.hostname == text]


_WAYS: dict[Any, Ways] = {
    Alert: _alerts,
}
