"""`run-pipeline --checks-only`: its flags as the config of the check stage."""

from typing import Any

from pydantic import ValidationError

from deployments.commands.run_pipeline.command import Asked
from deployments.errors import WrongUseError
from storage.settings import Settings
from tasks.check.stage import ContextConfig, plan
from tasks.errors import PermanentError

PIPELINE = "local-monitor"
NODE_TYPE = "context"


def check_config(asked: Asked, settings: Settings) -> dict[str, Any]:
    """The config of this run's check nodes. Raises WrongUseError for what cannot be meant."""
    if asked.checkers == []:
        raise WrongUseError("--checkers: name at least one, or leave it out for the default ones")
    if asked.hostname is not None and not asked.hostname.strip():
        raise WrongUseError("--hostname: must not be blank")
    wanted = {
        "checker_names": asked.checkers,
        "incidents": False if asked.no_incidents else None,
        "hostname": asked.hostname,
        "labels": _labels(asked.label),
        "warning_threshold": asked.warning_threshold,
        "critical_threshold": asked.critical_threshold,
    }
    config = {key: value for key, value in wanted.items() if value not in (None, {})}
    _check(config, settings)
    return config


def _check(config: dict[str, Any], settings: Settings) -> None:
    """Refuse what the stage would, before anything is stored."""
    try:
        plan(ContextConfig.model_validate(config), settings.checkers)
    except ValidationError as error:
        faults = (f"{fault['loc'][0]}: {fault['msg'].removeprefix('Value error, ')}" for fault in error.errors())
        raise WrongUseError("; ".join(faults)) from None
    except PermanentError as error:
        raise WrongUseError(str(error)) from None


def _labels(texts: list[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not key or not separator:
            raise WrongUseError(f"--label {text!r}: must be KEY=VALUE")
        labels[key] = value
    return labels
