"""Which credentials belong to which source: WATCHKEEPER_WEBHOOK_TOKEN and WATCHKEEPER_WEBHOOK_AUTH.

WATCHKEEPER_WEBHOOK_AUTH is a JSON object of source names, each with its credentials, such as
`{"pagerduty": {"secrets": [{"env": "PAGERDUTY_SECRET"}]}}`. Every value may be a reference to a secret. Where
neither it nor WATCHKEEPER_WEBHOOK_AUTH_FILE is set, the same stands in a file under the home (kept_auth.py).
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from storage.redaction import is_reference
from storage.settings import Settings, SettingsError
from tasks import secrets
from tasks.errors import PermanentError
from tasks.ingest.sources import SOURCES
from webhook_app import kept_auth
from webhook_app.credentials import (
    GrafanaCredentials,
    PagerDutyCredentials,
    Signed,
    StandardCredentials,
    Tokens,
)

TOKEN = "WATCHKEEPER_WEBHOOK_TOKEN"  # noqa: S105  (a name)
ENTRIES = "WATCHKEEPER_WEBHOOK_AUTH"
FILE = "WATCHKEEPER_WEBHOOK_AUTH_FILE"

# The sources that sign in a way of their own; all others do as Standard Webhooks says.
OWN_SCHEMES: dict[str, type[Signed]] = {"grafana": GrafanaCredentials, "pagerduty": PagerDutyCredentials}


@dataclass(frozen=True)
class Keyring:
    """The token for all sources, and the sources that have an entry of their own instead."""

    token: Tokens | None
    entries: Mapping[str, Signed]

    @property
    def is_empty(self) -> bool:
        """Whether no secret is configured at all."""
        return self.token is None and not self.entries

    def of(self, source: str) -> Tokens | None:
        """What proves a sender of this source. None: nothing is configured for it."""
        return self.entries.get(source, self.token)

    @property
    def open_to_this_machine(self) -> list[str]:
        """The sources for which nothing is configured, in their order."""
        return [source for source in SOURCES if self.of(source) is None]

    @cached_property
    def all(self) -> list[tuple[Tokens | None, frozenset[str]]]:
        """All credentials, each with the sources that it is good for."""
        rest = frozenset(SOURCES) - frozenset(self.entries)
        own = [(entry, frozenset({source})) for source, entry in self.entries.items()]
        return [*own, (self.token, rest)] if rest else [*own]


def load(settings: Settings) -> Keyring:
    """The configured credentials. Raises SettingsError that names the variable and the field, and no value."""
    token = Tokens.model_validate({"tokens": [settings.webhook_token]}) if settings.webhook_token else None
    variable, text = _entries_text(settings)
    given = _object(variable, text)
    return Keyring(token, {source: check_entry(variable, source, entry) for source, entry in given})


def entries(settings: Settings) -> dict[str, Any]:
    """The entries as they were given, unresolved. Raises SettingsError."""
    return dict(_object(*_entries_text(settings)))


def _entries_text(settings: Settings) -> tuple[str, str]:
    if not settings.webhook_auth_file and not settings.webhook_auth:
        return str(kept_auth.path_of(settings)), kept_auth.read_text(settings)
    if not settings.webhook_auth_file:
        return ENTRIES, settings.webhook_auth
    if settings.webhook_auth:
        raise SettingsError(f"{ENTRIES} and {FILE}: set only one of them")
    try:
        return FILE, Path(settings.webhook_auth_file).expanduser().read_text("utf-8")
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{FILE}: cannot be read: {getattr(error, 'strerror', None) or 'no UTF-8 text'}"
        ) from None


def _object(variable: str, text: str) -> Iterator[tuple[str, Any]]:
    try:
        given = json.loads(text) if text.strip() else {}
    except json.JSONDecodeError as error:
        raise SettingsError(f"{variable}: no JSON (line {error.lineno}, column {error.colno})") from None
    except (ValueError, RecursionError):  # a number of thousands of digits, thousands of brackets
        raise SettingsError(f"{variable}: no JSON that can be read") from None
    if not isinstance(given, Mapping):
        raise SettingsError(f"{variable}: must be an object of source names")
    yield from given.items()


def check_entry(variable: str, source: str, given: Any) -> Signed:
    """One source's credentials, resolved. Raises SettingsError as load does; `variable` is where they stand."""
    if source not in SOURCES:
        raise SettingsError(f"{variable}: unknown source {source!r}; one of {', '.join(SOURCES)}")
    try:
        for path in _blocks(given, source):
            raise SettingsError(
                f"{variable}: {path}: a Prefect block cannot be used here, because the receiver works without "
                "Prefect; use env or file"
            )
        resolved = secrets.resolve({source: given})[source]
        return OWN_SCHEMES.get(source, StandardCredentials).model_validate(resolved)
    except PermanentError as error:
        raise SettingsError(f"{variable}: {error}") from None
    except RecursionError:
        raise SettingsError(f"{variable}: {source}: nested too deeply") from None
    except ValidationError as error:
        # from None: pydantic's own text may quote what was given.
        faults = [
            f"{_path(source, fault['loc'])}: {fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors(include_input=False)
        ]
        raise SettingsError(f"{variable}: {'; '.join(faults)}") from None


def _blocks(value: Any, path: str) -> Iterator[str]:
    """Where references to Prefect blocks stand."""
    if is_reference(value):
        if "prefect" in value:
            yield path
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _blocks(item, f"{path}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _blocks(item, f"{path}[{index}]")


def _path(source: str, location: tuple[int | str, ...]) -> str:
    return source + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
