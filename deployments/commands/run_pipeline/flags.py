"""Which flags of `run-pipeline` go together."""

from deployments.commands.run_pipeline.command import Asked
from deployments.errors import WrongUseError
from tasks.ingest.sources import SOURCES
from tasks.notify.channels import CHANNELS

ID_MAX_CHARS = 64


def check_flags(asked: Asked) -> None:
    """Raises WrongUseError that names the flags."""
    if asked.definition and asked.config:
        raise WrongUseError("Cannot specify both --definition and --config")
    bodies = {"--sample": asked.sample, "--payload": asked.payload is not None, "--file": bool(asked.file)}
    given = [flag for flag, is_given in bodies.items() if is_given]
    if len(given) > 1:
        raise WrongUseError(f"Cannot specify both {given[0]} and {given[1]}")
    if not (given or asked.checks_only or asked.definition or asked.config):
        raise WrongUseError("Must specify --sample, --payload, --file, --checks-only, --definition, or --config")
    if asked.source and not given:
        raise WrongUseError("--source says how to read a body: it goes with --sample, --payload or --file")
    _check_checks(asked)
    _check_word("--source", asked.source, list(SOURCES))
    _check_word("--notify-driver", asked.notify_driver, list(CHANNELS))
    _check_id("--trace-id", asked.trace_id)
    _check_id("--environment", asked.environment)


def _check_checks(asked: Asked) -> None:
    others = {
        "--definition": asked.definition,
        "--config": asked.config,
        "--payload": asked.payload is not None,
        "--file": asked.file,
    }
    if asked.checks_only:
        # The seeds' own example has --sample beside it, of which nothing is left when no alert is taken in.
        if wrong := [flag for flag, is_given in others.items() if is_given]:
            raise WrongUseError(f"Cannot specify both --checks-only and {wrong[0]}")
        return
    of_checks = {
        "--checkers": asked.checkers is not None,
        "--no-incidents": asked.no_incidents,
        "--hostname": asked.hostname is not None,
        "--label": asked.label,
        "--warning-threshold": asked.warning_threshold is not None,
        "--critical-threshold": asked.critical_threshold is not None,
    }
    if wrong := [flag for flag, is_given in of_checks.items() if is_given]:
        raise WrongUseError(f"{wrong[0]} goes with --checks-only")


def _check_word(flag: str, word: str, known: list[str]) -> None:
    if word and word not in known:
        raise WrongUseError(f"{flag}: unknown {flag.rpartition('-')[2]} {word!r}; one of {', '.join(known)}")


def _check_id(flag: str, text: str) -> None:
    if text and not (text.strip() and text.isprintable() and len(text) <= ID_MAX_CHARS):
        raise WrongUseError(f"{flag}: must be 1 to {ID_MAX_CHARS} printable characters, and not blank")
