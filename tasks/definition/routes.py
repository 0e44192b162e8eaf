"""Which pipeline takes which delivery, where the URL does not say: ordered rules, the first that matches wins.

A rule takes a delivery where one alert of it meets all its conditions; source and environment are the delivery's.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from storage.records import ParsedAlert
from storage.vocabulary import AlertStatus, Severity
from tasks.definition.pattern import PatternError, is_match, read_pattern
from tasks.hosts import instance_of
from tasks.ingest import sources

OF_DELIVERY = ("source", "environment")
OF_ALERT = ("severity", "status", "instance")
LABEL = "label:"
# What a field can be. The severity of an alert whose payload says none is the empty text.
WORDS = {
    "source": tuple(sources.SOURCES),
    "severity": ("", *Severity),
    "status": tuple(AlertStatus),
}
RULES_MAX = 200
VALUE_MAX_CHARS = 500

Value = Annotated[str, Field(max_length=VALUE_MAX_CHARS)]


class RoutesError(Exception):
    """Rules that cannot hold; `faults` says why, each line with the rule and the field."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class Op(StrEnum):
    """How a condition compares."""

    IS = "is"
    IS_NOT = "is-not"
    IN = "in"
    NOT_IN = "not-in"
    MATCHES = "matches"


OF_LISTS = (Op.IN, Op.NOT_IN)


class Condition(BaseModel, extra="forbid", frozen=True):
    """`field`: source, severity, status, instance, environment or label:<k>. `in` and `not-in` take a list.

    A label that an alert lacks is the empty text. `matches` is a regular expression of the whole value.
    """

    field: str = Field(max_length=200)
    op: Op
    value: Value | Annotated[list[Value], Field(min_length=1, max_length=200)]

    def is_met(self, found: str) -> bool:
        """Whether the field's value meets it."""
        match self.op:
            case Op.IS:
                return found == self.value
            case Op.IS_NOT:
                return found != self.value
            case Op.IN:
                return found in self.value
            case Op.NOT_IN:
                return found not in self.value
        return isinstance(self.value, str) and is_match(self.value, found)


class Rule(BaseModel, extra="forbid", frozen=True):
    """`pipeline` takes what meets every condition."""

    name: str = Field(default="", max_length=64)
    when: list[Condition] = Field(min_length=1, max_length=20)
    pipeline: str = Field(min_length=1, max_length=128)


class Routes(BaseModel, extra="forbid", frozen=True):
    """The rules in order. `default` takes what none of them does; empty: the installation's setting."""

    rules: list[Rule] = Field(default_factory=list, max_length=RULES_MAX)
    default: str = Field(default="", max_length=128)

    def label(self, index: int) -> str:
        """A rule as people are told of it: rule 2 (db-team)."""
        name = self.rules[index].name
        return f"rule {index + 1} ({name})" if name else f"rule {index + 1}"


@dataclass(frozen=True)
class Miss:
    """The first condition that an alert (by its place, None for the delivery itself) did not meet."""

    alert: int | None
    condition: Condition
    found: str


@dataclass(frozen=True)
class Trial:
    """How one rule fared: it took the delivery (`taken_by`: the alert's place, if it asks for one), or why not."""

    rule: int
    is_taken: bool
    taken_by: int | None = None
    misses: tuple[Miss, ...] = ()


@dataclass(frozen=True)
class Decision:
    """The pipeline, the index of the rule that named it (None: the default), and how each rule tried fared."""

    pipeline: str
    rule: int | None
    why: tuple[Trial, ...]


def read_routes(config: Mapping[str, Any], pipelines: Collection[str]) -> Routes:
    """Checked rules. `pipelines` are those that take webhooks. Raises RoutesError with all faults."""
    try:
        routes = Routes.model_validate(config)
    except ValidationError as error:
        raise RoutesError([_fault_line(fault["loc"], fault["msg"]) for fault in error.errors()]) from None
    if faults := check(routes, pipelines):
        raise RoutesError(faults)
    return routes


def check(routes: Routes, pipelines: Collection[str]) -> list[str]:
    """Everything that is wrong with rules; `pipelines` are the active ones that have an ingest node."""
    faults = [
        f"{routes.label(index)}: {fault}"
        for index, rule in enumerate(routes.rules)
        for fault in [
            *(fault for number, each in enumerate(rule.when, start=1) for fault in _faults_of(number, each)),
            *_faults_of_pipeline("pipeline", rule.pipeline, pipelines),
        ]
    ]
    return faults + (_faults_of_pipeline("default", routes.default, pipelines) if routes.default else [])


def needs_alerts(routes: Routes, *, source: str, environment: str) -> bool:
    """Whether the rules look at the alerts of such a delivery, so that it must be parsed."""
    for rule in routes.rules:
        if _first_unmet(rule, None, source=source, environment=environment) is None:
            return any(condition.field not in OF_DELIVERY for condition in rule.when)
    return False


def decide(
    routes: Routes, *, source: str, environment: str, alerts: Sequence[ParsedAlert], default: str
) -> Decision:
    """Which pipeline takes a delivery. `default` is the installation's."""
    why: list[Trial] = []
    for index, rule in enumerate(routes.rules):
        trial = _try(index, rule, source=source, environment=environment, alerts=alerts)
        why.append(trial)
        if trial.is_taken:
            return Decision(rule.pipeline, index, tuple(why))
    return Decision(routes.default or default, None, tuple(why))


def _try(index: int, rule: Rule, *, source: str, environment: str, alerts: Sequence[ParsedAlert]) -> Trial:
    if miss := _first_unmet(rule, None, source=source, environment=environment):
        return Trial(index, is_taken=False, misses=(miss,))
    if all(condition.field in OF_DELIVERY for condition in rule.when):
        return Trial(index, is_taken=True)
    misses = []
    for place, alert in enumerate(alerts):
        miss = _first_unmet(rule, alert, place=place)
        if miss is None:
            return Trial(index, is_taken=True, taken_by=place)
        misses.append(miss)
    return Trial(index, is_taken=False, misses=tuple(misses))


def _first_unmet(
    rule: Rule, alert: ParsedAlert | None, *, place: int | None = None, source: str = "", environment: str = ""
) -> Miss | None:
    """The first condition on the alert that it does not meet; without one, the first on the delivery."""
    for condition in rule.when:
        if (condition.field in OF_DELIVERY) is (alert is not None):
            continue
        if alert is None:
            found = source if condition.field == "source" else environment
        else:
            found = _reader(condition.field)(alert)
        if not condition.is_met(found):
            return Miss(place, condition, found)
    return None


@cache
def _reader(field: str) -> Callable[[ParsedAlert], str]:
    """How an alert's field is read."""
    match field:
        case "severity":
            return lambda alert: alert.severity or ""
        case "status":
            return lambda alert: alert.status
        case "instance":
            return lambda alert: instance_of(alert.labels)
    name = field.removeprefix(LABEL)
    return lambda alert: alert.labels.get(name, "")


def _faults_of(number: int, condition: Condition) -> list[str]:
    where = f"condition {number} ({condition.field} {condition.op})"
    values = condition.value if isinstance(condition.value, list) else [condition.value]
    is_list = isinstance(condition.value, list)
    faults = []
    is_label = condition.field.startswith(LABEL) and condition.field != LABEL
    if not is_label and condition.field not in (*OF_DELIVERY, *OF_ALERT):
        faults.append(f"{where}: unknown field; one of {', '.join((*OF_DELIVERY, *OF_ALERT))}, label:<name>")
    if condition.op in OF_LISTS and not is_list:
        faults.append(f"{where}: value must be a list of texts")
    elif condition.op not in OF_LISTS and is_list:
        faults.append(f"{where}: value must be one text; in and not-in take a list")
    elif condition.op is Op.MATCHES:
        faults += _faults_of_pattern(where, values[0])
    elif words := WORDS.get(condition.field):
        faults += [
            f"{where}: {value!r} is never its value; one of {', '.join(filter(None, words))}"
            for value in values
            if value not in words
        ]
    return faults


def _faults_of_pattern(where: str, pattern: str) -> list[str]:
    try:
        read_pattern(pattern)
    except PatternError as error:
        return [f"{where}: not a regular expression that is taken here: {error}"]
    return []


def _faults_of_pipeline(key: str, name: str, pipelines: Collection[str]) -> list[str]:
    if name in pipelines:
        return []
    known = ", ".join(sorted(pipelines)) or "none"
    return [f"{key}: there is no active pipeline {name!r} with an ingest node; there are: {known}"]


def _fault_line(place: tuple[int | str, ...], message: str) -> str:
    """Where a fault of form lies: rules.1.when.0.op as rule 2, condition 1, op."""
    match place:
        case ("rules", int(rule), "when", int(condition), *rest):
            words = [f"rule {rule + 1}", f"condition {condition + 1}", *map(str, rest)]
        case ("rules", int(rule), *rest):
            words = [f"rule {rule + 1}", *map(str, rest)]
        case _:
            words = list(map(str, place)) or ["routes"]
    return f"{', '.join(words)}: {message}"
