"""The pages on which a definition is tried: what it would do with a delivery, and a run of it now."""

import json
from collections.abc import Mapping
from typing import Any

from flask import abort, current_app, flash, redirect, request, url_for
from flask_admin import expose

from storage.redaction import redact
from storage.storable import storable_text
from storage.tables import PipelineDefinition
from storage.vocabulary import AuditOutcome
from tasks.definition.checking import DefinitionError, read_definition
from tasks.definition.rehearsal import Wish, as_delivery, rehearse
from tasks.definition.rehearsed import ConditionSeen, NodeSeen, Rehearsal
from tasks.ingest import sources
from webhook_app.console.access import Person, operator
from webhook_app.console.definitions.brought import Brought, BroughtError, newest_deliveries, read_brought
from webhook_app.console.definitions.deeds import add_entry
from webhook_app.console.flow_drawing import DrawnNode, draw
from webhook_app.console.table_view import TableView, reading
from webhook_app.run_orders import Order, UnfitOrderError, place_in
from webhook_app.state import state

FACT_MAX_CHARS = 300


class DefinitionTrial(TableView):
    """`/admin/definitions/try/` and `/run/`."""

    @expose("/try/", methods=("GET", "POST"))
    def try_view(self) -> Any:
        """What a definition would do. Nothing is written or sent, so whoever may look may ask by a URL."""
        given = request.form if request.method == "POST" else request.args
        fault, brought, rehearsal = "", Brought(), None
        with reading() as session:
            row = self._row()
            newest = newest_deliveries(session)
            try:
                definition = read_definition(row.config)
                if "delivery" in given:
                    brought = read_brought(session, given)
            except DefinitionError as error:
                fault = f"the definition cannot be run: {error}"
            except BroughtError as error:
                fault = str(error)
        if not fault and "delivery" in given:
            rehearsal = _rehearse(Wish(row.name, definition, _environment(brought), _delivery(brought)))
        page = self.render(
            "console/definition_try.html",
            row=row,
            given=given,
            fault=fault,
            brought=brought,
            newest=newest,
            sources=tuple(sources.SOURCES),
            seen=rehearsal,
            drawing=_drawing(rehearsal) if rehearsal else "",
        )
        return page, 400 if fault else 200

    @expose("/run/", methods=("GET", "POST"))
    def run_view(self) -> Any:
        """Order a run of a definition."""
        who = operator()
        with reading() as session:
            row = self._row()
            newest = newest_deliveries(session)
            try:
                brought = read_brought(session, request.form)
                fault = ""
            except BroughtError as error:
                brought, fault = Brought(), str(error)
        if request.method == "POST" and not fault:
            try:
                pk, run_id = _order(who, row, brought)
            except UnfitOrderError as error:
                fault = "; ".join([str(error), *error.fields.get("errors", [])])
                _record_refusal(who, row, fault)
            else:
                flash(f"run {run_id} of {row.name} is ordered", "done")
                return redirect(url_for("run_rows.details_view", id=pk))
        page = self.render(
            "console/definition_run.html",
            row=row,
            given=request.form,
            fault=fault,
            newest=newest,
            sources=tuple(sources.SOURCES),
        )
        return page, 400 if fault else 200

    def _row(self) -> PipelineDefinition:
        row: PipelineDefinition | None = self.get_one(request.args.get("id", ""))
        if row is None:
            abort(404, "there is no definition of that number")
        return row


def _environment(brought: Brought) -> str:
    environment: str = brought.environment or current_app.config["WATCHKEEPER"].environment
    return environment


def _delivery(brought: Brought) -> Any:
    if brought.body is None:
        return None
    return as_delivery(brought.body, brought.source, _environment(brought), brought.headers)


def _rehearse(wish: Wish) -> Rehearsal:
    with state().database.trial() as session:
        return rehearse(session, wish)


def _drawing(seen: Rehearsal) -> Any:
    return draw([_drawn(node) for node in seen.nodes], label="What each node would do")


def _drawn(node: NodeSeen) -> DrawnNode:
    notes = [*node.does, *map(_condition_text, node.conditions), *_channel_lines(node)]
    return DrawnNode(node.id, node.type, node.turn, remark=node.why, notes=notes)


def _condition_text(seen: ConditionSeen) -> str:
    if seen.holds is None:
        return f"{seen.key}: {seen.text}: known once {', '.join(seen.waits_for)} has run"
    facts = json.dumps(redact(_short(seen.facts)), ensure_ascii=False, default=str)
    return f"{seen.key}: {seen.text}: {'true' if seen.holds else 'false'}, with {facts}"


def _short(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a condition saw, without what is too long to be read."""
    texts = {name: json.dumps(value, ensure_ascii=False, default=str) for name, value in facts.items()}
    return {name: value if len(texts[name]) <= FACT_MAX_CHARS else "…" for name, value in facts.items()}


def _channel_lines(node: NodeSeen) -> list[str]:
    lines = []
    for each in node.channels:
        if not each.driver:
            lines.append(each.channel)
        elif each.told:
            lines.append(f"tells {each.channel} ({each.driver}): {', '.join(each.told)}")
        else:
            lines.append(f"does not tell {each.channel}: {', '.join(each.not_told)}")
    return lines


def _order(who: Person, row: PipelineDefinition, brought: Brought) -> tuple[int, str]:
    """The number and the id of the run. Raises UnfitOrderError."""
    if brought.body is not None and not isinstance(brought.payload, dict | list):
        raise UnfitOrderError(400, f"{brought.title}: it cannot be read as JSON")
    order = Order(
        payload=brought.payload, source=brought.source, environment=storable_text(brought.environment)[:64]
    )
    with state().database.write() as session:
        run = place_in(session, order, row.name)
        said = f"{row.name}, with {brought.title}: run {run.run_id}"
        add_entry(session, who, row, action="run", said=said)
        return run.id, run.run_id


def _record_refusal(who: Person, row: PipelineDefinition, fault: str) -> None:
    said = f"{row.name}: {fault}"
    with state().database.write() as session:
        add_entry(session, who, row, action="run", said=said, outcome=AuditOutcome.REFUSED)
