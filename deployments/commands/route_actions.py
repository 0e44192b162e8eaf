"""What `watchkeeper routes` does."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from deployments.commands.rows_output import plain_lines, print_strict_json, say
from deployments.errors import WrongUseError
from deployments.installed import installed_database
from storage import routes as route_sets
from storage.records import ParsedAlert
from storage.redaction import redact, redact_text
from storage.settings import load
from storage.tables import RouteSet
from tasks.definition.routes import Condition, Decision, Miss, Routes, RoutesError, Trial, decide, read_routes
from tasks.definition.takers import takers
from tasks.errors import PermanentError
from tasks.ingest import sources
from tasks.ingest.body import FORM_TYPE, BodyError, read_body
from tasks.ingest.sources.base import UnreadablePayloadError

MISSES_SHOWN = 5
NAME_SHOWN_CHARS = 60


def show(*, as_json: bool) -> None:
    """Print the rules that hold."""
    settings = load()
    with installed_database(settings) as database, database.read() as session:
        held = route_sets.current(session)
    default = held.default_pipeline if held else ""
    if as_json:
        rules = redact(held.rules) if held else []
        fields = {"version": held.version if held else 0, "rules": rules, "default": default}
        print_strict_json({**fields, "installation_default": settings.pipeline})
        return
    if held is None or not held.rules:
        say(f"no rules: {default or settings.pipeline} takes all webhooks whose URL names no pipeline")
        return
    say(
        f"version {held.version}, {held.created_at:%Y-%m-%d %H:%M}Z"
        + (held.created_by and f" by {held.created_by}")
    )
    _print(_rules_lines(_read(held)))
    origin = "" if default else " (WATCHKEEPER_PIPELINE)"
    say(f"else -> {default or settings.pipeline}{origin}")


def try_out(file: str, *, source: str, environment: str, rules: str, as_json: bool) -> int:
    """Print which rule takes a body and why. Returns the exit code."""
    if source and source not in sources.SOURCES:
        raise WrongUseError(f"--source: unknown source {source!r}; one of {', '.join(sources.SOURCES)}")
    if file == rules == "-":
        raise WrongUseError("--routes: only one of the two files can be standard input")
    settings = load()
    with installed_database(settings) as database, database.read() as session:
        version, routes = _chosen_rules(session, rules)
        known = takers(session)
    reason, alerts = "", []
    try:
        payload = sources.parse(read_body(_read_file(file), FORM_TYPE), source=source)
        source, alerts = payload.source, payload.alerts
    except (BodyError, UnreadablePayloadError) as error:
        reason = redact_text(str(error))
        routes = Routes(default=routes.default)
    decision = decide(
        routes,
        source=source,
        environment=environment or settings.environment,
        alerts=alerts,
        default=settings.pipeline,
    )
    rule = "the default" if decision.rule is None else routes.label(decision.rule)
    is_gone = decision.pipeline not in known
    if as_json:
        fields = {"pipeline": decision.pipeline, "rule": None if decision.rule is None else decision.rule + 1}
        why = [_trial_fields(trial, routes, alerts) for trial in decision.why]
        print_strict_json(
            {**fields, "version": version, "is_known": not is_gone, "why": why, "error": reason or None}
        )
    else:
        _print(_why_lines(decision, routes, alerts))
        say(f"pipeline {decision.pipeline}, by {rule}")
    if reason:
        sys.stderr.write(f"watchkeeper: {reason}; what cannot be read goes to the default\n")
    if is_gone:
        sys.stderr.write(
            f"watchkeeper: {decision.pipeline} is no active pipeline with an ingest node: the default takes it\n"
        )
    return 1 if reason else 0


def _chosen_rules(session: Session, file: str) -> tuple[int, Routes]:
    if not file:
        held = route_sets.current(session)
        return (held.version, _read(held)) if held else (0, Routes())
    try:
        given = json.loads(_read_file(file))
        return 0, read_routes(given.get("routes", given), takers(session))
    except (ValueError, RecursionError, AttributeError) as error:
        said = error if isinstance(error, ValueError) else "it must be an object with rules and default"
        raise PermanentError(f"--routes: not JSON: {said}") from None
    except RoutesError as error:
        raise PermanentError("--routes: " + "; ".join(error.faults)) from None


def _read(held: RouteSet) -> Routes:
    try:
        return Routes.model_validate({"rules": held.rules, "default": held.default_pipeline})
    except ValidationError:
        raise PermanentError(f"the saved routes (version {held.version}) are faulty; apply them anew") from None


def _read_file(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise PermanentError(f"{file}: {error.strerror}; name a file, or - for standard input") from None


def _print(lines: Iterator[str]) -> None:
    say(*(redact_text(str(plain_lines(line))) for line in lines))


def _rules_lines(routes: Routes) -> Iterator[str]:
    for index, rule in enumerate(routes.rules):
        conditions = " and ".join(_condition_text(condition) for condition in rule.when)
        yield f"{routes.label(index)}: {conditions} -> {rule.pipeline}"


def _why_lines(decision: Decision, routes: Routes, alerts: Sequence[ParsedAlert]) -> Iterator[str]:
    for trial in decision.why:
        said = _trial_fields(trial, routes, alerts)
        yield f"{routes.label(trial.rule)}: {said['result']}"
        yield from (f"    {line}" for line in said["misses"][:MISSES_SHOWN])
        if len(said["misses"]) > MISSES_SHOWN:
            yield f"    and {len(said['misses']) - MISSES_SHOWN} alerts more"


def _trial_fields(trial: Trial, routes: Routes, alerts: Sequence[ParsedAlert]) -> dict[str, Any]:
    by = "" if trial.taken_by is None else f", for {_alert_text(trial.taken_by, alerts)}"
    has_none = not trial.is_taken and not trial.misses
    return {
        "rule": trial.rule + 1,
        "name": routes.rules[trial.rule].name,
        "pipeline": routes.rules[trial.rule].pipeline,
        "result": f"takes it{by}" if trial.is_taken else "not met: there is no alert" if has_none else "not met",
        "misses": [_miss_text(miss, alerts) for miss in trial.misses],
    }


def _miss_text(miss: Miss, alerts: Sequence[ParsedAlert]) -> str:
    whose = "" if miss.alert is None else f"{_alert_text(miss.alert, alerts)}: "
    found = redact({miss.condition.field.removeprefix("label:"): miss.found})
    shown = next(iter(found.values())) or "nothing"
    return f"{whose}{_condition_text(miss.condition)}: it is {shown}"


def _alert_text(place: int, alerts: Sequence[ParsedAlert]) -> str:
    return f"alert {place + 1} ({redact_text(alerts[place].name[:NAME_SHOWN_CHARS])})"


def _condition_text(condition: Condition) -> str:
    value = condition.value if isinstance(condition.value, str) else ", ".join(condition.value)
    return f"{condition.field} {condition.op} {value or 'nothing'}"
