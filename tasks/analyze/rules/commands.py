"""Shell commands that only look. A name in one is quoted, and comes from a reading or an alert's label."""

import ipaddress
import re
import shlex

from storage.vocabulary import RecommendationType
from tasks.analyze.topic import CPU, DISK, GENERAL, MEMORY, NETWORK, PROCESS

# By kind of problem; `{host}` is filled in.
COMMANDS: dict[RecommendationType, tuple[str, ...]] = {
    MEMORY: (
        "free -h  # is it used up, and is swap in use",
        "ps -eo pid,user,rss,etime,comm --sort=-rss | head -n 11  # the largest processes",
        "journalctl -k --since '-1 hour' | grep -i 'out of memory'  # did the kernel kill something",
    ),
    DISK: ("lsof -nP +L1  # deleted files that a process still holds open",),
    CPU: (
        "uptime  # load now, and is it rising or falling",
        "ps -eo pid,user,pcpu,etime,comm --sort=-pcpu | head -n 11  # the busiest processes",
        "vmstat 1 5  # is it work (us), the kernel (sy), waiting for disks (wa) or a busy hypervisor (st)",
    ),
    PROCESS: (
        "systemctl --failed  # units that have stopped",
        "journalctl -p err --since '-1 hour' | tail -n 50  # what they said last",
        "ps -eo pid,stat,etime,comm | awk '$2 ~ /^[ZD]/'  # zombies, and processes stuck on a disk",
    ),
    NETWORK: (
        "ping -c 3 {host}  # from another host: does it answer",
        "ip -br addr; ip -s link  # interfaces, errors and drops",
        "ss -s  # connections by state",
    ),
    GENERAL: (
        "uptime; free -h; df -h  # load, memory, disks",
        "systemctl --failed  # units that have stopped",
        "journalctl -p warning --since '-1 hour' | tail -n 50  # what changed",
    ),
}

_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]*")
_SERVED = re.compile(
    r"(?P<at>\[[0-9A-Fa-f:.%]+\]:\d+|[A-Za-z0-9][\w.-]*:\d+)( \((?P<name>[A-Za-z0-9][\w.-]*)\))?", re.ASCII
)
_PORT = re.compile(r"(?P<number>\d{1,5})/(?P<protocol>tcp|udp)")
_ACTIVE = re.compile(r"[\"$`\\!]")
_DEVICE = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)


def is_host(name: str) -> bool:
    """Whether it is a name or address that can be typed as it is, and means one host."""
    return _HOST.fullmatch(name) is not None and name != "localhost"


def about_unit(unit: str) -> list[str]:
    """A systemd unit."""
    quoted = shlex.quote(unit)
    end = "-- " if unit.startswith("-") else ""  # of the options, as in -.mount
    return [
        f"systemctl status {end}{quoted}  # its state, and how it ended",
        f"journalctl --no-pager -n 50 -u {quoted}  # what it said last",
    ]


def about_process(label: str) -> list[str]:
    """A process that should run, by its name or pattern."""
    quoted = shlex.quote(label)
    return [
        f"pgrep -af -- {quoted}  # does it run now",
        f"journalctl --since '-1 hour' --no-pager | grep -iE -- {quoted} | tail -n 30  # what it said last",
    ]


def about_file_system(path: str) -> list[str]:
    """The space of a mount point."""
    quoted = shlex.quote(path)
    return [
        f"df -h {quoted}; df -i {quoted}  # is it space or inodes",
        f"du -xh --max-depth=2 {quoted} 2>/dev/null | sort -h | tail -n 15  # where it went",
    ]


def about_inodes(path: str) -> list[str]:
    """The inodes of a mount point."""
    quoted = shlex.quote(path)
    return [
        f"df -i {quoted}  # how many are left",
        f"du -x --inodes --max-depth=3 {quoted} 2>/dev/null | sort -n | tail -n 15  # where the files are",
    ]


def about_device(name: str) -> list[str]:
    """The load of a block device."""
    return [f"iostat -dx {name} 1 5  # how busy it is, and how long requests wait"] if _is_device(name) else []


def about_drive(name: str) -> list[str]:
    """The health of a drive."""
    return [f"smartctl -a /dev/{name}  # temperature, wear and errors"] if _is_device(name) else []


def about_array(target: str) -> list[str]:
    """A RAID array, pool or file system, as the raid checker names it."""
    kind, _, name = target.partition(" ")
    quoted = shlex.quote(name)
    if name and kind == "zpool":
        return [f"zpool status -v -- {quoted}  # which drive, and what it lost"]
    if name and kind == "btrfs":
        return [f"btrfs filesystem show -- {quoted}  # which device is missing"]
    if target.startswith("md") and _is_device(target):
        return [f"mdadm --detail /dev/{target}  # which drive failed, and is it being rebuilt"]
    return []


def about_certificate(target: str) -> list[str]:
    """A certificate in a file or shown by a server, as the certificate checker names it."""
    if target.startswith("/"):
        return [f"openssl x509 -in {shlex.quote(target)} -noout -subject -issuer -dates  # what is in the file"]
    served = _SERVED.fullmatch(target)
    if not served:
        return []
    name = served["name"] or served["at"].rpartition(":")[0]
    by_name = "" if _is_address(name) else f" -servername {name}"
    ask = f"openssl s_client -connect {shlex.quote(served['at'])}{by_name} </dev/null"
    return [f"{ask} | openssl x509 -noout -dates -subject -issuer  # what the server shows now"]


def about_pod(target: str) -> list[str]:
    """A pod of Kubernetes, as `namespace/pod`."""
    namespace, _, pod = (shlex.quote(part) for part in target.partition("/"))
    return [
        f"kubectl describe pod --namespace={namespace} -- {pod}  # its state, and what happened to it",
        f"kubectl logs --namespace={namespace} --previous --tail=50 -- {pod}  # what it said last",
    ]


def about_service(host: str) -> list[str]:
    """A service of others, by the name of its host."""
    return [*about_url(f"https://{host}/"), f"getent ahosts {shlex.quote(host)}  # does its name lead anywhere"]


def remote(host: str, command: str) -> str:
    """A command as it is typed for another host, with what it is for."""
    typed, mark, aim = command.partition("  # ")
    # In double quotes it can be read, where nothing within them has a meaning of its own.
    quoted = f'"{typed}"' if "'" in typed and not _ACTIVE.search(typed) else shlex.quote(typed)
    return f"ssh {host} {quoted}{mark}{aim}"


def about_url(url: str) -> list[str]:
    """A URL that should answer."""
    shown = r"'%{http_code} %{time_total}s\n'"
    return [f"curl -sS -o /dev/null -w {shown} --max-time 10 {shlex.quote(url)}  # status and time"]


def about_port(target: str) -> list[str]:
    """A port that is open to others, as the listening_ports checker names it."""
    port = _PORT.fullmatch(target)
    if not port:
        return []
    flag = "t" if port["protocol"] == "tcp" else "u"
    return [f"ss -{flag}lnp 'sport = :{port['number']}'  # which process opened it, on which addresses"]


def about_host(host: str) -> list[str]:
    """A host that this one should reach."""
    if not is_host(host):
        return []
    return [
        f"ping -c 3 {host}  # does it answer now",
        f"getent ahosts {host}  # does its name lead anywhere",
        f"traceroute -n {host}  # where the way ends",
    ]


def about_folder(path: str) -> list[str]:
    """A directory tree with files that could go."""
    quoted = shlex.quote(f"{path.rstrip('/')}/")  # with a slash, that a link is followed
    return [f"du -xah {quoted} 2>/dev/null | sort -h | tail -n 20  # the largest in it"]


def _is_device(name: str) -> bool:
    return _DEVICE.fullmatch(name) is not None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]").partition("%")[0])
    except ValueError:
        return False
    return True
