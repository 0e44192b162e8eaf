"""`run-pipeline --dry-run`: what would happen. It writes nothing, and makes no database where none is."""

import json
from collections.abc import Iterator, Sequence
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
from storage.records import ChannelConfig, IncidentChange, ParsedPayload
from storage.redaction import redact
from storage.settings import Settings
from storage.vocabulary import AlertStatus, NotificationReason, Severity
from tasks.definition.model import Node
from tasks.notify.audience import audience_of
from tasks.notify.stage import NotifyConfig

NO_DATABASE = "not known: there is no database yet"


@contextmanager
def looking_only(settings: Settings) -> Iterator[Session | None]:
    """A session to look at what is stored; None where nothing is, or where its tables are not made yet."""
    if not is_installed(settings) or not _has_file(settings):
        yield None
        return
    with nullcontext() if settings.database_url else running(settings.home):
        opened = Database(database_room.default_url(settings), pool_size=1)
        try:
            with opened.read() as session:
                yield session if _has_tables(session) else None
        finally:
            opened.dispose()


def print_dry_run(order: RunOrder, session: Session | None) -> None:
    """The seeds' page, and what the payload would become and who would be told."""
    given, path = order.given, order.definition.path()
    name = (
        f"Pipeline Config: {given.config_path}"
        if given.config_path
        else f"Pipeline Definition: {order.named.name}"
    )
    print_texts(
        [
            plain("=== DRY RUN ===", "yellow"),
            "",
            name,
            f"Source: {order.source or 'none'}",
            f"Environment: {given.environment}",
            "",
            f"Nodes ({len(path)}):",
            *(line for number, node in enumerate(path, 1) for line in _node(number, node, order)),
            "Payload:",
            *_payload(order),
            "",
            *_becomes(order),
            *_told(order, session),
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


def _node(number: int, node: Node, order: RunOrder) -> Iterator[str]:
    yield f"  {number}. [{node.type}] {node.id}"
    config = {**node.config, **order.given.node_configs.get(node.type, {})}
    if shown := {key: value for key, value in config.items() if value is not None}:
        yield f"     Config: {json.dumps(redact(shown), ensure_ascii=False)}"
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


def _told(order: RunOrder, session: Session | None) -> Iterator[Text | str]:
    nodes = [node for node in order.definition.path() if node.type == "notify"]
    if not nodes:
        return
    if session is None:
        yield from ("Channels:", f"  {NO_DATABASE}", "")
        return
    active = [channel for channel in channels.active_channels(session) if not channel.is_disabled]
    for node in nodes:
        config = NotifyConfig.model_validate({**node.config, **order.given.node_configs.get("notify", {})})
        yield f"Channels ({node.id}):"
        chosen = [channel for channel in active if config.selects(channel)]
        yield from (f"  {line}" for line in _channel_lines(chosen, order.parsed))
        yield from (plain(f"  {absent}", "yellow") for absent in config.missing(active))
        if not chosen:
            yield plain("  none: add one with `watchkeeper channels add`", "yellow")
        yield ""


def _channel_lines(chosen: Sequence[ChannelConfig], parsed: ParsedPayload | None) -> Iterator[str]:
    """Each channel with whether it would be told that the gravest of the alerts fires."""
    firing = [alert for alert in parsed.alerts if alert.status is AlertStatus.FIRING] if parsed else []
    severity = max((alert.severity or Severity.WARNING for alert in firing), key=lambda s: s.rank, default=None)
    change = IncidentChange(incident_id=0, episode=1, reason=NotificationReason.FIRING)
    severities = {0: severity} if severity else {}
    audience = audience_of(
        [change], active=chosen, chosen=[channel.name for channel in chosen], severities=severities, alarms=()
    )
    why = {each.channel: each.why for each in audience.passed_over}
    for channel in chosen:
        remark = f" not: {why[channel.name]}" if channel.name in why else ""
        yield f"{channel.name} ({channel.driver}){remark}"
