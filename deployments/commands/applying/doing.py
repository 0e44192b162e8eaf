"""Applying a document: all of it, or nothing."""

from sqlalchemy.orm import Session

from deployments.commands.applying.difference import Plan, Sections, compare
from deployments.commands.applying.faults import DocumentError
from deployments.commands.applying.sections import SECTIONS
from deployments.commands.applying.sections.sources import PENDING
from storage.database import Database
from storage.settings import load
from tasks.errors import TransientError
from webhook_app import kept_auth


def present(session: Session) -> Sections:
    """What is there now, all of it."""
    return {name: section.present(session) for name, section in SECTIONS.items()}


def plan(database: Database, wanted: Sections, *, prune: bool = False) -> Plan:
    """What applying would do. Raises DocumentError with every reason why it cannot be done."""
    with database.read() as session:
        there = present(session)
    # Outside of any transaction, since a secret's keeper may take its time.
    planned = compare(wanted, there, prune=prune)
    if faults := planned.faults():
        raise DocumentError(faults)
    return planned


def do(database: Database, wanted: Sections, *, prune: bool = False) -> Plan:
    """Apply it in one transaction, and say what was done.

    Raises DocumentError as `plan` does, and TransientError where somebody changed the same meanwhile.
    """
    planned = plan(database, wanted, prune=prune)
    if not planned.changes:
        return planned
    prepared: kept_auth.Prepared | None = None
    try:
        with database.write() as session:
            _do_each(session, planned, compare(wanted, present(session), prune=prune))
            if PENDING in session.info:
                prepared = kept_auth.prepare(load(), session.info[PENDING])
    except BaseException:
        if prepared:
            prepared.drop()
        raise
    if prepared:
        prepared.put()
    return planned


def _do_each(session: Session, planned: Plan, wanted_now: Plan) -> None:
    if wanted_now != planned:
        raise TransientError("somebody changed the same meanwhile, so nothing was done: run it again")
    for change in planned.changes:
        SECTIONS[change.section].do(session, change)
