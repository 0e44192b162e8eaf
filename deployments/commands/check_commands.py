"""`watchkeeper check-health`, and what `run-check` shares with it."""

import socket
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Annotated, Any

from cyclopts import Parameter

from deployments.commands.check_fork import measured
from deployments.commands.check_output import plain, print_json, print_table
from deployments.commands.check_report import as_json, exit_code, print_results
from deployments.errors import WrongUseError
from storage import settings
from tasks.check.checkers import CHECKERS, DEFAULTS
from tasks.check.checkers.base import Checker
from tasks.check.checks import build_checkers
from tasks.errors import PermanentError

Json = Annotated[bool, Parameter(name="--json", help="Print JSON.", negative="", show_default=False)]
FailOnWarning = Annotated[
    bool,
    Parameter(
        help="Exit with 1 for a warning, 2 for critical, 3 for unknown or wrong use.",
        negative="",
        show_default=False,
    ),
]
FailOnCritical = Annotated[
    bool,
    Parameter(
        help="Exit with 2 for critical, 3 for unknown or wrong use; with 0 for a warning.",
        negative="",
        show_default=False,
    ),
]


def check_health(
    *checkers: Annotated[
        str, Parameter(help="Names as in --list; without any, the default ones and those configured.")
    ],
    listing: Annotated[
        bool,
        Parameter(name="--list", help="List the checkers, and check nothing.", negative="", show_default=False),
    ] = False,
    json: Json = False,
    samples: Annotated[
        int | None, Parameter(help="How many samples cpu takes this time: 1 is a quick look.")
    ] = None,
    fail_on_warning: FailOnWarning = False,
    fail_on_critical: FailOnCritical = False,
) -> int:
    """Check this host. The help text stands in cli.py."""
    if listing:
        _list(checkers or tuple(CHECKERS), is_json=json)
        return 0
    configs = configured()
    if samples is not None:
        configs["cpu"] = {**configs.get("cpu", {}), "samples": samples}
    results = measured(build(checkers or None, configs))
    if json:
        print_json(as_json(results, hostname=socket.gethostname()))
    else:
        print_results(results)
    return exit_code(results, fail_on_warning=fail_on_warning, fail_on_critical=fail_on_critical)


def configured() -> dict[str, dict[str, Any]]:
    """The settings' configs by checker name, each of them valid; a copy, for flags to be added to."""
    configs = deepcopy(settings.load().checkers)
    try:
        build_checkers(list(configs), configs)
    except PermanentError as error:
        raise WrongUseError(f"WATCHKEEPER_CHECKERS: {error}") from None
    return configs


def build(names: Sequence[str] | None, configs: Mapping[str, Mapping[str, Any]]) -> list[Checker]:
    """The checkers. Raises WrongUseError that names what is wrong."""
    try:
        return build_checkers(names, configs)
    except PermanentError as error:
        raise WrongUseError(str(error)) from None


def unknown_checker(name: str) -> WrongUseError:
    """The error that names it, and those there are."""
    return WrongUseError(f"unknown checker {name!r}; one of {', '.join(CHECKERS)}")


def _list(names: Sequence[str], *, is_json: bool) -> None:
    if unknown := [name for name in names if name not in CHECKERS]:
        raise unknown_checker(unknown[0])
    if is_json:
        print_json(
            [
                {"name": name, "is_default": name in DEFAULTS, "measures": CHECKERS[name].measures}
                for name in dict.fromkeys(names)
            ]
        )
        return
    rows = [
        (name, "default" if name in DEFAULTS else "", plain(CHECKERS[name].measures))
        for name in dict.fromkeys(names)
    ]
    print_table(("checker", "", "measures"), rows)
