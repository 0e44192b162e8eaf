"""Every setting of an installation, read from the environment.

The names of the environment variables are the field names in upper case: `WATCHKEEPER_…` for ours, and the
seeds' `ORCHESTRATION_…` for the ones they named.
"""

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AliasChoices, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSettingError

# How the names of the variables begin that a setting may come from; the home folder is in HOME.
READ = ("WATCHKEEPER_", "ORCHESTRATION_", "STATSD_", "PREFECT_", "HOME")
SECRET_KEY_MIN_CHARS = 32
_FIELD = re.compile(r'field "(\w+)"')


class SettingsError(Exception):
    """A setting has a value that cannot be used; the message names the variable."""


def default_home() -> Path:
    """`/var/lib/watchkeeper` for root, else `~/.local/share/watchkeeper`.

    Root's own home is private, and the embedded PostgreSQL runs as another user.
    """
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/watchkeeper")
    return Path.home() / ".local/share/watchkeeper"


def _seed_name(name: str) -> AliasChoices:
    return AliasChoices(f"ORCHESTRATION_{name}", f"WATCHKEEPER_{name}")


class Settings(BaseSettings):
    """One installation's settings. Durations are seconds, sizes are bytes."""

    model_config = SettingsConfigDict(env_prefix="WATCHKEEPER_", extra="ignore", populate_by_name=True)

    home: Path = Field(default_factory=default_home)
    database_url: str = ""
    host: str = "127.0.0.1"
    port: int = Field(default=8420, ge=0, le=65535)
    receivers: int = Field(default=2, ge=1, le=32)
    public_url: str = ""
    prefect_port: int = Field(default=4210, ge=0, le=65535)

    prefect_api_url: str = Field(default="", validation_alias="PREFECT_API_URL")
    prefect_ui_url: str = Field(default="", validation_alias="PREFECT_UI_URL")

    pipeline: str = "full"
    environment: str = "production"
    max_body_bytes: int = Field(default=5 * 1024 * 1024, ge=1024)
    accept_timeout_seconds: float = Field(default=3.5, gt=0, le=60)
    webhook_token: str = Field(default="", repr=False)
    webhook_auth: str = Field(default="", repr=False)
    webhook_auth_file: str = ""
    api_token: str = Field(default="", repr=False)
    # What signs the console's cookies; without one a file under the home holds it.
    secret_key: str = Field(default="", repr=False)

    slots: int = Field(default=4, ge=1, le=64)
    batch_limit: int = Field(default=200, ge=1, le=1000)
    lease_seconds: float = Field(default=45, ge=2, le=3600)
    direct_after_seconds: float = Field(default=30, ge=0)
    drain_seconds: float = Field(default=60, ge=1)

    monitor: bool = False
    monitor_interval_seconds: float = Field(default=300, ge=10)
    # The configs of checkers, by name; a definition's own keys come before them.
    checkers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    reopen_minutes: float = Field(default=10, ge=0)
    # The zone in which a source writes times that name none, by source; UTC for the others.
    source_timezones: dict[str, ZoneInfo] = Field(default_factory=dict)

    # Tokens that AI providers may use in a day (UTC); 0 is no limit.
    ai_daily_tokens: int = Field(default=1_000_000, ge=0)
    # For so long an AI provider's answer to just the same question is given again; 0 asks every time.
    ai_cache_hours: float = Field(default=24, ge=0, le=8760)

    # Seconds from each failed try of a message to the next; after the last it is a dead letter.
    notify_retry_seconds: list[float] = Field(default=[5, 30, 120, 600, 1800, 7200, 21_600, 43_200], max_length=50)
    # Webhooks of users' choosing may not go to private addresses either; to metadata services they never may.
    block_private_addresses: bool = False
    # The folder of template files; see templates_folder.
    templates: Path | None = None

    # 0 keeps them for ever.
    retain_bodies_days: int = Field(default=30, ge=0, le=36500)
    retain_delivery_ids_days: int = Field(default=7, ge=0, le=36500)
    retain_deliveries_days: int = Field(default=90, ge=0, le=36500)
    # Also how long Prefect's server keeps its flow runs, where `up` starts it.
    retain_runs_days: int = Field(default=30, ge=0, le=36500)
    retain_checks_days: int = Field(default=30, ge=0, le=36500)
    retain_history_days: int = Field(default=90, ge=0, le=36500)
    retain_analyses_days: int = Field(default=90, ge=0, le=36500)
    retain_notifications_days: int = Field(default=90, ge=0, le=36500)
    retain_audit_days: int = Field(default=365, ge=0, le=36500)
    # Those that are over, with their alerts and all that belongs to them.
    retain_incidents_days: int = Field(default=0, ge=0, le=36500)

    max_retries_per_stage: int = Field(
        default=3, ge=0, le=20, validation_alias=_seed_name("MAX_RETRIES_PER_STAGE")
    )
    backoff_factor: float = Field(default=2.0, ge=0, le=60, validation_alias=_seed_name("BACKOFF_FACTOR"))
    intelligence_fallback_enabled: bool = Field(
        default=True, validation_alias=_seed_name("INTELLIGENCE_FALLBACK_ENABLED")
    )

    # Where signals go (tasks/signals.py).
    metrics_backend: Literal["logging", "statsd"] = Field(
        default="logging", validation_alias=_seed_name("METRICS_BACKEND")
    )
    statsd_host: str = Field(default="localhost", min_length=1, validation_alias="STATSD_HOST")
    statsd_port: int = Field(default=8125, ge=1, le=65535, validation_alias="STATSD_PORT")
    statsd_prefix: str = Field(default="pipeline", pattern=r"^[A-Za-z0-9_.-]*$", validation_alias="STATSD_PREFIX")

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    log_format: Literal["text", "json"] = "text"

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_capitals(cls, level: Any) -> Any:
        return level.upper() if isinstance(level, str) else level

    @field_validator("home", "templates")
    @classmethod
    def _absolute(cls, folder: Path | None) -> Path | None:
        return folder.expanduser().absolute() if folder else None

    @field_validator("secret_key")
    @classmethod
    def _cannot_be_guessed(cls, key: str) -> str:
        if key and len(key) < SECRET_KEY_MIN_CHARS:
            raise ValueError(f"must have {SECRET_KEY_MIN_CHARS} characters or more")
        if not _is_utf8(key):
            raise ValueError("must be UTF-8 text")
        return key

    @field_validator("webhook_token", "api_token")
    @classmethod
    def _is_sendable(cls, token: str) -> str:
        # No header brings such a token in, so a receiver with it would look guarded and be shut.
        if token != token.strip():
            raise ValueError("must not begin or end with a space or a line break")
        if not _is_utf8(token):
            raise ValueError("must be UTF-8 text")
        return token

    @property
    def is_light_mode(self) -> bool:
        """Whether our database is SQLite."""
        return self.database_url.startswith("sqlite")

    @property
    def templates_folder(self) -> Path:
        """Where the files of message templates lie."""
        return self.templates or self.home / "templates"

    @property
    def web_url(self) -> str:
        """Where people reach the receiver, without a trailing slash; used in links."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (self.public_url or f"http://{host}:{self.port}").rstrip("/")

    @property
    def console_url(self) -> str:
        """Where people find the console."""
        return f"{self.web_url}/admin/"

    def flow_run_url(self, flow_run_id: str | None) -> str:
        """The page of a flow run in the Prefect UI; empty where there is none."""
        ui = self.prefect_ui_url or self.prefect_api_url.removesuffix("/").removesuffix("/api")
        return f"{ui}/runs/flow-run/{flow_run_id}" if ui and flow_run_id else ""


def load() -> Settings:
    """The settings by the environment, shared by all who ask: nobody may change what is in them.

    Raises SettingsError that names each wrong variable.
    """
    return _load(frozenset((name, text) for name, text in os.environ.items() if name.upper().startswith(READ)))


@lru_cache(maxsize=8)
def _load(environment: frozenset[tuple[str, str]]) -> Settings:
    """Reading takes over a millisecond, and a message asks several times: done anew when a variable changes."""
    del environment
    try:
        return Settings()
    except ValidationError as error:
        faults = [f"{_variable(fault['loc'])}: {fault['msg']}" for fault in error.errors()]
        raise SettingsError("; ".join(faults)) from None
    except UnreadableSettingError as error:
        field = _FIELD.search(str(error))
        name = _variable((field[1],)) if field else str(error)
        raise SettingsError(f"{name}: must be JSON") from None


def _is_utf8(text: str) -> bool:
    # Bytes of the environment that are no UTF-8 come as lone surrogates.
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _variable(location: tuple[int | str, ...]) -> str:
    name = str(location[0]) if location else "settings"
    return name if name.isupper() else f"WATCHKEEPER_{name.upper()}"
