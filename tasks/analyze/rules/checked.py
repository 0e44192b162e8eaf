"""What each checker looks at, seen from an incident."""

from tasks.analyze.rules import commands, naming
from tasks.analyze.rules.commands import COMMANDS
from tasks.analyze.rules.subject import Subject, lost_hosts, scanned_folders
from tasks.analyze.topic import CPU, DISK, GENERAL, MEMORY, NETWORK, PROCESS

MEMORY_TITLE, CPU_TITLE = "Find what holds the memory", "Find what keeps the processors busy"
DISK_TITLE = "Find what fills the disk"
FREE_NOUN = "what could be deleted"
SPACE_TERMS = "space, full, fullest, fill, filling, free, filesystem, file system, usage, utilization, capacity"
FREE_UP = ("df -h  # which file system needs it",)

# By checker, and in this order where nothing else decides.
SUBJECTS: dict[str, Subject] = {
    "cpu": Subject(CPU, "the processors", CPU_TITLE, COMMANDS[CPU], "cpu, cpus, processor, processors"),
    "load": Subject(CPU, "the load", CPU_TITLE, COMMANDS[CPU], "load"),
    "memory": Subject(MEMORY, "memory", MEMORY_TITLE, COMMANDS[MEMORY]),
    "swap_io": Subject(
        MEMORY,
        "memory",
        "Find what is swapped in and out",
        (
            "vmstat 1 5  # si and so: what comes from swap and goes there each second",
            "grep -H VmSwap /proc/[0-9]*/status | sort -k2 -n | tail -n 10  # which processes lie in swap",
            *COMMANDS[MEMORY],
        ),
    ),
    "disk": Subject(
        DISK,
        "a disk's space",
        DISK_TITLE,
        COMMANDS[DISK],
        SPACE_TERMS,
        look_at=commands.about_file_system,
        names=naming.mount_points,
    ),
    "disk_inodes": Subject(
        DISK,
        "a disk's inodes",
        "Find what uses up the inodes",
        ("df -i  # which file system has none left",),
        f"inode, inodes, out of files, {SPACE_TERMS}",
        look_at=commands.about_inodes,
        names=naming.mount_points,
    ),
    "raid": Subject(
        DISK,
        "a disk array",
        "See which drive the array lost",
        (
            "cat /proc/mdstat  # arrays of the kernel: [U_] has lost a drive",
            "dmesg -T --level=err,warn | tail -n 30  # what the drives complained of",
        ),
        "raid, array, mdadm, zfs, zpool, btrfs, degraded, failed drive, drive failure",
        is_apart=True,
        look_at=commands.about_array,
    ),
    "cpu_temp": Subject(
        CPU,
        "the processors' heat",
        "Find out why the processors are hot",
        (
            "sensors  # temperatures and fans",
            "grep MHz /proc/cpuinfo  # do they slow themselves down",
            *COMMANDS[CPU][1:2],
        ),
        "temperature, thermal, hot, overheating, overtemperature, heat, temp",
        is_apart=True,
    ),
    "disk_temp": Subject(
        DISK,
        "a drive's heat",
        "Find out why the drive is hot",
        ("sensors  # temperatures of drives and fans", "iostat -dx 1 5  # is it working hard"),
        "temperature, thermal, hot, overheating, overtemperature, heat, temp",
        is_apart=True,
        look_at=commands.about_drive,
        names=naming.devices,
    ),
    "systemd_units": Subject(
        PROCESS,
        "a service",
        "Find out why a unit failed",
        COMMANDS[PROCESS][:2],
        "systemd, unit, units, service, daemon",
        has_names=True,
        look_at=commands.about_unit,
        names=naming.units,
    ),
    "reboot_required": Subject(
        GENERAL,
        "a reboot",
        "Plan the reboot that updates wait for",
        (
            "uname -r; uptime  # the kernel that runs, and since when",
            "cat /run/reboot-required.pkgs  # which packages ask for it, on Debian and Ubuntu",
            "needs-restarting -r  # the same on Red Hat and Fedora",
        ),
        "reboot, kernel",
        is_apart=True,
    ),
    "io_strain": Subject(
        DISK,
        "a disk's load",
        "Find what keeps the disk busy",
        (
            "iostat -x 1 5  # which device is busy, and how long requests wait",
            "pidstat -d 1 5  # which processes read and write",
            "ps -eo pid,stat,wchan:20,comm | awk '$2 ~ /^D/'  # processes that wait for a disk",
        ),
        "iowait, io wait, i o wait, latency, await, iops, io, i o, busy, overloaded, saturation, disk load, "
        "read rate, write rate, responses, queue, io saturation",
        is_apart=True,
        look_at=commands.about_device,
        names=naming.devices,
    ),
    "process": Subject(
        PROCESS,
        "a process",
        "Find out why a process stopped",
        COMMANDS[PROCESS],
        "process, processes, not running",
        has_names=True,
        look_at=commands.about_process,
        names=naming.processes,
    ),
    "network": Subject(
        NETWORK,
        "the network",
        "Find out what can still be reached",
        ("ip route  # is there a way out", *COMMANDS[NETWORK][1:]),
        look_at=commands.about_host,
        targets=lost_hosts,
    ),
    "http": Subject(
        NETWORK,
        "a URL",
        "Find out why the URL does not answer as it should",
        ("ss -tln  # does something listen on its port", *COMMANDS[PROCESS][:2]),
        "http, https, url, endpoint, website, site down, site is down, probe failed, probe failure, probe http, "
        "http check",
        is_apart=True,
        has_names=True,
        look_at=commands.about_url,
        names=naming.urls,
        is_outside=True,
    ),
    "certificate": Subject(
        GENERAL,
        "a certificate",
        "Renew the certificate",
        (
            "systemctl list-timers --all | grep -iE 'certbot|acme|renew'  # what should have renewed it",
            "journalctl --since '-7 days' --no-pager | grep -iE 'certbot|acme' | tail -n 30  # and what it said",
        ),
        "certificate, certificates, cert, certs, ssl, tls",
        is_apart=True,
        has_names=True,
        look_at=commands.about_certificate,
        names=naming.certificates,
        is_outside=True,
    ),
    "listening_ports": Subject(
        NETWORK,
        "an open port",
        "Find out who opened the port",
        ("ss -tlnp  # which processes listen, and on which addresses", "ss -ulnp  # the same for UDP"),
        "port, ports, listening, listener",
        is_apart=True,
        has_names=True,
        look_at=commands.about_port,
    ),
    "clock_skew": Subject(
        GENERAL,
        "the clock",
        "Find out why the clock is wrong",
        (
            "timedatectl  # is it synchronised, and by what",
            "chronyc tracking; chronyc sources  # with chrony: how far off, and by which servers",
            "timedatectl timesync-status  # the same with systemd-timesyncd",
        ),
        "clock, clocks, ntp, chrony, chronyd, time drift, time skew, system time, out of sync, time offset",
        is_apart=True,
    ),
    "disk_common": Subject(
        DISK,
        FREE_NOUN,
        "See what could be deleted of logs, caches and temporary files",
        FREE_UP,
        is_apart=True,
        look_at=commands.about_folder,
        targets=scanned_folders,
    ),
    "disk_linux": Subject(
        DISK,
        FREE_NOUN,
        "See what could be deleted of packages, journals, container logs and snaps",
        (*FREE_UP, "journalctl --disk-usage  # the journal", "docker system df  # images and containers"),
        is_apart=True,
        look_at=commands.about_folder,
        targets=scanned_folders,
    ),
    "disk_macos": Subject(
        DISK,
        FREE_NOUN,
        "See what could be deleted of caches, builds and downloads",
        FREE_UP,
        is_apart=True,
        look_at=commands.about_folder,
        targets=scanned_folders,
    ),
}
