"""Whether this host waits for a reboot."""

import platform
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import psutil
from pydantic import Field, FiniteFloat

from storage.records import CheckResult, Reading
from storage.vocabulary import CheckStatus
from tasks.check.checkers.base import Checker, CheckerConfig, NotApplicableError, conclude, state
from tasks.check.readings import kernels, programs
from tasks.check.readings.text import decoded

ROOT = Path("/")
# Docker, podman, and whatever systemd runs in (systemd-nspawn, LXC).
CONTAINER_MARKS = (".dockerenv", "run/.containerenv", "run/systemd/container")
# What packages leave behind until the next boot, and who makes it: Debian and Ubuntu; SUSE's libzypp.
MARKS = ("run/reboot-required", "run/reboot-needed")
MARK_MAKERS = (
    "usr/share/update-notifier/notify-reboot-required",
    "etc/kernel/postinst.d/unattended-upgrades",
    "usr/bin/zypper",
)
REQUIRED = "Reboot is required"
PACKAGE_LINE = re.compile(r"^ {2}(?:\* )?(\S+)", re.MULTILINE)
DAY_SECONDS = 86400
MAX_PACKAGES = 50
PACKAGES_SHOWN = 5
MAX_NAME_CHARS = 100
# Of the timeout, so that it is the program that is named.
SHARE_FOR_PROGRAM = 0.9


class Need(NamedTuple):
    """Why a reboot is required, for which packages, and since when: seconds since the epoch, where known."""

    reason: str
    packages: list[str]
    since: float | None


@dataclass(frozen=True)
class RebootRequired(Checker):
    """Whether installed updates wait for a reboot. Linux only; in a container it is the host's matter.

    Three ways to know: the mark that packages of Debian, Ubuntu and SUSE leave; Red Hat's and Fedora's program
    needs-restarting; and a newer kernel of the running one's flavour, installed since boot. A kernel of another
    flavour, an older one, and one that was there at boot already (somebody chose another) say nothing, nor do
    missing modules (a kernel from outside has none): a wrong alarm is worse than none.
    """

    kind: ClassVar[str] = "reboot_required"
    measures: ClassVar[str] = "updates that wait for a reboot"

    class Config(CheckerConfig):
        """`status`: how bad it is. `after_days`: how long it may wait.

        The wait begins anew with each package that asks; one of unknown length counts at once.
        """

        status: Literal["warning", "critical"] = "warning"
        after_days: FiniteFloat = Field(default=0.0, ge=0, le=3650)

    config: Config

    def measure(self) -> CheckResult:
        """Ask in each way that this host offers, until one says yes."""
        if not psutil.LINUX:
            raise NotApplicableError("only Linux tells whether a reboot is required")
        if any((ROOT / mark).exists() for mark in CONTAINER_MARKS):
            raise NotApplicableError("in a container a reboot is the host's matter")
        need = self._need()
        waiting_days = None
        if need and need.since is not None:
            waiting_days = round(max(0.0, time.time() - need.since) / DAY_SECONDS, 1)
        metrics = {
            "is_required": need is not None,
            "running_kernel": platform.release(),
            "packages": need.packages[:MAX_PACKAGES] if need else [],
            "waiting_days": waiting_days,
        }
        return conclude(self.kind, [self._reading(need, waiting_days)], metrics=metrics)

    def _need(self) -> Need | None:
        ways: list[Callable[[], Need | None]] = [
            partial(marked, ROOT),
            partial(_told, SHARE_FOR_PROGRAM * self.config.timeout),
            partial(newer_kernel, ROOT, running=platform.release(), booted_at=psutil.boot_time()),
        ]
        can_tell = False
        for way in ways:
            try:
                need = way()
            except NotApplicableError:
                continue
            can_tell = True
            if need:
                return need
        if not can_tell:
            raise NotApplicableError("nothing here tells whether a reboot is required")
        return None

    def _reading(self, need: Need | None, waiting_days: float | None) -> Reading:
        if need is None:
            return state(CheckStatus.OK, "no reboot required")
        since = "" if waiting_days is None else f" for {waiting_days:g} days"
        if waiting_days is not None and waiting_days < self.config.after_days:
            return state(
                CheckStatus.OK, f"reboot required{since}, which is no news before {self.config.after_days:g}"
            )
        return state(CheckStatus(self.config.status), f"Reboot required{since}: {need.reason}")


def marked(root: Path) -> Need | None:
    """What the packages' mark says. Raises NotApplicableError where no package makes one."""
    for mark in (root / name for name in MARKS):
        if mark.exists():
            listed = mark.with_name(f"{mark.name}.pkgs")
            names = _names(decoded(listed.read_bytes()).splitlines() if listed.exists() else [])
            return Need(_shown(names) or f"{mark} is there", names, mark.stat().st_mtime)
    if not any((root / maker).exists() for maker in MARK_MAKERS):
        raise NotApplicableError("no package leaves a mark")
    return None


def newer_kernel(root: Path, *, running: str, booted_at: float) -> Need | None:
    """What the installed kernels say. Raises NotApplicableError where none is of the running one's flavour."""
    installed = kernels.installed_like(running, root)
    if not installed:
        raise NotApplicableError("no kernel of the running one's flavour is installed")
    newer = kernels.newest(installed, than=running, since=booted_at)
    if newer is None:
        return None
    return Need(f"kernel {newer.release} is installed, {running} runs", [newer.release], newer.installed_at)


def _told(timeout_seconds: float) -> Need | None:
    """What needs-restarting says: with exit code 1 that a reboot is required, or that it failed."""
    try:
        ended = programs.run("needs-restarting", "-r", timeout_seconds=timeout_seconds)
    except FileNotFoundError:
        raise NotApplicableError("no program needs-restarting") from None
    output = ended.output + ended.errors
    if ended.code == 0:
        return None
    if ended.code == 1 and REQUIRED in output:
        names = _names(PACKAGE_LINE.findall(output))
        return Need(_shown(names) or "needs-restarting says so", names, None)
    raise RuntimeError(f"needs-restarting ended with {ended.code}: {' '.join(output.split())[:MAX_NAME_CHARS]}")


def _names(lines: Sequence[str]) -> list[str]:
    """Each once, in the order in which they came."""
    names = (line.strip()[:MAX_NAME_CHARS] for line in lines)
    return list(dict.fromkeys(name for name in names if name))


def _shown(names: Sequence[str]) -> str:
    more = len(names) - PACKAGES_SHOWN
    return ", ".join(names[:PACKAGES_SHOWN]) + (f" and {more} more" if more > 0 else "")
