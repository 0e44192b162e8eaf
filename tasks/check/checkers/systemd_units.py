"""Whether systemd's units run."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from storage.records import CheckResult, Reading
from storage.vocabulary import CheckStatus
from tasks.check.checkers.base import Checker, CheckerConfig, NotApplicableError, conclude, state
from tasks.check.readings import programs

# There where systemd is process 1: sd_booted(3).
BOOTED = Path("/run/systemd/system")
# `systemctl is-active` takes the same ones for active.
RUNNING = {"active", "reloading", "refreshing"}
# A template (getty@.service) is none: only its instances run.
UNIT = re.compile(r"[\w:.\\-]+(@(?!\.)[\w:.\\-]+)?", re.ASCII)
UNIT_TYPE = re.compile(r"\.(service|socket|target|device|mount|automount|swap|timer|path|slice|scope)$")
FAILED = ["--state=failed", "--full", "--plain", "--no-legend"]
MARKS = "\u25cf\u25cb\u00d7\u21bb* "
PROPERTIES = "Id,LoadState,ActiveState,SubState,Result,StateChangeTimestamp"
MAX_LISTED = 50
MAX_TEXT_CHARS = 200
MAX_UNIT_CHARS = 255
# Of the timeout, for each of two questions to systemd.
SHARE_FOR_QUESTION = 0.45

Unit = Mapping[str, str]


def _full_name(name: str) -> str:
    """As systemctl reads it: without a type it is a service."""
    if len(name) > MAX_UNIT_CHARS or not UNIT.fullmatch(name):
        raise ValueError("no name of a unit (of a template only an instance can run)")
    return name if UNIT_TYPE.search(name) else f"{name}.service"


@dataclass(frozen=True)
class SystemdUnits(Checker):
    """Failed units of the system's systemd, and units that must run, a reading for each that is bad.

    A failed unit is a warning, unless its name matches one of `ignore`. Each of `units` has a reading always, and
    is critical while it is not active; `ignore` does not touch it.
    """

    kind: ClassVar[str] = "systemd_units"
    measures: ClassVar[str] = "failed systemd units, and units that must run"

    class Config(CheckerConfig):
        """`status`: how bad a failed unit is. `ignore`: patterns like `apt-*`. `units`: those that must run."""

        status: Literal["warning", "critical"] = "warning"
        ignore: list[Annotated[str, Field(min_length=1, max_length=MAX_UNIT_CHARS)]] = Field(default=[])
        units: list[Annotated[str, AfterValidator(_full_name)]] = Field(default=[])

    config: Config

    def measure(self) -> CheckResult:
        """Ask systemd which units failed, and how they and the required ones are."""
        if not BOOTED.is_dir():
            raise NotApplicableError("this host was not booted with systemd")
        timeout_seconds = SHARE_FOR_QUESTION * self.config.timeout
        listed = _failed(_ask(["list-units", *FAILED], timeout_seconds))
        failed = [name for name in listed if not any(fnmatchcase(name, each) for each in self.config.ignore)]
        required = list(dict.fromkeys(self.config.units))
        units = _shown(list(dict.fromkeys([*required, *failed])), timeout_seconds)
        return _verdict(self.config, units, failed, required)


def _verdict(
    config: SystemdUnits.Config, units: Mapping[str, Unit], failed: Sequence[str], required: Sequence[str]
) -> CheckResult:
    readings = [_required(name, units[name]) for name in required]
    # An alias of a required unit has its reading already.
    told = {*required, *(units[name].get("Id", "") for name in required)}
    status = CheckStatus(config.status)
    readings += [
        state(status, f"{name} {_condition(units[name])}", target=name) for name in failed if name not in told
    ]
    metrics = {
        "failed": list(failed[:MAX_LISTED]),
        "failed_count": len(failed),
        "units": {name: units[name].get("ActiveState", "") for name in required[:MAX_LISTED]},
    }
    good = f"no failed unit, {len(required)} required ones active" if required else "no failed unit"
    return conclude(SystemdUnits.kind, readings, metrics=metrics, good=good)


def _failed(output: str) -> list[str]:
    """The names in lines like `nginx.service loaded failed failed A web server`, with or without a mark before."""
    rows = [line.lstrip(MARKS).split() for line in output.splitlines()]
    return [row[0] for row in rows if row[2:3] == ["failed"]]


def _shown(names: Sequence[str], timeout_seconds: float) -> dict[str, Unit]:
    """What `systemctl show` says of each: blocks of KEY=VALUE in the order asked for, an empty line between."""
    if not names:
        return {}
    blocks = _ask(["show", f"--property={PROPERTIES}", "--", *names], timeout_seconds).strip().split("\n\n")
    if len(blocks) != len(names):
        raise RuntimeError(f"systemctl told of {len(blocks)} units, and was asked about {len(names)}")
    told = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in blocks]
    return dict(zip(names, told, strict=True))


def _required(name: str, unit: Unit) -> Reading:
    active = unit.get("ActiveState", "")
    if active in RUNNING:
        return state(CheckStatus.OK, f"{name} is {active}", target=name)
    if unit.get("LoadState") == "not-found":
        return state(CheckStatus.CRITICAL, f"{name} must run, and there is no such unit", target=name)
    return state(CheckStatus.CRITICAL, f"{name} must run, and {_condition(unit)}", target=name)


def _condition(unit: Unit) -> str:
    active, result, since = (unit.get(key, "") for key in ("ActiveState", "Result", "StateChangeTimestamp"))
    why = result if active == "failed" else unit.get("SubState", "")
    condition = "has failed" if active == "failed" else f"is {active}"
    return f"{condition}{f' ({why})' if why else ''}{f' since {since}' if since else ''}"[:MAX_TEXT_CHARS]


def _ask(arguments: Sequence[str], timeout_seconds: float) -> str:
    try:
        ended = programs.run("systemctl", "--no-pager", *arguments, timeout_seconds=timeout_seconds)
    except FileNotFoundError:
        raise NotApplicableError("no program systemctl") from None
    if ended.code != 0:
        raise RuntimeError(f"systemctl {arguments[0]}: {ended.complaint}")
    return ended.output
