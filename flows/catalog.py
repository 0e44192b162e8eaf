"""One flow per preset, and that of redelivery, at a module path that Prefect can load: `flows.catalog.full`."""

from flows.pipeline import PipelineFlow, build_flow
from flows.presets import PRESETS, REDELIVERY, preset

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
    raise RuntimeError("flows.catalog and flows.presets name different presets")


def entrypoint_of(name: str) -> str:
    """The entrypoint of a flow, as a deployment names it."""
    return f"flows.catalog.{name.replace('-', '_')}"


def flow_of(name: str) -> PipelineFlow:
    """The flow of a pipeline; one is built for a saved definition that is no preset."""
    return FLOWS.get(name) or build_flow(name)
