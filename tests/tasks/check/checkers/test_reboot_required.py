import os
import platform
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from pydantic import ValidationError

from storage.records import CheckResult
from storage.vocabulary import CheckStatus
from tasks.check.checkers import reboot_required
from tasks.check.checkers.base import NotApplicableError
from tasks.check.checkers.reboot_required import RebootRequired
from tasks.check.readings import programs

RUNNING = "6.1.0-18-amd64"
DAY_SECONDS = 86400
# As dnf's needs-restarting prints it, and yum's.
DNF_YES = """Updating Subscription Management repositories.
Core libraries or services have been updated since boot-up:
  * kernel
  * systemd

Reboot is required to fully utilize these updates.
More information: https://access.redhat.com/solutions/27943
"""
YUM_YES = """Core libraries or services have been updated:
  systemd -> 219-78.el7_9.3
  kernel -> 3.10.0-1160.76.1.el7

Reboot is required to ensure that your system benefits from these updates.
"""
DNF_NO = "No core libraries or services have been updated since boot-up.\nReboot should not be necessary.\n"
pytestmark = pytest.mark.skipif(not psutil.LINUX, reason="only Linux tells")


class Host(SimpleNamespace):
    """A Linux host that was booted an hour ago, as a tree of files and a folder of programs."""

    def file(self, path: str, text: str = "", *, age_days: float = 0.0) -> Path:
        made: Path = self.root / path
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(text)
        modified_at = time.time() - age_days * DAY_SECONDS
        os.utime(made, (modified_at, modified_at))
        return made

    def kernel(self, release: str) -> None:
        folder = self.root / "lib/modules" / release / "kernel"
        folder.mkdir(parents=True)
        os.utime(folder, (0, 0))  # when it was made, says its package

    def needs_restarting(self, says: str, code: int) -> None:
        program = self.programs / "needs-restarting"
        program.write_text(f'#!/bin/sh\n[ "$*" = -r ] || exit 9\ncat <<"E"\n{says}E\nexit {code}\n')
        program.chmod(0o755)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(root=tmp_path / "root", programs=tmp_path / "programs")
    made.root.mkdir()
    made.programs.mkdir()
    monkeypatch.setattr(reboot_required, "ROOT", made.root)
    monkeypatch.setattr(platform, "release", lambda: RUNNING)
    monkeypatch.setattr(psutil, "boot_time", lambda: time.time() - 3600)
    monkeypatch.setenv("PATH", f"{made.programs}:/bin")
    monkeypatch.setattr(programs, "ADMIN_FOLDERS", "")
    return made


def measured(**config: object) -> CheckResult:
    return RebootRequired(RebootRequired.Config.model_validate(config)).measure()


@pytest.mark.parametrize("mark", ["run/reboot-required", "run/reboot-needed"])
def test_the_mark_of_a_package_is_a_warning(mark: str, host: Host) -> None:
    host.file(mark, "*** System restart required ***\n")

    result = measured()

    assert result.status is CheckStatus.WARNING
    assert f"{mark} is there" in result.message
    assert result.metrics["is_required"] is True


def test_the_packages_that_ask_are_named_once_each(host: Host) -> None:
    host.file("run/reboot-required")
    host.file("run/reboot-required.pkgs", "linux-image-6.1.0-21-amd64\nlinux-base\nlibc6\nlibc6\n\ndbus\na\nb\n")

    result = measured()

    assert result.message == (
        "Reboot required for 0 days: linux-image-6.1.0-21-amd64, linux-base, libc6, dbus, a and 1 more"
    )
    assert result.metrics["packages"] == ["linux-image-6.1.0-21-amd64", "linux-base", "libc6", "dbus", "a", "b"]


def test_names_from_outside_are_bounded_and_valid_text(host: Host) -> None:
    host.file("run/reboot-required")
    names = b"caf\xe9\x00\n" + b"x" * 5000 + b"\n" + b"".join(b"package%d\n" % n for n in range(500))
    host.file("run/reboot-required.pkgs").write_bytes(names)

    packages = measured().metrics["packages"]

    assert packages[0] == "caf\ufffd"
    assert (len(packages), len(packages[1])) == (50, 100)


def test_the_verdict_can_be_critical(host: Host) -> None:
    host.file("run/reboot-required")

    assert measured(status="critical").status is CheckStatus.CRITICAL


@pytest.mark.parametrize(
    ("age_days", "status"), [(0.0, "ok"), (6.9, "ok"), (7.0, "warning"), (30.0, "warning"), (-3.0, "ok")]
)
def test_a_mark_may_be_given_some_days(age_days: float, status: str, host: Host) -> None:
    host.file("run/reboot-required", age_days=age_days)

    result = measured(after_days=7)

    assert result.status == status
    assert result.metrics["waiting_days"] == pytest.approx(max(0.0, age_days), abs=0.1)
    assert result.metrics["is_required"] is True


@pytest.mark.parametrize("maker", reboot_required.MARK_MAKERS)
def test_no_mark_where_packages_make_one_is_ok(maker: str, host: Host) -> None:
    host.file(maker)

    result = measured()

    assert (result.status, result.message) == (CheckStatus.OK, "no reboot required")
    assert result.metrics == {
        "is_required": False,
        "running_kernel": RUNNING,
        "packages": [],
        "waiting_days": None,
    }


@pytest.mark.parametrize(
    ("says", "packages"), [(DNF_YES, ["kernel", "systemd"]), (YUM_YES, ["systemd", "kernel"])]
)
def test_what_needs_restarting_asks_for_is_a_warning(says: str, packages: list[str], host: Host) -> None:
    host.needs_restarting(says, 1)

    result = measured()

    assert (result.status, result.metrics["packages"]) == (CheckStatus.WARNING, packages)
    assert result.message == f"Reboot required: {', '.join(packages)}"


def test_what_needs_restarting_asks_for_counts_at_once_since_it_does_not_say_since_when(host: Host) -> None:
    host.needs_restarting(DNF_YES, 1)

    assert measured(after_days=7).status is CheckStatus.WARNING


def test_needs_restarting_may_have_nothing_to_ask_for(host: Host) -> None:
    host.needs_restarting(DNF_NO, 0)

    assert measured().status is CheckStatus.OK


@pytest.mark.parametrize("code", [1, 2])
def test_a_needs_restarting_that_fails_is_no_news_of_a_reboot(code: int, host: Host) -> None:
    host.needs_restarting("Error: Failed to load plugin\n", code)

    with pytest.raises(RuntimeError, match=f"needs-restarting ended with {code}: Error: Failed to load plugin"):
        measured()


def test_what_a_needs_restarting_says_that_ended_with_another_code_does_not_count(host: Host) -> None:
    host.needs_restarting(DNF_YES, 2)

    with pytest.raises(RuntimeError, match="needs-restarting ended with 2"):
        measured()


def test_a_newer_kernel_installed_since_boot_is_a_warning(host: Host) -> None:
    for release in (RUNNING, "6.1.0-21-amd64", "6.1.0-20-amd64"):
        host.kernel(release)

    result = measured()

    assert result.message == f"Reboot required for 0 days: kernel 6.1.0-21-amd64 is installed, {RUNNING} runs"
    assert result.metrics["packages"] == ["6.1.0-21-amd64"]


def test_a_newer_kernel_counts_though_the_running_ones_modules_are_gone(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "release", lambda: "6.9-arch1-1")
    host.kernel("6.9.2-arch1-1")

    assert measured().status is CheckStatus.WARNING


@pytest.mark.parametrize(
    "release",
    [
        "6.1.0-9-amd64",  # older, though not by its letters
        "6.1.0-21-cloud-amd64",
        "6.1.0-21-rt-amd64",
        "5.10.0-28-amd64",
    ],
)
def test_an_older_kernel_or_one_of_another_flavour_is_no_news(release: str, host: Host) -> None:
    host.kernel(RUNNING)
    host.kernel(release)

    assert measured().status is CheckStatus.OK


def test_a_newer_kernel_that_was_there_at_boot_is_no_news(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.kernel(RUNNING)
    host.kernel("6.1.0-21-amd64")
    monkeypatch.setattr(psutil, "boot_time", lambda: time.time() + 60)

    assert measured().status is CheckStatus.OK


def test_what_a_removed_kernel_leaves_behind_is_no_kernel(host: Host) -> None:
    host.kernel(RUNNING)
    host.file("lib/modules/6.1.0-21-amd64/modules.dep")

    assert measured().status is CheckStatus.OK


@pytest.mark.parametrize("releases", [[], ["6.1.0-21-cloud-amd64"]])
def test_a_kernel_from_outside_the_host_tells_nothing(releases: list[str], host: Host) -> None:
    for release in releases:
        host.kernel(release)

    with pytest.raises(NotApplicableError, match="nothing here tells whether a reboot is required"):
        measured()


def test_the_kernels_of_an_ostree_deployment_tell_nothing(host: Host) -> None:
    host.kernel(RUNNING)
    host.file("run/ostree-booted")

    with pytest.raises(NotApplicableError, match="nothing here tells"):
        measured()


@pytest.mark.parametrize("mark", reboot_required.CONTAINER_MARKS)
def test_in_a_container_it_is_the_hosts_matter(mark: str, host: Host) -> None:
    host.file("run/reboot-required")
    host.file(mark)

    with pytest.raises(NotApplicableError, match="in a container a reboot is the host's matter"):
        measured()


def test_this_host_is_answered_or_skipped() -> None:
    marks = [Path("/run/reboot-required"), Path("/run/reboot-needed")]
    try:
        result = measured()
    except NotApplicableError:
        return

    assert result.metrics["running_kernel"] == os.uname().release
    assert result.metrics["is_required"] or not any(mark.exists() for mark in marks)


@pytest.mark.parametrize(
    "config", [{"status": "bad"}, {"after_days": -1}, {"after_days": "nan"}, {"afterdays": 1}, {"status": "ok"}]
)
def test_config_that_cannot_be_meant_is_refused_by_name(config: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(config))):
        RebootRequired.Config.model_validate(config)
