"""What set-up was told, and the document that it becomes."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deployments.commands.applying.difference import Sections
from deployments.commands.applying.sections import SECTIONS
from deployments.commands.setup.situations import SITUATIONS, Situation
from storage.redaction import is_reference
from storage.settings import Settings

MONITORS = ("local-monitor", "local-smart")
TOKEN_BYTES = 32


@dataclass
class Answers:
    """All of it. `secret_files` are written when it is applied: values by path, each readable by this user only.

    `checkers` None: as they are. `provider` is a kind with its config, None: as it is.
    """

    settings: Settings
    present: Sections
    preset: str = ""
    checkers: list[str] | None = None
    provider: tuple[str, dict[str, Any]] | None = None
    channels: dict[str, dict[str, Any]] = field(default_factory=dict)
    every: str = ""
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    secret_files: dict[Path, str] = field(default_factory=dict)

    @property
    def situation(self) -> Situation:
        """What was chosen."""
        return SITUATIONS[self.preset]

    @property
    def active_channels(self) -> list[str]:
        """Who would be told."""
        there = [name for name, form in self.present["channels"].items() if form["is_active"]]
        return [*there, *(name for name in self.channels if name not in there)]

    def keep_secret(self, name: str, value: str) -> dict[str, str]:
        """A reference to a file that will hold the value."""
        path = self.settings.home / "secrets" / name.replace("/", "_")
        self.secret_files[path] = value
        return {"file": str(path)}

    def add_source(self, source: str, *, is_shared: bool) -> None:
        """Credentials for a monitoring system: a token that nobody knows yet, of its own or all systems'."""
        name = "webhook-token" if is_shared else f"webhook-token-{source}"
        path = self.settings.home / "secrets" / name
        if path in self.secret_files or path.exists():
            reference = {"file": str(path)}
        else:
            reference = self.keep_secret(name, secrets.token_urlsafe(TOKEN_BYTES))
        self.sources[source] = {"tokens": [reference]}

    def resolved(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A config with the values that are not in their files yet; other references stay."""
        return {key: self._value(value) for key, value in config.items()}

    def secret_files_of(self, document: Mapping[str, Any]) -> dict[Path, str]:
        """Those that the document names: others were for answers that have been corrected."""
        text = json.dumps(document)
        return {path: value for path, value in self.secret_files.items() if json.dumps(str(path)) in text}

    def checkers_now(self) -> list[str] | None:
        """The checkers that the chosen pipeline names now; None for the default ones."""
        for node in self.present["definitions"][self.preset]["config"]["nodes"]:
            if node["type"] == "context":
                names: list[str] | None = node.get("config", {}).get("checker_names")
                return names
        return None

    def document(self) -> dict[str, Any]:
        """The document of `apply`, in the order of its sections."""
        parts: dict[str, Any] = {
            "definitions": self._definitions(),
            "routes": self._routes(),
            "channels": self.channels,
            "providers": self._providers(),
            "schedules": self._schedules(),
            "sources": self.sources,
        }
        return {name: parts[name] for name in SECTIONS if parts[name]}

    def _value(self, value: Any) -> Any:
        if isinstance(value, Mapping) and not is_reference(value):
            return self.resolved(value)
        if is_reference(value) and "file" in value:
            return self.secret_files.get(Path(value["file"]), value)
        return value

    def _definitions(self) -> dict[str, Any]:
        held = self.present["definitions"][self.preset]
        entry: dict[str, Any] = {} if held["is_active"] else {"is_active": True}
        if self.checkers is not None and self.checkers != self.checkers_now():
            nodes = [_checking(node, self.checkers) for node in held["config"]["nodes"]]
            entry["config"] = {**held["config"], "nodes": nodes}
        return {self.preset: entry} if entry else {}

    def _routes(self) -> dict[str, Any]:
        held = self.present["routes"]["routes"]
        if not self.situation.takes_webhooks or held["default"] == self.preset:
            return {}
        return {**held, "default": self.preset}

    def _providers(self) -> dict[str, Any]:
        if self.provider is None:
            return {}
        kind, config = self.provider
        return {kind: {"provider": kind, **({"config": config} if config else {}), "is_active": True}}

    def _schedules(self) -> dict[str, Any]:
        if self.situation.takes_webhooks or not self.every:
            return {}
        # Both would check this host, and tell of the same twice.
        others = [name for name in MONITORS if name != self.preset and self.present["schedules"].get(name)]
        return {self.preset: {"every": self.every}, **dict.fromkeys(others, "off")}


def _checking(node: dict[str, Any], names: list[str]) -> dict[str, Any]:
    if node["type"] != "context":
        return node
    config = node.get("config", {})
    kept = {name: value for name, value in config.get("checkers", {}).items() if name in names}
    return {**node, "config": {**config, "checker_names": names, **({"checkers": kept} if kept else {})}}
