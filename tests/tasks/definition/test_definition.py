"""Definitions and presets."""

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it brings no types

from flows.catalog import FLOWS, entrypoint_of
from storage.database import Database
from tasks.definition.checking import (
    FAULT_MAX_CHARS,
    FAULTS_MAX,
    DefinitionError,
    faults_of,
    load_definition,
    read_definition,
)
from tasks.definition.kinds import KINDS
from tasks.definition.naming import ADHOC, RETENTION, fault_of_name
from tasks.definition.presets import PRESETS, REDELIVERY, preset
from tasks.definition.saving import warnings_of
from tasks.definition.schema import definition_schema

NOTIFY = {"id": "tell", "type": "notify"}


def test_presets_are_the_seeds_six_with_their_stages() -> None:
    stages = {name: [node.type for node in preset(name).path()] for name in PRESETS}

    assert stages == {
        "local-monitor": ["context", "notify"],
        "local-smart": ["context", "intelligence", "notify"],
        "direct": ["ingest", "notify"],
        "health-checked": ["ingest", "context", "notify"],
        "ai-analyzed": ["ingest", "intelligence", "notify"],
        "full": ["ingest", "context", "intelligence", "notify"],
    }


def test_every_preset_has_a_flow_of_its_name_at_its_entrypoint() -> None:
    from prefect.flows import load_flow_from_entrypoint  # noqa: PLC0415

    assert set(FLOWS) == {*PRESETS, REDELIVERY}
    for name, flow in FLOWS.items():
        assert flow.name == name
        assert load_flow_from_entrypoint(entrypoint_of(name)) is flow


@pytest.mark.parametrize("name", PRESETS)
def test_node_configs_of_presets_are_valid(name: str) -> None:
    for node in preset(name).path():
        KINDS[node.type].config.model_validate(node.config)


def test_next_orders_the_nodes_not_their_place() -> None:
    definition = read_definition({"nodes": [NOTIFY, {"id": "in", "type": "ingest", "next": "tell"}]})

    assert [node.id for node in definition.path()] == ["in", "tell"]


@pytest.mark.parametrize(
    ("nodes", "fault"),
    [
        ([], "nodes: it must be a list of at least one node"),
        ([5], "nodes[0]: must be an object with an id and a type"),
        ([{"type": "notify"}], "nodes[0]: id: it is missing"),
        ([{"id": "a"}], "node a: type: it is missing"),
        ([{"id": "a", "type": "teleport"}], "node a: type: unknown type 'teleport'; one of ingest, context,"),
        ([{**NOTIFY, "colour": "red"}], "node tell: colour: unknown key; the keys are id, type, config, next,"),
        ([NOTIFY, NOTIFY], "node tell: the id is used twice"),
        ([{**NOTIFY, "next": "nobody"}], "node tell: next names 'nobody', which is no node"),
        ([{**NOTIFY, "next": "tell"}], "nodes tell -> tell: they form a circle"),
        (
            [NOTIFY, {"id": "a", "type": "context", "next": "b"}, {"id": "b", "type": "notify", "next": "a"}],
            "nodes a -> b -> a: they form a circle",
        ),
        ([NOTIFY, {"id": "a", "type": "ingest"}], "node a: it is never reached: the pipeline begins with tell"),
        (
            [{"id": i, "type": "context", "next": "tell"} for i in "ab"] + [NOTIFY],
            "node tell: the nodes a and b both name it as next",
        ),
        ([{**NOTIFY, "max_retries": -1}], "node tell: max_retries: must be greater than or equal to 0"),
        ([{"id": "in", "type": "ingest", "required": False}], "node in: required: an ingest node always is"),
        (
            [{"id": "in", "type": "ingest", "config": {"driver": "pigeon"}}],
            "config.driver: unknown source 'pigeon'",
        ),
        (
            [{"id": "c", "type": "context", "config": {"include": ["gpu"]}}],
            "config.include: unknown checker 'gpu'",
        ),
        (
            [{"id": "c", "type": "context", "config": {"checkers": {"cpu": {"warning_threshold": 99}}}}],
            "node c: config.checkers: checker cpu: warning_threshold 99 must not be above",
        ),
        (
            [{"id": "a", "type": "intelligence", "config": {"provider": "hal"}}],
            "node a: config.provider: unknown provider 'hal'",
        ),
        (
            [{**NOTIFY, "config": {"drivers": ["owl"]}}],
            "config.drivers: unknown channel driver 'owl'; one of email",
        ),
        ([{"id": "t", "type": "transform"}], "node t: config.source_node: it is missing"),
        (
            [{"id": "t", "type": "transform", "config": {"source_node": "tell"}, "next": "tell"}, NOTIFY],
            "node t: config.source_node: node 'tell' does not come before this one",
        ),
        ([{"id": "t", "type": "transform", "config": {"source_node": "t"}}], "'t' is the node itself"),
        ([{**NOTIFY, "skip_if_errors": ["x"]}], "node tell: skip_if_errors: there is no node 'x'"),
        ([{**NOTIFY, "when": "severity >="}], "node tell: when: at character "),
        ([{**NOTIFY, "skip_if_condition": "x.has_errors"}], "node tell: skip_if_condition: there is no node 'x'"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_faulty_definition_is_refused_by_name(nodes: list[object], fault: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        read_definition({"nodes": nodes})

    assert any(fault in each for each in refused.value.faults), refused.value.faults


def test_every_fault_is_told_at_once() -> None:
    faults = faults_of(
        {
            "version": 2,
            "colour": "red",
            "nodes": [
                {
                    "id": "check",
                    "type": "context",
                    "config": {"checker_names": ["gpu"], "speed": 1},
                    "next": "gone",
                },
                {"id": "odd", "type": "teleport"},
                {**NOTIFY, "when": "eval('1')", "timeout_seconds": 0},
            ],
        }
    )

    for told in (
        "version:",
        "colour:",
        "'gpu'",
        "config.speed",
        "'gone'",
        "'teleport'",
        "when:",
        "timeout_seconds:",
    ):
        assert len([fault for fault in faults if told in fault]) == 1, (told, faults)


@pytest.mark.parametrize(
    "config", [None, [], "x", {}, {"nodes": "x"}, {"nodes": {}}, {"nodes": [[]] * 3}], ids=repr
)
def test_what_is_no_definition_is_refused_in_words(config: object) -> None:
    assert faults_of(config)


def test_deep_nesting_is_refused_and_not_followed() -> None:
    deep: object = {}
    for _ in range(100_000):
        deep = {"a": deep}

    assert faults_of({"nodes": [{**NOTIFY, "config": deep}]}) == ["the definition is nested deeper than 40 levels"]


def test_forms_of_the_seeds_are_taken() -> None:
    definition = read_definition(
        {
            "version": "1.0",
            "tags": {"team": "db"},
            "defaults": {"max_retries": 3, "timeout_seconds": 300},
            "nodes": [
                {"id": "in", "type": "ingest", "config": {"driver": "generic"}, "next": "ctx"},
                {"id": "ctx", "type": "context", "config": {"include": ["cpu"]}, "next": "ai"},
                {"id": "ai", "type": "intelligence", "config": {"provider": "local"}, "next": "high"},
                {
                    "id": "high",
                    "type": "transform",
                    "config": {"source_node": "ai", "extract": "recommendations", "filter_priority": "HIGH"},
                    "next": "tell",
                },
                {"id": "tell", "type": "notify", "config": {"driver": "slack"}},
            ],
        }
    )

    assert definition.tags == ["team:db"]
    assert KINDS["context"].config.model_validate({"include": ["cpu"]}).model_dump()["checker_names"] == ["cpu"]


def test_what_changed_about_the_installation_is_left_to_the_node() -> None:
    gone = {
        "nodes": [{"id": "c", "type": "context", "config": {"checker_names": ["gone"]}, "next": "tell"}, NOTIFY]
    }

    assert [node.id for node in load_definition(gone).path()] == ["c", "tell"]
    assert faults_of(gone)


def test_presets_and_only_right_definitions_fit_the_schema() -> None:
    schema = definition_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)

    for name in PRESETS:
        assert list(validator.iter_errors(preset(name).model_dump(mode="json", exclude_defaults=True))) == []
    for node in (
        {**NOTIFY, "colour": "red"},
        {"id": "t", "type": "transform"},
        {"id": "t", "type": "teleport"},
        {"id": "a", "type": "intelligence", "config": {"provider": "hal"}},
        {"id": "c", "type": "context", "config": {"checker_names": ["gpu"]}},
        {"id": "in", "type": "ingest", "required": False},
    ):
        assert not validator.is_valid({"nodes": [node]}), node


def test_faults_of_a_hostile_definition_are_bounded() -> None:
    faults = faults_of({"nodes": [NOTIFY], "x" * 10_000: 1, **{f"k{number}": 1 for number in range(10_000)}})

    assert faults[-1] == f"and {10_001 - FAULTS_MAX} faults more"
    assert (len(faults), max(map(len, faults))) == (FAULTS_MAX + 1, FAULT_MAX_CHARS)


def test_example_of_the_readme_is_right() -> None:
    text = (Path(__file__).parents[3] / "README.md").read_text("utf-8")
    [example] = re.findall(r"```json\n(\{\n  \"version\".*?)```", text, flags=re.DOTALL)

    assert faults_of(json.loads(example)) == []
    assert Draft202012Validator(definition_schema()).is_valid(json.loads(example))


@pytest.mark.parametrize(
    "name",
    ["", "a b", "-x", "ä", "x" * 129, "a/b", "..", "a\n", REDELIVERY, RETENTION, f"{ADHOC}x"],
)
def test_name_that_nothing_would_take_is_refused(name: str) -> None:
    assert fault_of_name(name)


@pytest.mark.parametrize("name", [*PRESETS, "a", "_x", "db-team.2", "x" * 128])
def test_fit_name_is_taken(name: str) -> None:
    assert bool(fault_of_name(name)) is (name == REDELIVERY)


def test_what_cannot_work_now_is_a_warning(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    config = {
        "nodes": [
            {"id": "ai", "type": "intelligence", "config": {"provider": "claude"}, "next": "tell"},
            {**NOTIFY, "config": {"channels": ["ops"]}},
        ]
    }
    with database.read() as session:
        told = warnings_of(session, config)

    assert any("node tell: channel 'ops' is not active" in each for each in told)
    assert any("ANTHROPIC_API_KEY" in each for each in told), told
