"""What a pipeline would do with a delivery, found out by doing what of it has no effect outside the database.

Ingest is done for real, in a transaction that nobody keeps, so what it says of alerts, incidents and channels is
what would happen now. Nothing is measured, asked or sent; what hangs on that is left open, and said so.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage import inbox, incidents, providers, runs, settings, stages
from storage.inbox import NewDelivery
from storage.records import IncidentChange, IngestResult, ParsedAlert, ParsedPayload
from storage.runs import HeldRun
from storage.storable import storable
from storage.tables import Alert, AlertHistory, PipelineRun
from storage.vocabulary import ALARMS, DeliveryStatus, Severity
from tasks.attempt import StageContext
from tasks.check.stage import ContextConfig, plan
from tasks.definition.condition import FACTS, Condition
from tasks.definition.facts import gather_facts
from tasks.definition.kinds import KINDS
from tasks.definition.model import Definition, Node
from tasks.definition.rehearsed import AlertSeen, ConditionSeen, IncidentSeen, NodeSeen, Rehearsal, Turn
from tasks.definition.turns import conditions_of, reason_against
from tasks.errors import PermanentError
from tasks.ingest.stage import read_all
from tasks.notify.forecast import Forecast, forecast

OWNER = "dry-run"
LEASE_SECONDS = 60.0
NOBODY = "no active notification channel: there is nobody to tell"


@dataclass(frozen=True)
class Wish:
    """What is rehearsed. Without a delivery the run begins by itself, as by a schedule."""

    name: str
    definition: Definition
    environment: str
    delivery: NewDelivery | None = None
    node_configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def delivery_of(payload: Any, source: str, environment: str) -> NewDelivery:
    """What a webhook with this payload would bring."""
    return as_delivery(json.dumps(storable(payload), ensure_ascii=False).encode(), source, environment)


def as_delivery(
    body: bytes, source: str, environment: str, headers: Mapping[str, str] | None = None
) -> NewDelivery:
    """What a webhook with this body would bring."""
    return NewDelivery(
        delivery_id=str(uuid4()),
        trace_id=str(uuid4()),
        source=source,
        pipeline="",
        environment=environment,
        body=body,
        sha256="",
        headers=dict(headers or {}),
        status=DeliveryStatus.CLAIMED,
    )


def rehearse(session: Session, wish: Wish) -> Rehearsal:
    """What would happen. The session's changes must not be kept: take one of `Database.trial`."""
    run, held = _begin(session, wish)
    walk = _Walk(session, wish, run, held)
    walk.go()
    session.rollback()
    return walk.seen


def _begin(session: Session, wish: Wish) -> tuple[PipelineRun, HeldRun]:
    taken = []
    if wish.delivery:
        inbox.accept(session, [wish.delivery])
        taken = [row for row in [inbox.find_delivery(session, wish.delivery.delivery_id)] if row]
    run = runs.create_run(
        session,
        definition_name=wish.name,
        definition_version=0,
        deliveries=taken,
        # That of the delivery, where there is one: by it what is written to the history is found again.
        trace_id=str(uuid4()),
        environment=wish.environment,
        node_configs=wish.node_configs,
        definition_config=wish.definition.model_dump(mode="json"),
    )
    return run, runs.lease_run(session, run.run_id, owner=OWNER, lease_seconds=LEASE_SECONDS)


class _Walk:
    """The nodes in their order. `_open` are those that would, or may, be run, and whose outputs nobody knows."""

    def __init__(self, session: Session, wish: Wish, run: PipelineRun, held: HeldRun) -> None:
        self.seen = Rehearsal()
        self._session = session
        self._wish = wish
        self._run = run
        self._held = held
        self._path = wish.definition.path()
        self._changes: list[IncidentChange] = []
        self._open: dict[str, Node] = {}

    def go(self) -> None:
        """Look at every node."""
        has_failed = False
        for node in self._path:
            if has_failed:
                self.seen.nodes.append(NodeSeen(node.id, node.type, Turn.NOT_REACHED))
                continue
            try:
                self.seen.nodes.append(self._look_at(node))
            except PermanentError as error:
                has_failed = True
                self.seen.nodes.append(NodeSeen(node.id, node.type, Turn.FAILS, why=str(error)))
            has_failed = has_failed or (node.is_required and self.seen.nodes[-1].turn is Turn.FAILS)

    def _look_at(self, node: Node) -> NodeSeen:
        conditions = tuple(self._conditions(node))
        unknown = {each.key: "" for each in conditions if each.holds is None}
        outputs = stages.outputs_of(self._session, self._run.id)
        # What cannot be known yet is left out: what then speaks against the node does so whatever comes.
        known = node.model_copy(update=unknown)
        why = reason_against(self._session, self._run, self._path, known, outputs=outputs, failed={})
        if why:
            stage = KINDS[node.type].stage
            stages.skip(
                self._session,
                run_pk=self._run.id,
                run_id=self._run.run_id,
                stage=stage,
                node_id=node.id,
                reason=why,
            )
            return NodeSeen(node.id, node.type, Turn.SKIPPED, why, conditions=conditions)
        waits = list(self._waits(node, conditions))
        turn = Turn.DEPENDS if waits else Turn.RUNS
        does, channels = self._do(node, is_sure=not waits)
        if not waits and self._tells_nobody(node, channels):
            return NodeSeen(node.id, node.type, Turn.FAILS, NOBODY, conditions=conditions, channels=channels)
        return NodeSeen(node.id, node.type, turn, "; ".join(waits), does, conditions, channels)

    def _waits(self, node: Node, conditions: Sequence[ConditionSeen]) -> Iterator[str]:
        """What must be known first."""
        if named := [each for each in node.skip_if_errors if each in self._open]:
            yield f"skip_if_errors: on whether {_listed(named)} {'has' if len(named) == 1 else 'have'} errors"
        for each in conditions:
            if each.holds is None:
                yield f"{each.key}: on what comes of {_listed(each.waits_for)}"
        finders = self._finders()
        if finders and node.type not in {"ingest", "context"} and not self._has_ingested():
            yield f"on whether {_listed(finders)} finds anything new"

    def _conditions(self, node: Node) -> Iterator[ConditionSeen]:
        for key, condition in conditions_of(node).items():
            waits_for = tuple(self._unknown_in(condition))
            if waits_for:
                yield ConditionSeen(key, condition.text, None, waits_for)
                continue
            names = condition.facts()
            facts = gather_facts(self._session, self._run, names)
            shown = {name: facts[name] for name in FACTS if name in names and name != "outputs"}
            shown |= {name: facts.get("outputs", {}).get(name) for name, _ in condition.nodes()}
            yield ConditionSeen(key, condition.text, condition.holds(facts), facts=shown)

    def _unknown_in(self, condition: Condition) -> list[str]:
        """The nodes of which it must be known what comes of them."""
        named = [node_id for node_id, _ in condition.nodes()]
        found = [node_id for node_id in named if node_id in self._open]
        facts = condition.facts()
        if "outputs" in facts and not named:
            found += self._open
        if {"severity", "status", "labels"} & facts:
            found += self._finders()
        return list(dict.fromkeys(found))

    def _tells_nobody(self, node: Node, channels: Sequence[Forecast]) -> bool:
        is_alarm = any(change.reason in ALARMS for change in self._changes)
        return node.type == "notify" and is_alarm and not any(each.driver for each in channels)

    def _finders(self) -> list[str]:
        """The nodes that are open and may raise alerts."""
        has_ingest = any(node.type == "ingest" for node in self._path)
        return [
            node.id
            for node in self._open.values()
            if node.type == "ingest" or (node.type == "context" and _finds(self._config(node), has_ingest))
        ]

    def _has_ingested(self) -> bool:
        return any(node.type == "ingest" and node.turn is Turn.RUNS for node in self.seen.nodes)

    def _config(self, node: Node) -> Any:
        config = {**node.config, **self._wish.node_configs.get(node.type, {})}
        return KINDS[node.type].config.model_validate(config)

    def _do(self, node: Node, *, is_sure: bool) -> tuple[tuple[str, ...], tuple[Forecast, ...]]:
        """What a node does that is run: ingest for real, the others in words."""
        if node.type == "ingest" and is_sure:
            return tuple(self._ingest(node)), ()
        self._open[node.id] = node
        config = self._config(node)
        if node.type == "notify":
            # Without anything that is known to be told: who would hear that something fires.
            return (), tuple(forecast(self._session, config, self._changes))
        if node.type == "context":
            names = [checker.kind for checker in plan(config, settings.load().checkers)[0]]
            return (f"checks {', '.join(names)}",), ()
        if node.type == "intelligence":
            active = providers.find_active(self._session)
            return (f"asks {config.provider or (active.provider if active else 'local')}",), ()
        return (f"takes from {config.source_node}",) if node.type == "transform" else (), ()

    def _ingest(self, node: Node) -> Iterator[str]:
        config = self._config(node)
        deliveries = inbox.deliveries_of(self._session, self._run.id, with_bodies=True)
        readings = read_all(deliveries, driver=config.driver)
        row = stages.begin_attempt(
            self._session,
            run_pk=self._run.id,
            run_id=self._run.run_id,
            stage=KINDS[node.type].stage,
            node_id=node.id,
        )
        context = StageContext(self._held, node.id, config, attempt=1, is_last_attempt=True)
        result = KINDS[node.type].store(self._session, context, readings)
        if not isinstance(result, IngestResult):
            raise TypeError(type(result).__name__)
        stages.succeed(row, result.model_dump(mode="json"))
        self._session.flush()
        self._changes += result.changes
        self.seen.unreadable = "; ".join(why for _, why in readings.unreadable) or self.seen.unreadable
        for _, arrival in readings.arrivals:
            self._see(arrival.payload)
        self.seen.incidents = self._incidents()
        yield f"takes in {_counted(result.alerts_seen, 'alert')}, {result.alerts_created} new"

    def _see(self, payload: ParsedPayload) -> None:
        events = self._events(payload)
        self.seen.source, self.seen.remark, self.seen.faults = payload.source, payload.remark, payload.faults
        self.seen.alerts += [_alert(alert, events.get(alert.fingerprint, ())) for alert in payload.alerts]

    def _events(self, payload: ParsedPayload) -> dict[str, tuple[str, ...]]:
        rows = self._session.execute(
            select(Alert.fingerprint, AlertHistory.event)
            .join(AlertHistory, AlertHistory.alert_id == Alert.id)
            .where(Alert.source == payload.source, AlertHistory.trace_id == self._run.trace_id)
            .order_by(AlertHistory.id)
        )
        events: dict[str, tuple[str, ...]] = {}
        for fingerprint, event in rows:
            events[fingerprint] = (*events.get(fingerprint, ()), event)
        return events

    def _incidents(self) -> list[IncidentSeen]:
        reasons: dict[int, list[str]] = {}
        for change in self._changes:
            reasons.setdefault(change.incident_id, []).append(change.reason)
        found = incidents.by_ids(self._session, reasons.keys())
        return [
            IncidentSeen(
                # What this transaction made has no number that would last.
                None if found[pk].created_at >= self._run.created_at else pk,
                found[pk].title,
                found[pk].severity,
                tuple(of_it),
            )
            for pk, of_it in reasons.items()
        ]


def _finds(config: ContextConfig, has_ingest: bool) -> bool:
    return config.incidents if config.incidents is not None else not has_ingest


def _alert(alert: ParsedAlert, events: tuple[str, ...]) -> AlertSeen:
    return AlertSeen(alert.name, alert.severity or Severity.WARNING, alert.status, alert.fingerprint, events)


def _listed(names: Sequence[str]) -> str:
    return f"node {names[0]}" if len(names) == 1 else f"nodes {', '.join(names)}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
