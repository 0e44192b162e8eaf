import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from hung_mount import hung_mount
from mounting import mounted, mounted_disk, unmount

from tasks.check.readings.mounts import inodes, local_mounts, survey
from tasks.check.readings.text import MAX_PATH_CHARS

needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts as Linux lists them")

FILE_SYSTEMS = """\
nodev\tsysfs
nodev\ttmpfs
nodev\tproc
nodev\tcgroup2
nodev\toverlay
nodev\tnfs4
nodev\tfuse
nodev\tautofs
nodev\tzfs
\text4
\txfs
\tbtrfs
\tvfat
\tsquashfs
\tiso9660
\tfuseblk
"""
UBUNTU = """\
sysfs /sys sysfs rw,nosuid,nodev,noexec,relatime 0 0
proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0
udev /dev devtmpfs rw,nosuid,relatime,size=16334196k,nr_inodes=4083549,mode=755 0 0
tmpfs /run tmpfs rw,nosuid,nodev,noexec,relatime,size=3276164k,mode=755 0 0
/dev/mapper/vg-root / ext4 rw,relatime,errors=remount-ro 0 0
systemd-1 /proc/sys/fs/binfmt_misc autofs rw,relatime,fd=29,pgrp=1,timeout=0,direct 0 0
/dev/loop0 /snap/core20/1974 squashfs ro,nodev,relatime,errors=continue,threads=single 0 0
/dev/nvme0n1p1 /boot/efi vfat rw,relatime,fmask=0077,dmask=0077,codepage=437 0 0
/dev/sdb1 /mnt/my\\040disk fuseblk rw,relatime,user_id=0,group_id=0,allow_other 0 0
/dev/sr0 /media/cdrom iso9660 ro,nosuid,nodev,relatime 0 0
nas:/export /mnt/nas nfs4 rw,relatime,vers=4.2,hard,proto=tcp,timeo=600 0 0
ann@host:/ /mnt/host fuse.sshfs rw,nosuid,nodev,relatime,user_id=0,group_id=0 0 0
/dev/mapper/vg-root /srv/bind ext4 rw,relatime,errors=remount-ro 0 0
nsfs /run/docker/netns/default nsfs rw 0 0
"""
LAYERS = "lowerdir=/var/lib/docker/overlay2/l/AB,upperdir=/var/lib/docker/overlay2/c/diff,workdir=/w"
CONTAINER = f"""\
overlay / overlay rw,relatime,{LAYERS} 0 0
proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0
/dev/sda1 /etc/hosts ext4 rw,relatime 0 0
/dev/sda1 /etc/passwd ext4 rw,relatime 0 0
"""
# Fedora CoreOS: / is an image by composefs, and what is written lies on vda4.
IMAGE_BASED = """\
composefs / overlay ro,seclabel,relatime,lowerdir+=/run/x,datadir+=/sysroot/ostree/repo/objects,metacopy=on 0 0
/dev/vda4 /etc xfs rw,seclabel,relatime,attr2,inode64 0 0
/dev/vda4 /sysroot xfs ro,seclabel,relatime,attr2,inode64 0 0
/dev/vda4 /var xfs rw,seclabel,relatime,attr2,inode64 0 0
/dev/vda3 /boot ext4 ro,nosuid,nodev,noexec,relatime,seclabel 0 0
"""
ZFS = """\
rpool/ROOT/pve-1 / zfs rw,relatime,xattr,posixacl,casesensitive 0 0
rpool/data /rpool/data zfs rw,relatime,xattr,noacl,casesensitive 0 0
rpool/data@daily /rpool/data/.zfs/snapshot/daily zfs ro,relatime,xattr,noacl,casesensitive 0 0
"""
BTRFS = """\
/dev/sda2 /home btrfs rw,relatime,subvolid=257,subvol=/@home 0 0
/dev/sda2 / btrfs rw,relatime,subvolid=256,subvol=/@ 0 0
"""
HIDDEN = """\
/dev/sda1 / ext4 rw,relatime 0 0
/dev/sdb1 /data ext4 rw,relatime 0 0
/dev/sdc1 /data xfs rw,relatime 0 0
"""

Recorder = Callable[[str], None]


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Has psutil read mounts that were recorded elsewhere, which can be changed afterwards."""

    def record(mounts: str) -> None:
        (tmp_path / "self").mkdir(exist_ok=True)
        (tmp_path / "self/mounts").write_bytes(os.fsencode(mounts))

    (tmp_path / "filesystems").write_text(FILE_SYSTEMS)
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    return record


@needs_linux
@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        pytest.param(
            UBUNTU, {"/": "ext4", "/boot/efi": "vfat", "/mnt/my disk": "fuseblk"}, id="pseudo, network, images"
        ),
        pytest.param(CONTAINER, {"/": "overlay"}, id="container, with files of the host's disk"),
        pytest.param(
            CONTAINER + "/dev/sda1 /no/such/volume ext4 rw 0 0\n",
            {"/": "overlay", "/no/such/volume": "ext4"},
            id="container with a volume",
        ),
        pytest.param(IMAGE_BASED, {"/etc": "xfs", "/boot": "ext4"}, id="the root an image"),
        pytest.param("/dev/sda1 / squashfs ro 0 0\n", {}, id="nothing but an image"),
        pytest.param("tmpfs / tmpfs rw 0 0\n", {"/": "tmpfs"}, id="diskless"),
        pytest.param(
            f"/dev/loop0 / squashfs ro 0 0\noverlay / overlay rw,{LAYERS} 0 0\n",
            {"/": "overlay"},
            id="a layer over the image",
        ),
        pytest.param("", {"/": ""}, id="a table that says nothing"),
        pytest.param(ZFS, {"/": "zfs", "/rpool/data": "zfs"}, id="datasets, without snapshots"),
        pytest.param(BTRFS, {"/": "btrfs"}, id="subvolumes, the root not first"),
        pytest.param(HIDDEN, {"/": "ext4", "/data": "xfs"}, id="one mounted over another"),
    ],
)
def test_of_recorded_mounts_those_count_that_hold_data(
    recorded: Recorder, mounts: str, expected: dict[str, str]
) -> None:
    recorded(mounts)

    assert local_mounts() == expected


@needs_linux
def test_this_hosts_root_counts() -> None:
    assert "/" in local_mounts()


def test_a_disk_counts_while_it_is_mounted_and_once_however_often(tmp_path: Path) -> None:
    with (
        mounted_disk(tmp_path / "disk") as disk,
        mounted(tmp_path / "same", "--bind", str(disk)) as same,
        mounted(tmp_path / "memory", "-t", "tmpfs", "tmpfs") as memory,
    ):
        during = local_mounts()

    assert during[str(disk)] == "ext4"
    assert str(same) not in during
    assert str(memory) not in during
    assert str(disk) not in local_mounts()


def test_a_file_that_is_mounted_stands_for_no_disk(tmp_path: Path) -> None:
    target = tmp_path / "b"
    target.touch()
    with mounted_disk(tmp_path / "disk") as disk:
        file = disk / "a"
        file.touch()
        with mounted(target, "--bind", str(file)), mounted(tmp_path / "later", "--bind", str(disk)) as later:
            unmount(disk)

            mounts = local_mounts()

    assert str(target) not in mounts
    assert str(later) in mounts


@needs_linux
def test_inodes_are_those_of_statvfs_and_none_where_they_are_not_counted() -> None:
    counted = inodes("/dev")

    assert counted is not None
    assert counted.total == os.statvfs("/dev").f_files
    assert counted.used == pytest.approx(counted.total - os.statvfs("/dev").f_ffree, abs=10)
    assert inodes("/proc") is None


@needs_linux
def test_what_cannot_be_read_is_a_sentence_beside_the_answers() -> None:
    def read(path: str) -> int:
        if path == "/odd":
            raise ValueError("no number")
        return os.statvfs(path).f_bsize

    found = survey(read, ["/", "/no/such", "/odd", "/"], timeout_seconds=5)

    assert found.answers == {"/": os.statvfs("/").f_bsize}
    assert found.faults == {
        "/no/such": "/no/such cannot be read: No such file or directory",
        "/odd": "/odd cannot be read: ValueError: no number",
    }


@needs_linux
def test_a_mount_that_vanishes_while_it_is_read_is_left_out(recorded: Recorder) -> None:
    recorded("/dev/a / ext4 rw 0 0\n/dev/b /gone ext4 rw 0 0\n/dev/c /folder-left ext4 rw 0 0\n")

    def read(path: str) -> str:
        if path == "/gone":
            raise FileNotFoundError(2, "No such file or directory")
        recorded("/dev/a / ext4 rw 0 0\n")
        return path

    found = survey(read, None, timeout_seconds=5)

    assert found.answers == {"/": "/"}
    assert found.faults == {}


def test_a_disk_unmounted_while_it_is_read_does_not_lend_its_name_to_the_one_below(tmp_path: Path) -> None:
    with mounted_disk(tmp_path / "disk") as disk:

        def read(path: str) -> int:
            if path == str(disk):
                unmount(disk)
            return os.statvfs(path).f_blocks

        found = survey(read, None, timeout_seconds=5)

    assert "/" in found.answers
    assert str(disk) not in found.answers.keys() | found.faults.keys()


@needs_linux
def test_a_mount_that_cannot_be_read_and_is_still_there_is_named(recorded: Recorder) -> None:
    recorded("/dev/a / ext4 rw 0 0\n/dev/b /no/such ext4 rw 0 0\n")

    assert survey(inodes, None, timeout_seconds=5).faults.keys() == {"/no/such"}


@needs_linux
def test_a_mount_point_of_odd_bytes_or_great_length_has_a_name_that_a_database_takes(recorded: Recorder) -> None:
    odd, long = os.fsdecode(b"/caf\xe9"), "/" + "a" * 450 + "z"
    recorded(f"/dev/a / ext4 rw 0 0\n/dev/b {odd} ext4 rw 0 0\n/dev/c {long} ext4 rw 0 0\n")

    found = survey(lambda path: path, None, timeout_seconds=5)

    names = dict(zip(found.answers.values(), found.answers, strict=True))
    assert names[odd] == "/caf\\udce9"
    assert survey(inodes, None, timeout_seconds=5).faults["/caf\\udce9"].startswith("/caf\\udce9 cannot be read")
    assert len(names[long]) == MAX_PATH_CHARS
    assert (names[long][:3], names[long][-3:]) == ("/aa", "aaz")
    assert "…" in names[long]


def test_a_hung_file_system_costs_the_others_nothing_and_ends_with_its_mount() -> None:
    with hung_mount() as hung:
        started = time.monotonic()
        found = survey(inodes, [str(hung), "/"], timeout_seconds=0.6)
        took_seconds = time.monotonic() - started
        asking = [thread for thread in threading.enumerate() if thread.name == f"check {hung}"]

    for thread in asking:
        thread.join(5)
    assert found.answers.keys() == {"/"}
    assert found.faults == {str(hung): f"{hung} did not answer within 0.54 s"}
    assert took_seconds < 1.5
    assert [thread.is_alive() for thread in asking] == [False]


def test_a_hung_network_file_system_is_not_even_asked_unless_named() -> None:
    with hung_mount() as hung:
        found = survey(inodes, None, timeout_seconds=5)

    assert str(hung) not in found.answers.keys() | found.faults.keys()


@needs_linux
def test_a_hung_disk_is_named_although_nobody_named_it(recorded: Recorder) -> None:
    with hung_mount() as hung:
        recorded(f"/dev/a / ext4 rw 0 0\n/dev/sdb1 {hung} fuseblk rw 0 0\n")

        found = survey(inodes, None, timeout_seconds=0.3)

    assert found.answers.keys() == {"/"}
    assert found.faults.keys() == {str(hung)}


def test_a_hung_mount_is_gone_when_its_test_was_killed(tmp_path: Path) -> None:
    with hung_mount():
        pass  # skips where there can be none
    program = f"""
from pathlib import Path
from hung_mount import hung_mount
with hung_mount(Path({str(tmp_path)!r}) / "hung"):
    print("there", flush=True)
    input()
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as test:
        assert test.stdout
        assert test.stdout.readline() == b"there\n"
        was_there = str(tmp_path) in Path("/proc/self/mounts").read_text()
        test.kill()

    until = time.monotonic() + 5
    while str(tmp_path) in Path("/proc/self/mounts").read_text() and time.monotonic() < until:
        time.sleep(0.02)
    assert was_there
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


def test_mounts_can_be_imported_before_any_checker() -> None:
    # The registry imports the checkers, and they import this: an import back would make a circle.
    program = "import tasks.check.readings.mounts, sys; sys.exit('tasks.check.checkers' in sys.modules)"

    subprocess.run([sys.executable, "-c", program], check=True, timeout=20)
