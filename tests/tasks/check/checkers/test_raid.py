import json
import os
import shutil
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from storage.records import CheckResult
from storage.vocabulary import CheckStatus
from tasks.check.checkers import raid
from tasks.check.checkers.base import NotApplicableError
from tasks.check.checkers.raid import Raid
from tasks.check.readings import programs

RECORDED = Path(__file__).parent / "recorded"
OK, WARNING, CRITICAL, UNKNOWN = (CheckStatus(each) for each in ("ok", "warning", "critical", "unknown"))
DEVICE_BYTES = 200 * 2**20


class Host(SimpleNamespace):
    """A host whose storage the test decides: files where the kernel's are, and a folder for its programs."""

    def has_arrays(self, name: str) -> None:
        self.mdstat.write_text((RECORDED / "mdstat" / f"{name}.txt").read_text())

    def says_action(self, array: str, action: str) -> None:
        folder = self.sys_block / array / "md"
        folder.mkdir(parents=True)
        (folder / "sync_action").write_text(f"{action}\n")

    def has_zpool(self, script: str) -> None:
        program = self.programs / "zpool"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def has_pools(self, name: str) -> None:
        recorded = RECORDED / "zpool" / name
        self.has_zpool(
            '[ "$LC_ALL" = C ] || exit 3\n'
            f'[ "$*" = "list -H -o name,health" ] && exec cat {recorded}.list\n'
            f'[ "$*" = "status -x" ] && exec cat {recorded}.status\nexit 2'
        )

    def has_pool_state(self, pool: str, word: str) -> None:
        (self.kstats / pool).mkdir(parents=True)
        (self.kstats / pool / "state").write_text(f"{word}\n")

    def has_btrfs(self, uuid: str, label: str, operation: str = "none") -> Path:
        folder = self.btrfs / uuid
        for device in ("1", "2"):
            (folder / "devinfo" / device).mkdir(parents=True)
            (folder / "devinfo" / device / "missing").write_text("0\n")
            (folder / "devinfo" / device / "error_stats").write_text("write_errs 0\nread_errs 0\n")
        (folder / "devices").mkdir()
        (folder / "label").write_text(f"{label}\n")
        (folder / "exclusive_operation").write_text(f"{operation}\n")
        (folder / "allocation" / "data" / "raid1").mkdir(parents=True)
        (folder / "allocation" / "data" / "flags").write_text("17\n")
        return folder


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(
        mdstat=tmp_path / "mdstat",
        sys_block=tmp_path / "block",
        kstats=tmp_path / "kstats",
        btrfs=tmp_path / "btrfs",
        programs=tmp_path / "programs",
    )
    made.programs.mkdir()
    monkeypatch.setattr(raid, "MDSTAT", made.mdstat)
    monkeypatch.setattr(raid, "SYS_BLOCK", made.sys_block)
    monkeypatch.setattr(raid, "ZFS_KSTATS", made.kstats)
    monkeypatch.setattr(raid, "BTRFS", made.btrfs)
    monkeypatch.setattr(programs, "ADMIN_FOLDERS", str(made.programs))
    monkeypatch.setenv("PATH", f"{made.programs}:/usr/bin:/bin")
    return made


def measured(timeout: float = 10.0) -> CheckResult:
    result = Raid(Raid.Config(timeout=timeout)).measure()
    json.dumps(result.metrics, allow_nan=False)
    return result


def verdicts(result: CheckResult) -> dict[str, CheckStatus]:
    return {reading.target: reading.status for reading in result.readings}


def message_of(target: str, result: CheckResult) -> str:
    return next(reading.message for reading in result.readings if reading.target == target)


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        ("complete", {"md2": OK, "md0": OK, "md1": OK, "md4": OK}),
        ("degraded", {"md0": CRITICAL, "md1": CRITICAL, "md3": CRITICAL, "md4": CRITICAL}),
        ("recovery", {"md0": WARNING, "md1": WARNING}),
        ("resync", {"md0": WARNING, "md1": WARNING, "md2": WARNING}),
        ("check", {"md1": WARNING, "md0": OK, "md2": OK, "md5": OK}),
        ("inactive", {"md127": CRITICAL, "md126": CRITICAL}),
        ("firmware", {"md126": OK}),
        ("no_redundancy", {"md1": OK, "md0": OK, "md2": CRITICAL, "md3": CRITICAL}),
        ("failed_spare", {"md_home": WARNING}),
    ],
)
def test_each_array_of_an_mdstat_has_its_verdict(
    recorded: str, expected: dict[str, CheckStatus], host: Host
) -> None:
    host.has_arrays(recorded)

    assert verdicts(measured()) == expected


@pytest.mark.parametrize(
    ("recorded", "target", "says"),
    [
        ("complete", "md1", "md1 (raid10) is complete (pending resync)"),
        ("degraded", "md0", "md0 (raid1) is degraded, 1 of 2 devices active, failed: sdb1"),
        ("degraded", "md1", "md1 (raid5) is degraded, 2 of 3 devices active"),
        ("recovery", "md0", "md0 (raid1) is degraded and being rebuilt, 7.8 % done, 1 of 2 devices active"),
        ("recovery", "md1", "md1 (raid1) is degraded and being rebuilt, 1 of 2 devices active"),
        ("resync", "md0", "md0 (raid1) is being resynchronised, 23.4 % done"),
        ("check", "md0", "md0 (raid1) is complete (check, 6.4 % done)"),
        ("inactive", "md127", "md127 is inactive: it was not started"),
        ("no_redundancy", "md2", "md2 (raid0) is broken"),
        ("no_redundancy", "md3", "md3 (linear) is broken, failed: sdc1"),
        ("failed_spare", "md_home", "md_home (raid1) is complete, but a device of it has failed, failed: sdb1"),
    ],
)
def test_a_reading_says_what_is_wrong_with_its_array(recorded: str, target: str, says: str, host: Host) -> None:
    host.has_arrays(recorded)

    assert message_of(target, measured()) == says


@pytest.mark.parametrize(
    ("action", "status"), [("check", OK), ("repair", OK), ("resync", WARNING), ("recover", OK), ("idle", WARNING)]
)
def test_what_waits_or_resyncs_is_what_sysfs_says_it_is(action: str, status: CheckStatus, host: Host) -> None:
    host.has_arrays("resync")
    for array in ("md0", "md1", "md2"):
        host.says_action(array, action)

    assert verdicts(measured()) == {"md0": status, "md1": status, "md2": status}


def test_a_degraded_array_that_waits_for_a_mere_check_is_not_being_rebuilt(host: Host) -> None:
    host.has_arrays("recovery")
    host.says_action("md1", "check")

    assert verdicts(measured())["md1"] is CRITICAL


def test_arrays_have_metrics(host: Host) -> None:
    host.has_arrays("degraded")

    metrics = measured().metrics

    assert metrics["arrays"][0] == {
        "name": "md0",
        "level": "raid1",
        "state": "active",
        "devices": 2,
        "active": 1,
        "failed": ["sdb1"],
        "action": "",
        "progress_percent": None,
    }
    assert (metrics["pools"], metrics["file_systems"]) == ([], [])


def test_arrays_without_redundancy_have_as_many_devices_as_members(host: Host) -> None:
    host.has_arrays("no_redundancy")

    counts = {each["name"]: (each["devices"], each["active"]) for each in measured().metrics["arrays"]}

    assert counts == {"md1": (2, 2), "md0": (2, 2), "md2": (2, 2), "md3": (2, 1)}


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        ("healthy", {"zpool tank": OK, "zpool rpool": OK}),
        ("checksum_errors", {"zpool tank": WARNING, "zpool rpool": OK}),
        ("degraded", {"zpool backup": CRITICAL}),
        ("resilver", {"zpool tresor1": WARNING, "zpool data": WARNING}),
        ("damaged_files", {"zpool tank": CRITICAL, "zpool media": CRITICAL}),
        ("block_size", {"zpool old": OK}),
        ("unavailable", {"zpool gone": CRITICAL}),
    ],
)
def test_each_pool_has_its_verdict(recorded: str, expected: dict[str, CheckStatus], host: Host) -> None:
    host.has_pools(recorded)

    assert verdicts(measured()) == expected


@pytest.mark.parametrize(
    ("recorded", "target", "says"),
    [
        ("checksum_errors", "zpool tank", "ONLINE with errors, errors on: ata-WDC_WD40EFRX-part1: One or more"),
        (
            "degraded",
            "zpool backup",
            "DEGRADED, not in use: 1904242345373318257: One or more devices could not be",
        ),
        ("resilver", "zpool tresor1", "DEGRADED and being rebuilt, 22.5 % done, not in use: 6544112441320430488"),
        ("damaged_files", "zpool tank", "DEGRADED, 22.5 % done, not in use: sdc, sde, errors on: sdb, sde"),
        ("damaged_files", "zpool media", "ONLINE with damaged files, errors on: sdm: One or more devices has exp"),
    ],
)
def test_a_reading_says_what_is_wrong_with_its_pool(recorded: str, target: str, says: str, host: Host) -> None:
    host.has_pools(recorded)

    assert f"{target} is {says}" in message_of(target, measured())


def test_the_progress_of_a_scrub_is_not_that_of_a_rebuild(host: Host) -> None:
    host.has_pools("checksum_errors")

    assert measured().metrics["pools"][0] == {
        "name": "tank",
        "state": "ONLINE",
        "failed": [],
        "faulty": ["ata-WDC_WD40EFRX-part1"],
        "action": "",
        "progress_percent": None,
    }


def test_the_program_is_found_where_a_service_accounts_path_does_not_lead(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.has_pools("degraded")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")

    assert verdicts(measured()) == {"zpool backup": CRITICAL}


def test_pools_have_metrics(host: Host) -> None:
    host.has_pools("resilver")

    assert measured().metrics["pools"][0] == {
        "name": "tresor1",
        "state": "DEGRADED",
        "failed": ["6544112441320430488"],
        "faulty": [],
        "action": "resilver",
        "progress_percent": 22.5,
    }


@pytest.mark.parametrize(
    "error",
    [
        "The ZFS modules are not loaded.\nTry running '/sbin/modprobe zfs' as root to load them.",
        "internal error: failed to initialize ZFS library",
        "Failed to initialize the libzfs library.",
    ],
)
def test_zfs_that_is_installed_and_not_in_use_is_nothing_to_measure(error: str, host: Host) -> None:
    host.has_zpool(f'echo "{error}" >&2; exit 1')

    with pytest.raises(NotApplicableError, match="no software RAID, ZFS pool or mounted btrfs"):
        measured()


def test_a_zpool_that_fails_is_unknown_and_the_arrays_still_count(host: Host) -> None:
    host.has_arrays("degraded")
    host.has_zpool('echo "Permission denied the ZFS utilities must be run as root." >&2; exit 1')

    result = measured()

    assert result.status is CRITICAL
    assert verdicts(result)["zpool"] is UNKNOWN
    assert "zpool list: Permission denied the ZFS utilities must be run as root." in (result.error or "")


def test_a_zpool_that_hangs_is_ended_and_unknown_and_the_arrays_still_count(host: Host) -> None:
    host.has_arrays("complete")
    host.has_zpool(f"echo $$ >{host.programs}/pid; exec sleep 30")
    started = time.monotonic()

    result = measured(timeout=1.0)

    assert time.monotonic() - started < 1.0
    assert not Path("/proc", (host.programs / "pid").read_text().strip()).exists()
    assert (result.status, verdicts(result)["zpool"], verdicts(result)["md0"]) == (UNKNOWN, UNKNOWN, OK)


def test_a_hung_zpool_leaves_each_pool_what_the_kernel_says_of_it(host: Host) -> None:
    host.has_pool_state("tank", "ONLINE")
    host.has_pool_state("backup", "DEGRADED")
    host.has_zpool("exec sleep 30")

    result = measured(timeout=1.0)

    assert verdicts(result) == {"zpool tank": UNKNOWN, "zpool backup": CRITICAL}
    assert message_of("zpool tank", result) == "zpool tank is ONLINE, but the program zpool does not answer"


def test_a_suspended_pool_is_critical_and_the_program_that_would_hang_is_not_run(host: Host) -> None:
    host.has_pool_state("tank", "SUSPENDED")
    host.has_pool_state("rpool", "ONLINE")
    host.has_zpool(f"touch {host.programs}/was_run; exec sleep 30")

    assert verdicts(measured()) == {"zpool rpool": OK, "zpool tank": CRITICAL}
    assert not (host.programs / "was_run").exists()


def test_pools_are_known_where_the_program_is_missing(host: Host) -> None:
    host.has_pool_state("tank", "FAULTED")
    host.has_pool_state("new", "TRANSITIONING")

    assert verdicts(measured()) == {"zpool tank": CRITICAL, "zpool new": UNKNOWN}


def test_a_zpool_that_cannot_even_be_killed_is_given_up(host: Host, tmp_path: Path) -> None:
    with ExitStack() as stack:
        frozen = frozen_file_system(stack, tmp_path)
        host.has_pool_state("tank", "ONLINE")
        host.has_zpool(f"exec touch {frozen}/file")
        started = time.monotonic()

        result = measured(timeout=1.5)

        assert time.monotonic() - started < 1.5
        assert verdicts(result) == {"zpool tank": UNKNOWN}


def test_an_mdstat_that_hangs_is_unknown_and_the_others_still_count(host: Host) -> None:
    os.mkfifo(host.mdstat)
    host.has_pools("degraded")
    started = time.monotonic()

    try:
        result = measured(timeout=0.5)
    finally:
        os.close(os.open(host.mdstat, os.O_WRONLY))  # lets the reader go

    assert time.monotonic() - started < 5
    assert verdicts(result) == {"zpool backup": CRITICAL, "mdstat": UNKNOWN}
    assert result.error == "mdstat cannot be read: no answer in time"


@pytest.mark.parametrize("recorded", [None, "none"])
def test_a_host_without_any_of_it_is_not_applicable(recorded: str | None, host: Host) -> None:
    if recorded:
        host.has_arrays(recorded)
    (host.btrfs / "features").mkdir(parents=True)

    with pytest.raises(NotApplicableError, match="no software RAID, ZFS pool or mounted btrfs file system"):
        measured()


def test_text_that_is_no_text_becomes_what_a_database_takes(host: Host) -> None:
    host.mdstat.write_bytes(b"md\xff\x00 : active raid1 sda1[0](F) sd\xe9[1]\n      1 blocks [2/1] [_U]\n")
    host.has_btrfs("1111-2222", "a\x00b")
    host.has_zpool(r"printf 'p\377\000\tONLINE\n'")

    result = measured()

    assert verdicts(result) == {"md\ufffd": CRITICAL, "zpool p\ufffd": OK, "btrfs ab": OK}


def test_a_btrfs_that_replaces_a_missing_device_is_being_rebuilt(host: Host) -> None:
    folder = host.has_btrfs("3827fcb1-5b31", "home", operation="device replace")
    (folder / "devinfo" / "2" / "missing").write_text("1\n")

    result = measured()

    assert verdicts(result) == {"btrfs home": WARNING}
    assert "btrfs home (raid1) is degraded and being rebuilt, 1 of 2 devices missing: device 2" in result.message


def test_a_btrfs_that_has_counted_errors_is_a_warning_with_all_of_them(host: Host) -> None:
    folder = host.has_btrfs("3827fcb1-5b31", "home")
    (folder / "devinfo" / "1" / "error_stats").write_text("write_errs 3\nread_errs 0\ngeneration_errs 1\n")
    (folder / "devinfo" / "2" / "error_stats").write_text("write_errs 4\nread_errs 0\n")

    result = measured()

    assert verdicts(result) == {"btrfs home": WARNING}
    assert "has seen errors: 1 generation_errs, 7 write_errs (`btrfs device stats` says where)" in result.message


def test_a_btrfs_of_which_an_old_kernel_tells_nothing_is_left_out(host: Host) -> None:
    shutil.rmtree(host.has_btrfs("3827fcb1-5b31", "home") / "devinfo")

    with pytest.raises(NotApplicableError):
        measured()


def test_a_drive_pulled_out_of_a_mounted_btrfs_is_missing(host: Host) -> None:
    folder = host.has_btrfs("3827fcb1-5b31", "")
    (folder / "devices" / "sda").symlink_to(host.mdstat.parent)
    (folder / "devices" / "sdb").symlink_to("../../../../devices/gone/block/sdb")

    result = measured()

    assert verdicts(result) == {"btrfs 3827fcb1-5b31": CRITICAL}
    assert result.metrics["file_systems"][0]["failed"] == ["sdb"]


def test_file_systems_with_one_label_are_told_apart_by_uuid(host: Host) -> None:
    host.has_btrfs("1111-aaaa", "data")
    host.has_btrfs("2222-bbbb", "data")
    host.has_btrfs("3333-cccc", "own")

    assert list(verdicts(measured())) == ["btrfs 1111-aaaa", "btrfs 2222-bbbb", "btrfs own"]


def test_a_real_btrfs_mirror_is_complete_then_has_errors_then_lacks_a_device(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        first, second = (loop_device(stack, tmp_path / name) for name in ("first", "second"))
        run("mkfs.btrfs", "-q", "-L", "wk-mirror", "-m", "raid1", "-d", "raid1", first, second)
        target = "btrfs wk-mirror"
        mounted = mount(first, tmp_path / "mounted")
        try:
            (mounted / "file").write_bytes(os.urandom(8 * 2**20))
            run("sync")
            complete = measured()
            scribble(tmp_path / "second")
            run("btrfs", "scrub", "start", "-B", str(mounted))
            damaged = measured()
            counted = run("btrfs", "device", "stats", str(mounted))
        finally:
            run("umount", str(mounted))
        run("losetup", "-d", second)
        mounted = mount(first, tmp_path / "mounted", "-o", "degraded")
        try:
            degraded = measured()
        finally:
            run("umount", str(mounted))

    assert message_of(target, complete) == "btrfs wk-mirror (raid1) is complete"
    assert verdicts(damaged)[target] is WARNING
    told = next(each for each in damaged.metrics["file_systems"] if each["name"] == "wk-mirror")
    theirs = [line.split() for line in counted.splitlines()]
    assert sum(told["errors"].values()) == sum(int(count) for _, count in theirs) > 0
    assert verdicts(degraded)[target] is CRITICAL
    assert "1 of 2 devices missing: device 2" in message_of(target, degraded)


def test_thresholds_mean_nothing_here_and_are_refused() -> None:
    with pytest.raises(ValidationError, match="warning_threshold"):
        Raid.Config.model_validate({"warning_threshold": 1})


def run(*command: str) -> str:
    """A program's output; skips the test where this machine lacks the program or the right."""
    program = shutil.which(command[0], path="/usr/sbin:/sbin:/usr/bin:/bin")
    if os.geteuid() != 0 or program is None:
        pytest.skip(f"needs root and {command[0]}")
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=60, check=False)
    if command[0] in {"losetup", "mount"} and done.returncode:
        pytest.skip(f"{command[0]}: {done.stderr}")
    assert done.returncode in (0, 3), done.stderr  # 3: a scrub that found errors
    return done.stdout


def loop_device(stack: ExitStack, path: Path) -> str:
    path.touch()
    os.truncate(path, DEVICE_BYTES)
    device = run("losetup", "-f", "--show", str(path)).strip()
    stack.callback(detach, device)
    return device


def detach(device: str) -> None:
    with suppress(pytest.skip.Exception):  # detached in the test already
        run("losetup", "-d", device)


def mount(device: str, folder: Path, *options: str) -> Path:
    folder.mkdir(exist_ok=True)
    run("mount", *options, device, str(folder))
    return folder


def scribble(path: Path) -> None:
    """Write over what lies between the superblocks, of which one is at 64 MiB."""
    with path.open("r+b") as device:
        for first_mib, last_mib in ((8, 60), (70, 190)):
            device.seek(first_mib * 2**20)
            device.write(os.urandom((last_mib - first_mib) * 2**20))
        device.flush()
        os.fsync(device.fileno())


def frozen_file_system(stack: ExitStack, tmp_path: Path) -> Path:
    """A mount where every write waits in the kernel until it is thawed, whatever signal comes."""
    image = tmp_path / "image"
    image.touch()
    os.truncate(image, 16 * 2**20)
    run("mkfs.ext4", "-q", str(image))
    folder = mount(str(image), tmp_path / "frozen", "-o", "loop")
    stack.callback(run, "umount", "-l", str(folder))
    run("fsfreeze", "-f", str(folder))
    stack.callback(run, "fsfreeze", "-u", str(folder))
    return folder
