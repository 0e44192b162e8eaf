"""`watchkeeper run-check`: one checker, with a flag for each key of its config."""

import inspect
import json
from typing import Annotated, Any

from cyclopts import App, Parameter

from deployments.commands.check_commands import (
    FailOnCritical,
    FailOnWarning,
    Json,
    build,
    configured,
    unknown_checker,
)
from deployments.commands.check_flags import flags_of
from deployments.commands.check_fork import measured
from deployments.commands.check_output import print_json
from deployments.commands.check_report import exit_code, print_result
from deployments.errors import WrongUseError
from tasks.check.checkers import CHECKERS
from tasks.check.checkers.base import Checker

run_check = App(
    name="run-check",
    usage="Usage: watchkeeper run-check CHECKER [OPTIONS]",
    help_format="plaintext",  # Markdown takes a quarter of a second more
)
ConfigJson = Annotated[
    str,
    Parameter(
        name="--config",
        help="More of the config as JSON: keys that have no flag, or objects in lists.",
        show_default=False,
    ),
]


@run_check.default
def refuse(*words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]) -> None:
    """What is left where the first word names no checker."""
    if not words or words[0].startswith("-"):
        raise WrongUseError(f"name the checker first; one of {', '.join(CHECKERS)}")
    raise unknown_checker(words[0])


def _run(
    name: str,
    /,
    *,
    config: ConfigJson = "{}",
    as_json: Json = False,
    fail_on_warning: FailOnWarning = False,
    fail_on_critical: FailOnCritical = False,
    **given: Any,
) -> int:
    """Check one thing. Flags win over --config, and that over the settings."""
    merged = {**configured().get(name, {}), **_read(config), **given}
    [result] = measured(build([name], {name: merged}))
    if as_json:
        print_json(result.model_dump(mode="json"))
    else:
        print_result(result)
    return exit_code([result], fail_on_warning=fail_on_warning, fail_on_critical=fail_on_critical)


def _read(config: str) -> dict[str, Any]:
    try:
        value = json.loads(config)
    except ValueError as error:
        raise WrongUseError(f"--config is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise WrongUseError("--config must be a JSON object")
    return value


def _register(name: str, checker: type[Checker]) -> None:
    def command(**arguments: Any) -> int:
        return _run(name, **arguments)

    common = [each for each in inspect.signature(_run).parameters.values() if each.kind is each.KEYWORD_ONLY]
    signature = inspect.Signature([*flags_of(checker.Config), *common])
    command.__signature__ = signature  # type: ignore[attr-defined]  # that is where inspect looks for it
    run_check.command(command, name=name, help=_help(checker))


def _help(checker: type[Checker]) -> str:
    measures = f"{checker.measures[0].upper()}{checker.measures[1:]}."
    documents = [inspect.cleandoc(part) for part in (checker.__doc__, checker.Config.__doc__) if part]
    paragraphs = "\n\n".join(documents).split("\n\n")
    return "\n\n".join([measures, *map(_flowing, paragraphs)])


def _flowing(paragraph: str) -> str:
    """A paragraph for a terminal of any width; a table's lines are left alone."""
    return paragraph if "===" in paragraph else " ".join(paragraph.split())


for _name, _checker in CHECKERS.items():
    _register(_name, _checker)
