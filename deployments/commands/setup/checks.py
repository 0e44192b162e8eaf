"""Whether an answer can be used. Each refuses with the reason: PermanentError, or TransientError."""

from collections.abc import Mapping
from typing import Any

from deployments.commands.durations import read_seconds
from deployments.commands.setup.answers import Answers
from storage.settings import load
from tasks.analyze.providers import PROVIDERS, build
from tasks.check.checks import build_checkers
from tasks.definition.schedule import ScheduleError, read_schedule
from tasks.errors import PermanentError
from tasks.ingest.sources import SOURCES
from tasks.notify import one_off, saving
from tasks.notify.channels import construct
from tasks.secrets import resolve


def words_of(text: str) -> list[str]:
    """A list as it was typed, with commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def checkers(names: list[str]) -> None:
    """Refuse a checker that there is not, or one that cannot run without a config that it lacks."""
    build_checkers(names, load().checkers)


def every(text: str) -> None:
    """Refuse what is no interval of a schedule."""
    try:
        read_schedule({"every_seconds": read_seconds(text)})
    except ValueError as error:
        raise PermanentError(str(error)) from None
    except ScheduleError as error:
        raise PermanentError("; ".join(error.faults)) from None


def sources(names: list[str]) -> None:
    """Refuse a monitoring system that is not known."""
    if unknown := [name for name in names if name not in SOURCES]:
        raise PermanentError(f"unknown source {unknown[0]!r}; there are {', '.join(SOURCES)}")


def provider(answers: Answers, kind: str, config: Mapping[str, Any]) -> None:
    """Refuse a provider that could not be asked."""
    if kind not in PROVIDERS:
        raise PermanentError(f"{kind!r} is none of {', '.join(PROVIDERS)}")
    build(kind, answers.resolved(config))


def channel_name(name: str) -> None:
    """Refuse a name that no channel can have, whatever its kind."""
    saving.check_name(name, kind=name)


def channel(answers: Answers, name: str, driver: str, config: Mapping[str, Any]) -> None:
    """Refuse a channel that no message could be sent through."""
    saving.check_name(name, kind=driver)
    construct(driver, resolve(answers.resolved(config)))


def send_through(answers: Answers, name: str, form: Mapping[str, Any]) -> one_off.Sent:
    """Send a real message, through the code that sends all messages."""
    driver = construct(form["driver"], resolve(answers.resolved(form.get("config", {}))))
    return one_off.send_plainly(driver, one_off.compose_one_off(one_off.trial_of(name), channel=name))
