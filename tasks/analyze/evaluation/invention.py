"""What a text names that nobody told it of: hosts, addresses, paths, pids and units.

It goes by form, so it sees only what has one: web-09, web09 or web.example.net is a host, and so is what a
command is pointed at (ssh db-primary); a bare word such as `gateway` is not. What an operator would type on any
Linux host is no invention: see the STANDARD lists.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

# Asked by everybody who wants to know whether there is a network at all.
STANDARD_ADDRESSES = ("8.8.8.8", "1.1.1.1")
# With all that lies below.
STANDARD_TREES = (
    "/proc",
    "/sys",
    "/etc",
    "/var/log",
    "/tmp",  # noqa: S108  (a word to look for)
    "/var/tmp",  # noqa: S108
    "/bin",
    "/sbin",
    "/usr/bin",
    "/usr/sbin",
)
# By themselves: what lies below is the affair of one host.
STANDARD_PATHS = {
    "/boot",
    "/dev",
    "/dev/null",
    "/dev/stderr",
    "/dev/stdin",
    "/dev/stdout",
    "/dev/zero",
    "/home",
    "/lib",
    "/media",
    "/mnt",
    "/opt",
    "/root",
    "/run",
    "/srv",
    "/usr",
    "/usr/lib",
    "/usr/local",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/spool",
}
STANDARD_UNITS = {
    "chrony",
    "chronyd",
    "cron",
    "crond",
    "networking",
    "networkmanager",
    "rsyslog",
    "smartd",
    "ssh",
    "sshd",
    "systemd-journald",
    "systemd-networkd",
    "systemd-oomd",
    "systemd-resolved",
    "systemd-timesyncd",
}
STANDARD_PIDS = {"0", "1"}

# Words that are written with a hyphen and a number, and name no host.
_NO_HOSTS = (
    "amd|arm|bug|code|cpu|cve|day|debian|el|error|exit|gpu|gzip|http|https|ipv|iso|issue|java|jdk|"
    "kernel|layer|level|mid|mysql|percent|phase|php|port|postgres|postgresql|pre|priority|python|"
    "raid|redis|rfc|rhel|run|sev|sha|sig|ssl|step|sub|tcp|tier|tls|top|type|ubuntu|udp|utf|version|"
    "x86|zstd"
)
_SUFFIXES = "com|net|org|io|dev|cloud|local|lan|internal|intranet|corp|prod|example|test|home|arpa|eu|de|uk|fr|nl"
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://(?:[^\s/@\"'<>]*@)?(\[[0-9a-f:.]+\]|[\w.-]+)[^\s\"'<>)]*", re.IGNORECASE)
_FULL_NAME = re.compile(
    rf"(?<![\w./-])(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+(?:{_SUFFIXES})(?![\w-]|\.\w)", re.IGNORECASE
)
_SHORT_NAMES = (
    re.compile(
        rf"(?<![\w./-])(?!(?:{_NO_HOSTS})-)[a-z][a-z0-9]+(?:-[a-z0-9]+)*-\d{{1,4}}(?![\w-])", re.IGNORECASE
    ),
    re.compile(r"(?<![\w./-])[a-z]{2,}0\d{1,3}(?![\w-])", re.IGNORECASE),
    re.compile(
        r"(?<![\w./-])(?:app|cache|db|host|lb|mail|master|mx|node|ns|prod|proxy|server|srv|vm|web|worker)\d{1,4}(?![\w-])",
        re.IGNORECASE,
    ),
    # A pod of a deployment.
    re.compile(r"(?<![\w./-])[a-z][a-z0-9-]*-[0-9a-f]{8,10}-[a-z0-9]{5}(?![\w-])"),
)
_AT_START = r"(?:^|[`|;&(]\s*)(?:sudo\s+)?"
_OPTIONS = r"(?:-{1,2}[\w=.-]+\s+(?:\d+\s+)?)*"
# Prose goes on with a word (ping the router), a command with a name, which mostly has more than letters.
_POINTED_AT = re.compile(
    rf"{_AT_START}(?:ssh|scp|ping6?|traceroute6?|tracepath|mtr|dig|nslookup|telnet|nc)\s+{_OPTIONS}"
    r"(?:[\w.-]+@)?(?=\w*[-.\d])(\w[\w.-]*\w)",
    re.MULTILINE,
)
_IPV4 = re.compile(r"(?<![\w.-])\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?![\w:])", re.IGNORECASE)
# What stands between slashes in a program of awk or sed is a pattern.
_PROGRAM = re.compile(r"\b(?:awk|sed|grep|egrep)\s+(?:-\S+\s+)*(?:'[^']*'|\"[^\"]*\")")
_PATH = re.compile(r"(?<![\w.)\]}>%*$~/<-])(?:/[\w.@+%*?<>{}\[\]$:-]+)+/?")
_PLACEHOLDER = re.compile(r"/[^/]*[*?<>{}\[\]$].*")
_PIDS = (
    re.compile(r"\bpids?\b[^\w\n]{0,4}(\d+(?:\s*(?:,|and)\s*\d+)*)", re.IGNORECASE),
    re.compile(r"/proc/(\d+)"),
    re.compile(rf"{_AT_START}kill\s+(?:-\w+\s+|[A-Z]+\s+)*(\d+)", re.MULTILINE),
    re.compile(rf"{_AT_START}(?:gcore|jmap|jstack|pmap|pstack)\s+(?:-\S+\s+)*(\d+)", re.MULTILINE),
    re.compile(
        r"\b(?:gdb|ionice|lsof|ltrace|perf|pidstat|prlimit|ps|py-spy|renice|strace|taskset|top)\b"
        r"[^\n;|&]*?\s-p\s*(\d+(?:,\d+)*)"
    ),
)
_VERBS = (
    "cat|disable|edit|enable|is-active|is-failed|mask|reload|reset-failed|restart|show|start|status|stop|unmask"
)
_UNITS = (
    re.compile(r"(?<![\w./@-])([\w@:-][\w@:.-]*)\.(?:service|timer|socket|mount)(?![\w-])"),
    re.compile(rf"\bsystemctl\s+(?:-\S+\s+)*(?:{_VERBS})\s+(?:-\S+\s+)*(\w[\w@:.-]*)"),
    re.compile(r"\bjournalctl\b[^\n;|&]*?\s(?:-u|--unit)[= ]\s*(\w[\w@:.-]*)"),
)
_UNIT_NAME = re.compile(r"[\w@:.-]+\.(?:service|timer|socket|mount)(?![\w-])")
_UNIT_TYPE = re.compile(r"\.(?:service|timer|socket|mount)$")
_IN_PROSE = {"and", "for", "of", "on", "or", "the", "this", "that", "to"}


@dataclass(frozen=True)
class Told:
    """All that the one who answers was told."""

    text: str

    def holds(self, name: str) -> bool:
        """Whether it names this, be it the beginning of a longer host name or path."""
        return bool(re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", self.text, re.IGNORECASE))

    def holds_path(self, path: str) -> bool:
        """Whether it names this path or one below."""
        return bool(re.search(rf"(?<![\w./-]){re.escape(path)}(?![\w-]|\.\w)", self.text))

    @cached_property
    def addresses(self) -> frozenset[str]:
        """The addresses in it, in one spelling."""
        return frozenset(_addresses(self.text))


def invented(text: str, told: Told) -> list[str]:
    """What the text names and was not told of, with its kind, each once: `host web-09`, `pid 4242`."""
    rules: dict[str, Callable[[str, Told], Iterable[str]]] = {
        "host": _unknown_hosts,
        "address": _unknown_addresses,
        "path": _unknown_paths,
        "pid": _unknown_pids,
        "unit": _unknown_units,
    }
    return [f"{kind} {name}" for kind, find in rules.items() for name in dict.fromkeys(find(text, told))]


def _unknown_hosts(text: str, told: Told) -> Iterator[str]:
    in_urls = [host for host in _URL.findall(text) if not _address(host)]
    bare = _UNIT_NAME.sub(" ", _URL.sub(" ", text))
    full = [match[0] for match in _FULL_NAME.finditer(bare)]
    short = [match[0] for pattern in _SHORT_NAMES for match in pattern.finditer(_FULL_NAME.sub(" ", bare))]
    pointed_at = [host for host in _POINTED_AT.findall(bare) if not _address(host)]
    for host in [*in_urls, *full, *short, *pointed_at]:
        if host.lower() != "localhost" and not told.holds(host):
            yield host


def _unknown_addresses(text: str, told: Told) -> Iterator[str]:
    for address in _addresses(text):
        parsed = ipaddress.ip_address(address)
        is_own = parsed.is_loopback or parsed.is_unspecified
        if not is_own and address not in STANDARD_ADDRESSES and address not in told.addresses:
            yield address


def _addresses(text: str) -> Iterator[str]:
    for pattern in (_IPV4, _IPV6):
        yield from filter(None, map(_address, pattern.findall(text)))


def _address(text: str) -> str:
    """The usual spelling of an address; empty for what is none."""
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        return ""


def _unknown_paths(text: str, told: Told) -> Iterator[str]:
    for found in _PATH.findall(_PROGRAM.sub(" ", _URL.sub(" ", text))):
        path = _PLACEHOLDER.sub("", found).rstrip("./:-")
        if path and not _is_standard(path) and not told.holds_path(path) and not _is_device(path, told):
            yield path


def _is_standard(path: str) -> bool:
    return path in STANDARD_PATHS or any(path == tree or path.startswith(f"{tree}/") for tree in STANDARD_TREES)


def _is_device(path: str, told: Told) -> bool:
    """Readings name devices without their folder; /dev/sdX is whichever it may be."""
    return path.startswith("/dev/") and (path.endswith("X") or told.holds(path.removeprefix("/dev/")))


def _unknown_pids(text: str, told: Told) -> Iterator[str]:
    for pattern in _PIDS:
        for pids in pattern.findall(text):
            for pid in re.findall(r"\d+", pids):
                if pid not in STANDARD_PIDS and not told.holds(pid):
                    yield pid


def _unknown_units(text: str, told: Told) -> Iterator[str]:
    for pattern in _UNITS:
        for name in pattern.findall(text):
            stem = _UNIT_TYPE.sub("", name.rstrip(".:"))
            is_word = stem.lower() in _IN_PROSE or stem.isupper()
            if not is_word and stem.lower() not in STANDARD_UNITS and not told.holds(stem):
                yield stem
