import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from storage.records import CheckResult
from storage.vocabulary import CheckStatus
from tasks.check.checkers import systemd_units
from tasks.check.checkers.base import NotApplicableError
from tasks.check.checkers.systemd_units import SystemdUnits
from tasks.check.readings import programs

OK, WARNING, CRITICAL = CheckStatus.OK, CheckStatus.WARNING, CheckStatus.CRITICAL
SYSTEMD = Path("/lib/systemd/systemd")
# As systemd 252 prints them; the marks are those of older ones, which have them in spite of --plain.
FAILED = r"""bad.service               loaded failed failed A job that fails
mnt-some\x2dthing.mount   loaded failed failed Odd name “quoted”
-.slice                   loaded failed failed Root Slice
"""
MARKED = """\u25cf bad.service  loaded    failed failed A job that fails
* gone.service not-found failed failed gone.service
\u00d7 last.timer   loaded    failed failed The last one
"""
SINCE = "Sat 2026-11-21 16:00:59 UTC"


def block(name: str, active: str, *, load: str = "loaded", sub: str = "", result: str = "success") -> str:
    return (
        f"Result={result}\nId={name}\nLoadState={load}\nActiveState={active}\nSubState={sub or active}\n"
        f"StateChangeTimestamp={'' if load == 'not-found' else SINCE}\n"
    )


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose files `list` and `show` are what systemctl prints; `asked` is what it was asked."""
    program = tmp_path / "systemctl"
    program.write_text(
        f'#!/bin/sh\necho "$LC_ALL $*" >>{tmp_path}/asked\n'
        f'case "$*" in *list-units*) exec cat {tmp_path}/list;; *" show "*) exec cat {tmp_path}/show;; esac\n'
    )
    program.chmod(0o755)
    (tmp_path / "list").write_text("")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(systemd_units, "BOOTED", tmp_path)
    return tmp_path


def measured(**config: object) -> CheckResult:
    return SystemdUnits(SystemdUnits.Config.model_validate(config)).measure()


def verdicts(result: CheckResult) -> dict[str, CheckStatus]:
    return {reading.target: reading.status for reading in result.readings}


def test_a_host_without_failed_units_is_ok(systemctl: Path) -> None:
    result = measured()

    assert (result.status, result.message, result.readings) == (OK, "no failed unit", [])
    assert result.metrics == {"failed": [], "failed_count": 0, "units": {}}
    assert (systemctl / "asked").read_text() == (
        "C --no-pager list-units --state=failed --full --plain --no-legend\n"
    )


def test_each_failed_unit_is_a_warning_with_its_reason_and_its_time(systemctl: Path) -> None:
    (systemctl / "list").write_text(FAILED)
    shown = [
        block("bad.service", "failed", result="exit-code"),
        block(r"mnt-some\x2dthing.mount", "failed", result="timeout"),
        block("-.slice", "failed", result=""),
    ]
    (systemctl / "show").write_text("\n".join(shown))

    result = measured()

    assert verdicts(result) == {"bad.service": WARNING, r"mnt-some\x2dthing.mount": WARNING, "-.slice": WARNING}
    assert result.readings[0].message == f"bad.service has failed (exit-code) since {SINCE}"
    assert result.metrics["failed_count"] == 3
    assert r"-- bad.service mnt-some\x2dthing.mount -.slice" in (systemctl / "asked").read_text()


def test_the_marks_before_a_unit_are_no_part_of_its_name(systemctl: Path) -> None:
    (systemctl / "list").write_text(MARKED)
    names = ["bad.service", "gone.service", "last.timer"]
    (systemctl / "show").write_text("\n".join(block(name, "failed") for name in names))

    assert list(verdicts(measured())) == names


def test_the_verdict_on_failed_units_can_be_critical(systemctl: Path) -> None:
    (systemctl / "list").write_text("bad.service loaded failed failed x\n")
    (systemctl / "show").write_text(block("bad.service", "failed"))

    assert verdicts(measured(status="critical")) == {"bad.service": CRITICAL}


def test_units_that_match_a_pattern_are_left_out(systemctl: Path) -> None:
    (systemctl / "list").write_text(MARKED)
    (systemctl / "show").write_text(block("last.timer", "failed"))

    result = measured(ignore=["bad.*", "*gone*"])

    assert verdicts(result) == {"last.timer": WARNING}
    assert (result.metrics["failed"], result.metrics["failed_count"]) == (["last.timer"], 1)


@pytest.mark.parametrize(
    ("shown", "status", "says"),
    [
        (block("nginx.service", "active", sub="running"), OK, "nginx.service is active"),
        (block("nginx.service", "reloading"), OK, "nginx.service is reloading"),
        (
            block("nginx.service", "inactive", sub="dead"),
            CRITICAL,
            f"nginx.service must run, and is inactive (dead) since {SINCE}",
        ),
        (
            block("nginx.service", "activating", sub="auto-restart", result="exit-code"),
            CRITICAL,
            f"nginx.service must run, and is activating (auto-restart) since {SINCE}",
        ),
        (
            block("nginx.service", "failed", result="oom-kill"),
            CRITICAL,
            f"nginx.service must run, and has failed (oom-kill) since {SINCE}",
        ),
        (
            block("nginx.service", "inactive", load="not-found"),
            CRITICAL,
            "nginx.service must run, and there is no such unit",
        ),
    ],
)
def test_a_unit_that_must_run_is_critical_while_it_does_not(
    shown: str, status: CheckStatus, says: str, systemctl: Path
) -> None:
    (systemctl / "show").write_text(shown)

    [reading] = measured(units=["nginx"]).readings

    assert (reading.target, reading.status, reading.message) == ("nginx.service", status, says)


def test_a_unit_that_must_run_and_failed_has_one_reading_whatever_is_ignored(systemctl: Path) -> None:
    (systemctl / "list").write_text("ssh.service loaded failed failed x\nbad.service loaded failed failed x\n")
    # sshd is an alias: systemd tells of it under its own name.
    shown = [block("ssh.service", "failed"), block("ssh.service", "failed"), block("bad.service", "failed")]
    (systemctl / "show").write_text("\n".join(shown))

    assert verdicts(measured(units=["sshd"])) == {"sshd.service": CRITICAL, "bad.service": WARNING}


def test_units_that_must_run_stay_critical_where_a_pattern_ignores_them(systemctl: Path) -> None:
    (systemctl / "list").write_text("nginx.service loaded failed failed x\n")
    (systemctl / "show").write_text(block("nginx.service", "failed"))

    assert verdicts(measured(units=["nginx.service"], ignore=["*"])) == {"nginx.service": CRITICAL}


def test_good_units_stand_in_the_message_and_the_metrics(systemctl: Path) -> None:
    (systemctl / "show").write_text(
        block("nginx.service", "active") + "\n" + block("a@b.timer", "active", sub="waiting")
    )

    result = measured(units=["nginx", "a@b.timer", "nginx.service"])

    assert result.message == "no failed unit, 2 required ones active"
    assert result.metrics["units"] == {"nginx.service": "active", "a@b.timer": "active"}


def test_very_many_failed_units_are_all_read_and_the_metrics_stay_small(systemctl: Path) -> None:
    names = [f"unit{number}.service" for number in range(120)]
    (systemctl / "list").write_text("".join(f"{name} loaded failed failed x\n" for name in names))
    (systemctl / "show").write_text("\n".join(block(name, "failed") for name in names))

    result = measured()

    assert len(result.readings) == 120
    assert (len(result.metrics["failed"]), result.metrics["failed_count"]) == (50, 120)
    assert result.message.endswith("and 115 more")


def test_output_that_is_no_text_becomes_text_that_a_database_takes(systemctl: Path) -> None:
    (systemctl / "list").write_bytes(b"caf\xe9\x00.service loaded failed failed x\n")
    (systemctl / "show").write_text(block("x.service", "failed"))

    assert verdicts(measured()) == {"caf\ufffd.service": WARNING}


def test_a_host_that_was_not_booted_with_systemd_is_not_applicable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd_units, "BOOTED", Path("/no/such/folder"))

    with pytest.raises(NotApplicableError, match="this host was not booted with systemd"):
        measured()


def test_a_host_without_systemctl_is_not_applicable(systemctl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (systemctl / "systemctl").unlink()
    monkeypatch.setenv("PATH", str(systemctl))
    monkeypatch.setattr(programs, "ADMIN_FOLDERS", "")

    with pytest.raises(NotApplicableError, match="no program systemctl"):
        measured()


def test_a_systemd_that_does_not_answer_is_an_error_with_its_words(systemctl: Path) -> None:
    (systemctl / "systemctl").write_text("#!/bin/sh\necho Failed to connect to bus: Host is down >&2\nexit 1\n")

    with pytest.raises(RuntimeError, match="systemctl list-units: Failed to connect to bus: Host is down"):
        measured()


def test_an_answer_about_other_units_than_asked_is_an_error(systemctl: Path) -> None:
    (systemctl / "show").write_text(block("nginx.service", "active"))

    with pytest.raises(RuntimeError, match="systemctl told of 1 units, and was asked about 2"):
        measured(units=["nginx", "cron"])


def test_a_systemctl_that_hangs_is_ended_in_time(systemctl: Path) -> None:
    (systemctl / "systemctl").write_text("#!/bin/sh\nexec sleep 30\n")
    started = time.monotonic()

    with pytest.raises(subprocess.TimeoutExpired):
        measured(timeout=1.0)

    assert time.monotonic() - started < 1.0


@pytest.mark.parametrize(
    "config",
    [
        {"units": ["-H evil"]},
        {"units": ["--host=evil"]},
        {"units": ["a b"]},
        {"units": [""]},
        {"units": ["ng*"]},
        {"units": ["getty@.service"]},
        {"units": ["x" * 300]},
        {"units": "nginx"},
        {"ignore": [""]},
        {"status": "ok"},
        {"unit": ["nginx"]},
    ],
)
def test_config_that_cannot_be_meant_is_refused_by_name(config: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(config))):
        SystemdUnits.Config.model_validate(config)


def test_a_unit_without_a_type_is_a_service() -> None:
    config = SystemdUnits.Config(units=["nginx", "getty@tty1", "app.v2", "home.mount", "-.mount"])

    assert config.units == ["nginx.service", "getty@tty1.service", "app.v2.service", "home.mount", "-.mount"]


def test_a_real_systemd_is_asked_for_its_failed_and_its_required_units(tmp_path: Path) -> None:
    result, theirs = measured_beside_real_systemd(tmp_path)

    assert {each["unit"] for each in theirs} == {"wk-bad.service", r"wk-a\x2db.service"}
    told = {reading["target"]: (reading["status"], reading["message"]) for reading in result["readings"]}
    assert {target: status for target, (status, _) in told.items()} == {
        "wk-good.service": "ok",
        "wk-none.timer": "critical",
        "wk-bad.service": "warning",
        r"wk-a\x2db.service": "warning",
    }
    assert told["wk-bad.service"][1].startswith("wk-bad.service has failed (exit-code) since ")
    assert told[r"wk-a\x2db.service"][1].startswith(r"wk-a\x2db.service has failed (signal) since ")
    assert told["wk-none.timer"][1] == "wk-none.timer must run, and there is no such unit"


UNITS = {
    "wk-bad.service": "ExecStart=/bin/false",
    "wk-good.service": "ExecStart=/bin/sleep 60",
    r"wk-a\x2db.service": "ExecStart=/bin/sh -c 'kill -9 $$$$'",
}
JOIN = 'echo $$ >"$0/cgroup.procs" && exec "$@"'
NAMESPACES = ["unshare", "-m", "-p", "-f", "--mount-proc", "-C", "-u", "-i", "--kill-child"]
# A user's systemd, in namespaces of its own where the host looks booted with it; all of it ends with the shell.
SCRIPT = r"""
mount --make-rprivate / && mount -t tmpfs none /run && mkdir -p /run/systemd/system /run/user &&
umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup || exit 77
export XDG_RUNTIME_DIR=/run/user XDG_CONFIG_HOME="$1"
"$2" --user >"$1/log" 2>&1 &
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    systemctl --user show-environment >/dev/null 2>&1 && break
    sleep 0.2
done
systemctl --user start wk-good.service wk-bad.service 'wk-a\x2db.service' >/dev/null 2>&1
sleep 0.5
systemctl --user --failed --output=json 2>/dev/null || exit 77
printf '#!/bin/sh\nexec %s --user "$@"\n' "$(command -v systemctl)" >"$1/bin/systemctl"
chmod +x "$1/bin/systemctl"
sed -i '2i export XDG_RUNTIME_DIR=/run/user' "$1/bin/systemctl"
echo
PATH="$1/bin:$PATH" "$3" -c '
from tasks.check.checkers.systemd_units import SystemdUnits
from tasks.check.readings import programs
config = SystemdUnits.Config(units=["wk-good", "wk-none.timer"])
print(SystemdUnits(config).measure().model_dump_json())'
"""


def measured_beside_real_systemd(folder: Path) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """What the checker finds, and what systemd's own JSON says of its failed units."""
    if os.geteuid() != 0 or not SYSTEMD.exists() or not shutil.which("unshare") or not shutil.which("systemctl"):
        pytest.skip("needs root, systemd and unshare")
    (folder / "bin").mkdir()
    (folder / "systemd" / "user").mkdir(parents=True)
    for name, line in UNITS.items():
        (folder / "systemd" / "user" / name).write_text(f"[Service]\n{line}\n")
    with own_cgroup() as cgroup:
        done = subprocess.run(
            ["sh", "-c", JOIN, cgroup, *NAMESPACES, "sh", "-c", SCRIPT, "sh", folder, SYSTEMD, sys.executable],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    if not done.stdout.strip():
        pytest.skip(f"no systemd can run here: {done.stderr}")
    theirs, ours = done.stdout.strip().split("\n\n")
    return json.loads(ours), json.loads(theirs)


@contextmanager
def own_cgroup() -> Iterator[Path]:
    """A control group below this process's own, gone afterwards with all that was made and runs in it."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    roots = [Path(mount[1]) for mount in mounts if mount[2] == "cgroup2"]
    mine = [line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")]
    if not roots or not mine:
        pytest.skip("needs control groups of version 2")
    group = roots[0] / mine[0].lstrip("/") / f"wk-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"cannot make a control group: {error}")
    try:
        yield group
    finally:
        for _ in range(50):
            for each, _, _ in os.walk(group, topdown=False):
                with suppress(OSError):  # what ran in it is not quite gone
                    Path(each).rmdir()
            if not group.exists():
                break
            time.sleep(0.1)
