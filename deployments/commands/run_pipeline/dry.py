"""`run-pipeline --dry-run`: what would happen. It writes nothing, and makes no database where none is."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from rich.text import Text
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from deployments.commands.check_output import plain
from deployments.commands.run_pipeline.order import RunOrder
from deployments.commands.run_pipeline.text import print_texts, sign
from deployments.installed import is_installed
from storage import channels
from storage import database as database_room
from storage.database import Database
from storage.embedded import running
from storage.redaction import redact
from storage.settings import Settings
from storage.vocabulary import Severity
from tasks.definition.model import Node
from tasks.definition.rehearsal import Wish, delivery_of, rehearse
from tasks.definition.rehearsed import NodeSeen, Rehearsal, Turn
from tasks.notify.forecast import Forecast

NO_DATABASE = "not known: there is no database yet"
TELLING = (Turn.RUNS, Turn.DEPENDS, Turn.FAILS)


@contextmanager
def looking_only(settings: Settings) -> Iterator[Session | None]:
    """A session of which nothing is kept; None where nothing is stored, or where its tables are not made yet."""
    if not is_installed(settings) or not _has_file(settings):
        yield None
        return
    with nullcontext() if settings.database_url else running(settings.home):
        opened = Database(database_room.default_url(settings), pool_size=1)
        try:
            with opened.trial() as session:
                yield session if _has_tables(session) else None
        finally:
            opened.dispose()


def look_ahead(order: RunOrder, session: Session | None) -> Rehearsal | None:
    """What would come of it; None where there is no database to know that from."""
    if session is None:
        return None
    given = order.given
    delivery = None if order.parsed is None else delivery_of(given.payload, order.source, given.environment)
    wish = Wish(order.named.name, order.definition, given.environment, delivery, given.node_configs)
    return rehearse(session, wish)


def print_dry_run(order: RunOrder, rehearsal: Rehearsal | None) -> None:
    """The seeds' page, what the payload would become, which nodes would not run, and who would be told."""
    given, path = order.given, order.definition.path()
    name = (
        f"Pipeline Config: {given.config_path}"
        if given.config_path
        else f"Pipeline Definition: {order.named.name}"
    )
    seen = {node.id: node for node in rehearsal.nodes} if rehearsal else {}
    print_texts(
        [
            plain("=== DRY RUN ===", "yellow"),
            "",
            name,
            f"Source: {order.source or 'none'}",
            f"Environment: {given.environment}",
            "",
            f"Nodes ({len(path)}):",
            *(line for number, node in enumerate(path, 1) for line in _node(number, node, order, seen)),
            "Payload:",
            *_payload(order),
            "",
            *_becomes(order),
            *_told_of(rehearsal),
            *_told(order, rehearsal),
            plain("Use without --dry-run to execute", "green"),
        ]
    )


def _has_file(settings: Settings) -> bool:
    """Whether opening the database makes none."""
    if not settings.is_light_mode:
        return True
    path = make_url(settings.database_url).database
    return bool(path) and Path(str(path)).exists()


def _has_tables(session: Session) -> bool:
    try:
        channels.active_channels(session)
    except DBAPIError:
        session.rollback()
        return False
    return True


def _node(number: int, node: Node, order: RunOrder, seen: Mapping[str, NodeSeen]) -> Iterator[str]:
    yield f"  {number}. [{node.type}] {node.id}"
    config = {**node.config, **order.given.node_configs.get(node.type, {})}
    if shown := {key: value for key, value in config.items() if value is not None}:
        yield f"     Config: {json.dumps(redact(shown), ensure_ascii=False)}"
    if node.id in seen and (found := seen[node.id]).turn is not Turn.RUNS:
        yield f"     {found.turn.capitalize()}{': ' if found.why else ''}{found.why}"
    yield f"     {sign('→')} next: {node.next}" if node.next else f"     {sign('→')} end"
    yield ""


def _payload(order: RunOrder) -> Sequence[str]:
    if order.given.payload is None:
        takes_one = any(node.type == "ingest" for node in order.definition.nodes)
        return ["none: the ingest node will have nothing to read" if takes_one else "none"]
    return json.dumps(redact(order.given.payload), indent=2, ensure_ascii=False).splitlines()


def _becomes(order: RunOrder) -> Iterator[str]:
    if order.parsed is None:
        return
    yield f"Alerts ({len(order.parsed.alerts)}):"
    for alert in order.parsed.alerts:
        severity = alert.severity or Severity.WARNING
        yield f"  {alert.name}: {severity}, {alert.status}, fingerprint {alert.fingerprint}"
    yield from (f"  cannot be read: {fault.place}: {fault.reason}" for fault in order.parsed.faults)
    if not order.parsed.alerts:
        yield f"  none{': ' + order.parsed.remark if order.parsed.remark else ''}"
    yield ""


def _told_of(rehearsal: Rehearsal | None) -> Iterator[str]:
    if not rehearsal or not rehearsal.incidents:
        return
    yield f"Incidents ({len(rehearsal.incidents)}):"
    for incident in rehearsal.incidents:
        number = "new" if incident.id is None else f"#{incident.id}"
        yield f"  {number} {incident.title}: {incident.severity}, {', '.join(incident.reasons)}"
    yield ""


def _told(order: RunOrder, rehearsal: Rehearsal | None) -> Iterator[Text | str]:
    if rehearsal is None:
        if any(node.type == "notify" for node in order.definition.nodes):
            yield from ("Channels:", f"  {NO_DATABASE}", "")
        return
    for node in rehearsal.nodes:
        if node.type == "notify" and node.turn in TELLING:
            yield f"Channels ({node.id}):"
            yield from map(_channel_line, node.channels)
            if not any(each.driver for each in node.channels):
                yield plain("  none: add one with `watchkeeper channels add`", "yellow")
            yield ""


def _channel_line(channel: Forecast) -> Text | str:
    """Each channel with whether it would be told."""
    if not channel.driver:
        return plain(f"  {channel.channel}", "yellow")
    remark = "" if channel.told else f" not: {', '.join(channel.not_told)}"
    return f"  {channel.channel} ({channel.driver}){remark}"
