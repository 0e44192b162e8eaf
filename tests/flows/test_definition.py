"""Definitions and presets."""

import pytest

from flows.catalog import FLOWS, entrypoint_of
from flows.definition import DefinitionError, read_definition
from flows.kinds import KINDS
from flows.presets import PRESETS, REDELIVERY, preset

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
        ([], "nodes"),
        ([{"id": "a", "type": "teleport"}], "nodes.0.type"),
        ([{"id": "a", "type": "notify", "colour": "red"}], "nodes.0.colour"),
        ([NOTIFY, NOTIFY], "node tell: the id is used twice"),
        ([{**NOTIFY, "next": "nobody"}], "node tell: next names 'nobody'"),
        ([{**NOTIFY, "next": "tell"}], "form a circle"),
        (
            [{"id": "a", "type": "ingest", "next": "b"}, {"id": "b", "type": "notify", "next": "a"}],
            "form a circle",
        ),
        (
            [NOTIFY, {"id": "a", "type": "ingest", "next": "b"}, {"id": "b", "type": "notify", "next": "a"}],
            "never reached",
        ),
        ([NOTIFY, {"id": "a", "type": "ingest"}], "exactly one node"),
        ([{"id": "a", "type": "ingest", "max_retries": -1}], "nodes.0.max_retries"),
    ],
)
def test_faulty_definition_is_refused_by_name(nodes: list[dict[str, object]], fault: str) -> None:
    with pytest.raises(DefinitionError, match=fault):
        read_definition({"nodes": nodes})
