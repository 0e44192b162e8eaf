"""Which rule takes a delivery, and what is wrong with rules."""

import time
from typing import Any

import pytest

from storage.records import ParsedAlert
from storage.vocabulary import AlertStatus, Severity
from tasks.definition.routes import Decision, Routes, RoutesError, check, decide, needs_alerts, read_routes

PIPELINES = ("direct", "full")


def alert(**fields: Any) -> ParsedAlert:
    given = {"fingerprint": "f", "name": "Disk full", "status": AlertStatus.FIRING, "started_at": None}
    return ParsedAlert(**(given | fields))


def rule(*conditions: tuple[str, str, Any], pipeline: str = "full", name: str = "") -> dict[str, Any]:
    return {
        "name": name,
        "when": [{"field": field, "op": op, "value": value} for field, op, value in conditions],
        "pipeline": pipeline,
    }


def decided(*rules: dict[str, Any], alerts: list[ParsedAlert], source: str = "grafana") -> Decision:
    routes = Routes.model_validate({"rules": list(rules)})
    return decide(routes, source=source, environment="production", alerts=alerts, default="direct")


CRITICAL_ON_DB_1 = alert(
    severity=Severity.CRITICAL, labels={"instance": "db-1.lan:9100", "team": "storage", "host": "elsewhere"}
)


@pytest.mark.parametrize(
    ("field", "op", "value", "is_met"),
    [
        ("source", "is", "grafana", True),
        ("source", "is", "zabbix", False),
        ("source", "not-in", ["zabbix", "generic"], True),
        ("environment", "is-not", "production", False),
        ("severity", "in", ["critical", "warning"], True),
        ("status", "is", "resolved", False),
        ("instance", "is", "db-1.lan:9100", True),
        ("instance", "matches", r"db-\d+\..*", True),
        ("instance", "matches", "db", False),
        ("label:team", "is", "Storage", False),
        ("label:nosuch", "is", "", True),
        ("label:nosuch", "is-not", "x", True),
        ("label:nosuch", "matches", ".+", False),
    ],
)
def test_condition_is_held_against_the_alert(field: str, op: str, value: Any, is_met: bool) -> None:
    decision = decided(rule((field, op, value)), alerts=[CRITICAL_ON_DB_1])

    assert (decision.pipeline, decision.rule) == (("full", 0) if is_met else ("direct", None))


def test_alert_whose_payload_says_no_severity_has_the_empty_one() -> None:
    assert decided(rule(("severity", "is", "")), alerts=[alert()]).rule == 0


def test_one_alert_must_meet_all_conditions() -> None:
    conditions = rule(("severity", "is", "critical"), ("label:team", "is", "web"), ("source", "is", "grafana"))
    halves = [CRITICAL_ON_DB_1, alert(labels={"team": "web"})]
    whole = alert(severity=Severity.CRITICAL, labels={"team": "web"})

    missed, met = decided(conditions, alerts=halves), decided(conditions, alerts=[*halves, whole])

    assert missed.rule is None
    assert [(miss.alert, miss.condition.field, miss.found) for miss in missed.why[0].misses] == [
        (0, "label:team", "storage"),
        (1, "severity", ""),
    ]
    assert (met.rule, met.why[0].taken_by) == (0, 2)


def test_first_rule_that_matches_wins_and_later_ones_are_not_tried() -> None:
    decision = decided(
        rule(("source", "is", "zabbix"), pipeline="a"),
        rule(("severity", "is", "critical"), pipeline="b"),
        rule(("source", "is", "grafana"), pipeline="c"),
        alerts=[CRITICAL_ON_DB_1],
    )

    assert (decision.pipeline, decision.rule) == ("b", 1)
    assert [(trial.rule, trial.is_taken) for trial in decision.why] == [(0, False), (1, True)]


def test_rules_own_default_comes_before_the_installations() -> None:
    routes = Routes.model_validate({"default": "full"})

    assert decide(routes, source="", environment="", alerts=(), default="direct").pipeline == "full"


def test_delivery_without_alerts_is_taken_only_by_rules_about_the_delivery() -> None:
    about_alerts = rule(("source", "is", "grafana"), ("status", "is-not", "resolved"))

    assert decided(about_alerts, rule(("source", "is", "grafana")), alerts=[]).rule == 1


def test_alerts_are_needed_only_where_a_rule_that_may_take_the_delivery_looks_at_them() -> None:
    by_source, by_label = rule(("source", "is", "grafana")), rule(("label:team", "is", "web"))
    of_zabbix = rule(("source", "is", "zabbix"), ("label:team", "is", "web"))

    def are_needed(*rules: dict[str, Any]) -> bool:
        routes = Routes.model_validate({"rules": list(rules)})
        return needs_alerts(routes, source="grafana", environment="production")

    assert are_needed(by_label)
    assert not are_needed(by_source, by_label)
    assert not are_needed(of_zabbix)
    assert are_needed(of_zabbix, by_label)


def test_all_faults_are_named_at_once_with_rule_and_field() -> None:
    routes = Routes.model_validate(
        {
            "rules": [
                rule(("sevrity", "is", "x"), ("label:", "is", "x"), name="first"),
                rule(("severity", "in", "critical"), ("source", "is", ["grafana"])),
                rule(("severity", "is", "high"), ("instance", "matches", "(a")),
                rule(("source", "is", "grafana"), pipeline="nosuch"),
            ],
            "default": "gone",
        }
    )

    faults = check(routes, PIPELINES)

    expected = [
        ("rule 1 (first): condition 1 (sevrity is)", "unknown field"),
        ("rule 1 (first): condition 2 (label: is)", "unknown field"),
        ("rule 2: condition 1 (severity in)", "list"),
        ("rule 2: condition 2 (source is)", "one text"),
        ("rule 3: condition 1 (severity is)", "'high'"),
        ("rule 3: condition 2 (instance matches)", "regular expression"),
        ("rule 4: pipeline", "'nosuch'"),
        ("default", "'gone'"),
    ]
    assert len(faults) == len(expected)
    for fault, (place, word) in zip(faults, expected, strict=True):
        assert fault.startswith(place)
        assert word in fault


def test_wrong_form_is_named_by_its_place() -> None:
    with pytest.raises(RoutesError) as refused:
        read_routes({"rules": [{"when": [{"field": "source", "op": "like", "value": "x"}]}], "x": 1}, PIPELINES)

    said = "\n".join(refused.value.faults)
    assert "rule 1, condition 1, op" in said
    assert "rule 1, pipeline" in said
    assert "x: " in said


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*)*(.*)*b", "(x+x+)+y"])
def test_no_pattern_hangs_on_alert_text(pattern: str) -> None:
    condition = rule(("label:x", "matches", pattern))
    texts = [alert(labels={"x": ("a" * length) + "!"}) for length in (40, 500)]

    began = time.perf_counter()
    decision = decided(condition, alerts=texts)

    assert decision.rule is None
    assert time.perf_counter() - began < 0.5


def test_of_a_long_text_the_beginning_counts() -> None:
    assert decided(rule(("label:x", "matches", "a+")), alerts=[alert(labels={"x": "a" * 100_000 + "!"})]).rule == 0


@pytest.mark.parametrize("pattern", ["(?=a)b", r"(a)\1", "((.?){300}){3}z"])
def test_pattern_that_could_cost_too_much_is_refused_and_matches_nothing(pattern: str) -> None:
    routes = Routes.model_validate({"rules": [rule(("label:x", "matches", pattern))]})

    assert len(check(routes, PIPELINES)) == 1
    assert decide(routes, source="", environment="", alerts=[alert()], default="direct").rule is None
