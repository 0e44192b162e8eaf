"""One flow per pipeline, at a module path that Prefect can load: `flows.catalog.full`.

A saved definition that is no preset has a path too, made from its name: `flows.catalog.saved_night_2d_shift`.
"""

import re
from functools import lru_cache

from flows.pipeline import PipelineFlow, build_flow
from flows.retention import RETENTION, prune_flow
from tasks.definition.presets import PRESETS, REDELIVERY, preset

local_monitor = build_flow("local-monitor", preset("local-monitor").description)
local_smart = build_flow("local-smart", preset("local-smart").description)
direct = build_flow("direct", preset("direct").description)
health_checked = build_flow("health-checked", preset("health-checked").description)
ai_analyzed = build_flow("ai-analyzed", preset("ai-analyzed").description)
full = build_flow("full", preset("full").description)
redelivery = build_flow(REDELIVERY, preset(REDELIVERY).description)

FLOWS: dict[str, PipelineFlow] = {
    "local-monitor": local_monitor,
    "local-smart": local_smart,
    "direct": direct,
    "health-checked": health_checked,
    "ai-analyzed": ai_analyzed,
    "full": full,
    REDELIVERY: redelivery,
}
if FLOWS.keys() != {*PRESETS, REDELIVERY}:
    raise RuntimeError("flows.catalog and tasks.definition.presets name different presets")

SAVED = "saved_"
# Letters and digits stand for themselves, any other character is its code point between two underscores.
_OTHER = re.compile(r"[^A-Za-z0-9]")
_CODE = re.compile(r"_([0-9a-f]+)_")


def entrypoint_of(name: str) -> str:
    """The entrypoint of a flow, as a deployment names it."""
    if name in FLOWS:
        return f"{__name__}.{name.replace('-', '_')}"
    return f"{__name__}.{SAVED}" + _OTHER.sub(lambda other: f"_{ord(other[0]):x}_", name)


def flow_of(name: str) -> PipelineFlow:
    """The flow of a pipeline, or of retention; one is built for a definition that is no preset."""
    if name == RETENTION:
        return prune_flow
    return FLOWS.get(name) or _saved(name)


@lru_cache(maxsize=256)
def _saved(name: str) -> PipelineFlow:
    return build_flow(name)


def __getattr__(attribute: str) -> PipelineFlow:
    """The flow of a saved definition, by the last part of its entrypoint."""
    if not attribute.startswith(SAVED):
        raise AttributeError(f"module {__name__!r} has no attribute {attribute!r}")
    return flow_of(_CODE.sub(lambda code: chr(int(code[1], 16)), attribute.removeprefix(SAVED)))
