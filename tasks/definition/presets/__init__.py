"""The definitions we ship, as JSON files beside this one."""

import json
from functools import cache
from importlib.resources import files

from tasks.definition.checking import read_definition
from tasks.definition.model import Definition

PRESETS = ("local-monitor", "local-smart", "direct", "health-checked", "ai-analyzed", "full")
# What the relay runs for messages that no run has in hand. It takes no webhook, and nobody chooses it.
REDELIVERY = "redelivery"


@cache
def preset(name: str) -> Definition:
    """One preset, or `redelivery`, checked. Raises KeyError for an unknown name."""
    if name not in (*PRESETS, REDELIVERY):
        raise KeyError(name)
    return read_definition(json.loads((files(__package__) / f"{name}.json").read_text("utf-8")))
