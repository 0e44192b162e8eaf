"""The six situations that an installation is set up for, in an operator's words. Each is a preset."""

from dataclasses import dataclass

from tasks.definition.model import Definition
from tasks.definition.presets import PRESETS, preset

WORDS = {
    "local-monitor": "Watch this server, and tell me when something is wrong.",
    "local-smart": "Watch this server, and tell me what is wrong and what to do about it.",
    "direct": "Pass on the alerts of my monitoring systems.",
    "health-checked": "Pass on alerts, with this server's health beside them.",
    "ai-analyzed": "One hub for the alerts of many servers: pass them on with an analysis.",
    "full": "Pass on alerts with this server's health and an analysis.",
}


@dataclass(frozen=True)
class Situation:
    """One of them: what is to be asked follows from the nodes of its preset."""

    name: str
    definition: Definition

    @property
    def words(self) -> str:
        """What it is for."""
        return WORDS[self.name]

    @property
    def checks(self) -> bool:
        """Whether this host is checked."""
        return self._has("context")

    @property
    def analyses(self) -> bool:
        """Whether a provider is asked."""
        return self._has("intelligence")

    @property
    def takes_webhooks(self) -> bool:
        """Whether monitoring systems post to it; else it runs on a schedule."""
        return self._has("ingest")

    def _has(self, kind: str) -> bool:
        return any(node.type == kind for node in self.definition.nodes)


SITUATIONS = {name: Situation(name, preset(name)) for name in PRESETS}
