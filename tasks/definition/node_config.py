"""What is wrong with a node's config: what the model of its type says, and what it names that is not there."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from storage import settings
from tasks.analyze.providers import PROVIDERS
from tasks.analyze.providers.form import check_form
from tasks.analyze.stage import IntelligenceConfig
from tasks.check.checkers import CHECKERS
from tasks.check.stage import ContextConfig, plan
from tasks.definition.kinds import KINDS
from tasks.definition.wording import faults_in
from tasks.errors import PermanentError
from tasks.notify.channels import CHANNELS
from tasks.notify.stage import NotifyConfig


def faults_of_config(node_type: str, given: Mapping[str, Any]) -> Iterator[str]:
    """Each fault with its key. What the installation configures besides the node may make up for what it lacks."""
    kind = KINDS[node_type]
    also = ("include",) if node_type == "context" else ()
    if also:
        yield from _of_checker_names(given)
    try:
        config = kind.config.model_validate(dict(given))
    except ValidationError as error:
        yield from faults_in(error, kind.config, also=also)
        return
    look = _LOOKS.get(node_type)
    if look:
        yield from look(config)


def _of_checker_names(given: Mapping[str, Any]) -> Iterator[str]:
    if "include" in given and "checker_names" in given:
        yield "include: it is another name of checker_names, which is there too; give one of them"
    for key in ("checker_names", "include", "checkers"):
        names = given.get(key)
        for name in names if isinstance(names, list | dict) else ():
            if isinstance(name, str) and name not in CHECKERS:
                yield f"{key}: unknown checker {name!r}; one of {', '.join(CHECKERS)}"


def _of_context(config: ContextConfig) -> Iterator[str]:
    if not {*config.checkers, *(config.checker_names or ())} <= CHECKERS.keys():
        return
    apart = [
        ContextConfig(checker_names=[name], checkers={name: config.checkers.get(name, {})})
        for name in dict.fromkeys([*(config.checker_names or ()), *config.checkers])
    ]
    faults = [fault for each in apart if (fault := _fault_of_plan(each))]
    yield from faults or filter(None, [_fault_of_plan(config)])


def _fault_of_plan(config: ContextConfig) -> str:
    try:
        plan(config, {})
    except PermanentError as error:
        try:
            plan(config, settings.load().checkers)
        except PermanentError:
            return f"checkers: {error}" if str(error).startswith("checker ") else str(error)
    return ""


def _of_intelligence(config: IntelligenceConfig) -> Iterator[str]:
    if config.provider is None or not config.provider_config:
        return
    provider = PROVIDERS[config.provider]
    try:
        check_form(provider.Config, provider.defaults() | config.provider_config)
    except PermanentError as error:
        yield f"provider_config: {error}"


def _of_notify(config: NotifyConfig) -> Iterator[str]:
    named = [("driver", config.driver)] if config.driver is not None else []
    for key, driver in [*named, *(("drivers", each) for each in config.drivers or ())]:
        if driver not in CHANNELS:
            yield f"{key}: unknown channel driver {driver!r}; one of {', '.join(CHANNELS)}"


_LOOKS: dict[str, Callable[[Any], Iterator[str]]] = {
    "context": _of_context,
    "intelligence": _of_intelligence,
    "notify": _of_notify,
}
