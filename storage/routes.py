"""The rules that say which pipeline takes which delivery: each change is a new version of the whole."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from storage.tables import RouteSet

LOCK = 0x57434B52  # "WCKR"


def take_turn(session: Session) -> None:
    """Let one transaction at a time look at the rules in order to change them, or what they name."""
    # SQLite has one writer at a time anyway.
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})


def current(session: Session) -> RouteSet | None:
    """The rules that hold; None where none were ever saved."""
    return session.scalar(select(RouteSet).order_by(RouteSet.version.desc()).limit(1))


def save(
    session: Session, *, rules: Sequence[dict[str, Any]], default_pipeline: str = "", created_by: str = ""
) -> RouteSet:
    """Let these rules hold; a new version where they differ from those that do."""
    take_turn(session)
    held = current(session)
    if held and (held.rules, held.default_pipeline) == (list(rules), default_pipeline):
        return held
    version = held.version + 1 if held else 1
    routes = RouteSet(version=version, rules=list(rules), default_pipeline=default_pipeline, created_by=created_by)
    session.add(routes)
    session.flush()
    return routes


def list_versions(session: Session, *, limit: int) -> list[RouteSet]:
    """The newest versions, newest first."""
    return list(session.scalars(select(RouteSet).order_by(RouteSet.version.desc()).limit(limit)))


def routes_naming(session: Session, name: str) -> list[str]:
    """What of the rules that hold names a pipeline that is to go: rule 2 (db-team), the default.

    No rules that name it can come to hold before the end of the transaction.
    """
    take_turn(session)
    return rules_naming(current(session), name)


def rules_naming(held: RouteSet | None, name: str) -> list[str]:
    """What of these rules names a pipeline."""
    if held is None:
        return []
    naming = [
        f"rule {number} ({rule['name']})" if rule.get("name") else f"rule {number}"
        for number, rule in enumerate(held.rules, start=1)
        if rule.get("pipeline") == name
    ]
    return [*naming, "the default"] if held.default_pipeline == name else naming
