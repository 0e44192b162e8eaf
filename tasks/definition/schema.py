"""The JSON Schema of definitions, for editors and for whoever writes one: https://json-schema.org/draft/2020-12."""

from typing import Any

from pydantic import BaseModel

from storage.vocabulary import RecommendationPriority
from tasks.analyze.providers import PROVIDERS
from tasks.check.checkers import CHECKERS
from tasks.definition.kinds import KINDS
from tasks.definition.model import Definition
from tasks.notify.channels import CHANNELS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TITLE = "Watchkeeper pipeline definition"


def definition_schema() -> dict[str, Any]:
    """What a definition looks like. How nodes follow each other, and expressions, only validation looks at."""
    schema = _schema_of(Definition)
    parts = schema.pop("$defs")
    node = parts.pop("Node")
    for node_type in KINDS:
        config, inner = _config_of(node_type)
        parts |= inner | {f"{node_type}_config": config, f"{node_type}_node": _node_of(node, node_type)}
    schema["properties"]["nodes"]["items"] = {
        "oneOf": [{"$ref": f"#/$defs/{node_type}_node"} for node_type in KINDS],
        "discriminator": {
            "propertyName": "type",
            "mapping": {node_type: f"#/$defs/{node_type}_node" for node_type in KINDS},
        },
    }
    schema["properties"]["tags"]["type"] = ["array", "object"]
    return {"$schema": DIALECT, **schema, "title": TITLE, "$defs": parts}


def _schema_of(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(mode="validation", ref_template="#/$defs/{model}")


def _node_of(node: dict[str, Any], node_type: str) -> dict[str, Any]:
    properties = {
        **node["properties"],
        "type": {"const": node_type},
        "config": {"$ref": f"#/$defs/{node_type}_config"},
    }
    if node_type == "ingest":
        properties["required"] = {"const": True, "default": True}
    needs_config = ["config"] if KINDS[node_type].config.model_json_schema().get("required") else []
    return {
        **node,
        "title": f"{node_type} node",
        "properties": properties,
        "required": [*node["required"], *needs_config],
    }


def _config_of(node_type: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema of a type's config, with the names that there are, and the parts that it refers to."""
    schema = _schema_of(KINDS[node_type].config)
    inner = schema.pop("$defs", {})
    properties = schema["properties"]
    if node_type == "context":
        properties["checker_names"] = _named(properties["checker_names"], list(CHECKERS))
        properties["include"] = properties["checker_names"]
        properties["checkers"]["propertyNames"] = {"enum": list(CHECKERS)}
    elif node_type == "intelligence":
        properties["provider"] = _named(properties["provider"], list(PROVIDERS))
    elif node_type == "notify":
        for key in ("driver", "drivers"):
            properties[key] = _named(properties[key], list(CHANNELS))
    elif node_type == "transform":
        words = "|".join(
            "".join(f"[{letter}{letter.upper()}]" for letter in priority) for priority in RecommendationPriority
        )
        properties["filter_priority"] = {"type": ["string", "null"], "pattern": f"^({words})$"}
    return schema, inner


def _named(schema: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """The same, where a text is one of these names."""
    found: dict[str, Any] = {
        key: _named(value, names) if isinstance(value, dict) else value for key, value in schema.items()
    }
    if "anyOf" in found:
        found["anyOf"] = [_named(each, names) for each in found["anyOf"]]
    return {**found, "enum": names} if found.get("type") == "string" else found
