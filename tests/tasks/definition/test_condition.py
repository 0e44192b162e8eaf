"""The expressions of `when` and `skip_if_condition`."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.definition.condition import FACTS, ConditionError, read_condition

FACTS_NOW = {
    "severity": "critical",
    "status": "firing",
    "source": "grafana",
    "environment": "production",
    "labels": {"team": "db", "app.kubernetes.io/name": "shop"},
    "outputs": {
        "check": {"has_errors": False, "checks_failed": 2, "status": "warning"},
        "my-check": {"has_errors": True},
        "analyze": {"recommendations": [{"priority": "high"}]},
    },
}


@pytest.mark.parametrize(
    "text",
    [
        'severity >= "warning"',
        '"info" < severity <= "critical"',
        'status == "firing" and source in ["grafana", "zabbix"]',
        'labels.team == "db"',
        'labels["app.kubernetes.io/name"] == "shop"',
        'not labels.nobody and "nobody" not in labels',
        'outputs["my-check"].has_errors and not check.has_errors',
        "outputs.check.checks_failed > 1",
        'analyze.recommendations[0].priority >= "medium"',
        'check.status < "critical"',
        '"prod" in environment',
        "analyze.recommendations[7].priority == None",
        "(-1 < 0.5) == True",
    ],
)
def test_what_holds(text: str) -> None:
    assert read_condition(text).holds(FACTS_NOW)
    assert not read_condition(f"not ({text})").holds(FACTS_NOW)


@pytest.mark.parametrize(
    "text",
    [
        "labels.nobody < 3",
        "labels.nobody >= 3",
        'labels.team < "critical"',
        "nobody.has_errors",
        "labels > labels",
        'severity.rank == "x"',
        "3 in 3",
        '"a" in nobody',
        'labels.team == "DB"',
    ],
)
def test_what_is_missing_or_does_not_compare_is_false(text: str) -> None:
    assert not read_condition(text).holds(FACTS_NOW)


@pytest.mark.parametrize("sign", ["<", "<=", ">", ">="])
def test_no_severity_is_neither_more_nor_less(sign: str) -> None:
    assert not read_condition(f'severity {sign} "info"').holds({"severity": ""})


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("__import__('os').system('x')", "at character 1: nothing can be called"),
        ("labels.__class__", "__class__ is out of bounds"),
        ("my-check.has_errors", 'outputs["the-id"]'),
        ("[x for x in labels]", "has no place"),
        ("lambda: 1", "no functions"),
        ("f'{labels}'", "no f-strings"),
        ("labels[severity]", "in brackets stands a text or a number"),
        ("labels is None", "`is` is written =="),
        ("b'x' == 1", "only texts, numbers"),
        ("severity >=", "at character 12"),
        ('severity == "crit"', "at character 13: 'crit' is none of"),
        ('status in ["firing", "broken"]', "'broken' is none of firing, resolved"),
        ("not " * 40 + "severity", "nested deeper than 30 levels"),
        ("(" * 900, "at character"),
        ("x" * 1001, "longer than 1000 characters"),
        ("(a := 1)", "has no place"),
        ("1 if 2 else 3", "there is no if"),
        ("\0", "at character"),
        ("", "at character"),
    ],
    ids=range(19),
)
def test_what_is_no_condition_is_refused_with_its_place(text: str, fault: str) -> None:
    with pytest.raises(ConditionError) as refused:
        read_condition(text)

    assert fault in str(refused.value)


def test_the_nodes_that_it_looks_at_are_known() -> None:
    condition = read_condition('outputs["a-b"].x and check.y == outputs.z.q and labels.outputs')

    assert {name for name, _ in condition.nodes()} == {"a-b", "check", "z"}
    assert condition.facts() == {"outputs", "labels"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["critical", "firing", "a", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "status", "x"]), inner),
    max_leaves=8,
)
ATOMS = st.sampled_from(
    [
        *FACTS,
        "a",
        "labels.a",
        "outputs.x.status",
        "a[0]",
        'x["a"]',
        "3",
        '"critical"',
        '"a"',
        "None",
        "[]",
        "1e999",
    ]
)
SIGNS = ["==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(SIGNS), inner),
        st.builds("(not {})".format, inner),
        st.builds("[{}, {}]".format, inner, inner),
    ),
    max_leaves=12,
)


@given(text=EXPRESSIONS, facts=st.fixed_dictionaries(dict.fromkeys(FACTS, JSON)))
def test_no_facts_make_it_fail(text: str, facts: dict[str, object]) -> None:
    try:
        condition = read_condition(text)
    except ConditionError:
        return

    assert condition.holds(facts) in {True, False}


@given(text=st.text(max_size=80) | st.text(alphabet="()[].,'\"<>=! notandrilbes0-{}:*\\", max_size=200))
def test_no_text_makes_reading_it_fail_otherwise(text: str) -> None:
    with suppress(ConditionError):
        assert read_condition(text).holds(FACTS_NOW) in {True, False}
