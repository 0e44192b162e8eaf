"""The things that an alert itself names in labels and texts: units, mount points, addresses, devices, pods."""

import re
from collections.abc import Callable, Iterator, Mapping

UNIT_TYPES = "service|socket|target|mount|automount|swap|timer|path|slice|scope"
PATH_LABELS = ("mountpoint", "mount_point", "mount", "path")
# Prometheus hands these out to exporters, which tell of a thing and are not the thing:
# https://github.com/prometheus/prometheus/wiki/Default-port-allocations
EXPORTER_PORTS = range(9100, 10_000)
HTTPS_PORT = 443
MAX_PORT = 65_535

# What an alert names, by its labels and its text.
Namer = Callable[[Mapping[str, str], str], list[str]]

_UNIT = re.compile(rf"[A-Za-z0-9][\w@.:\\-]*\.(?:{UNIT_TYPES})", re.ASCII)
_BARE_UNIT = re.compile(r"[A-Za-z0-9][\w@.-]*", re.ASCII)
# Bounded, or a long text without any would be looked through from each of its letters. The rarer types of units
# look like names of metrics.
_UNIT_IN_TEXT = re.compile(
    r"(?<![\w@./-])[A-Za-z0-9][\w@.-]{0,80}\.(?:service|socket|timer|mount)(?![\w-]|\.\w)", re.ASCII
)
_DEVICE_IN_TEXT = re.compile(r"(?<![\w/])/dev/([A-Za-z0-9][\w-]{0,40})", re.ASCII)
_URL = re.compile(r"(?<!\w)https?://[^\s\"'<>|]{1,500}", re.IGNORECASE)
_SERVER = re.compile(r"(?:https://)?(?P<host>[A-Za-z0-9][\w.-]{0,253})(?::(?P<port>\d{1,5}))?(?:/\S*)?", re.ASCII)
_SERVER_IN_TEXT = re.compile(
    r"(?<![\w./:@-])(?:https://[A-Za-z0-9][\w.-]{0,253}(?::\d{1,5})?|[A-Za-z0-9][\w.-]{0,253}:\d{2,5})(?![\w:])",
    re.ASCII,
)


def nothing(_labels: Mapping[str, str], _text: str) -> list[str]:
    """Of a subject without things that have names."""
    return []


def typed_units(labels: Mapping[str, str], text: str) -> list[str]:
    """Systemd units by their full names."""
    labelled = [labels.get(key, "") for key in ("unit", "systemd_unit", "name", "service")]
    return [*filter(_UNIT.fullmatch, labelled), *_UNIT_IN_TEXT.findall(text)]


def units(labels: Mapping[str, str], text: str) -> list[str]:
    """Systemd units where the words are about one: a label's value is a service's name by itself."""
    labelled = [labels.get(key, "") for key in ("unit", "systemd_unit", "name", "service")]
    bare = [f"{name}.service" for name in labelled if _BARE_UNIT.fullmatch(name) and not _UNIT.fullmatch(name)]
    return typed_units(labels, text) or bare[:1]


def processes(labels: Mapping[str, str], _text: str) -> list[str]:
    """Processes by the labels of those who count them."""
    return [labels[key] for key in ("process", "process_name", "groupname", "exe") if labels.get(key)]


def mount_points(labels: Mapping[str, str], _text: str) -> list[str]:
    """Mount points, by labels only: not every path in a text is one."""
    return [path for key in ("target", *PATH_LABELS) if (path := labels.get(key, "")).startswith("/")][:1]


def devices(labels: Mapping[str, str], text: str) -> list[str]:
    """Block devices, without the `/dev/`."""
    labelled = [labels[key].removeprefix("/dev/") for key in ("device", "disk") if labels.get(key)]
    return [*labelled, *_DEVICE_IN_TEXT.findall(text)]


def urls(labels: Mapping[str, str], text: str) -> list[str]:
    """URLs that should answer."""
    labelled = (_URL.fullmatch(labels.get(key, "")) for key in ("url", "target", "instance"))
    return [url[0] for url in labelled if url] or [url.rstrip(".,;)") for url in _URL.findall(text)]


def certificates(labels: Mapping[str, str], text: str) -> list[str]:
    """Who shows a certificate, as `host:port`, or the file that holds one: what is told most exactly."""
    exact = [labels.get(key, "") for key in ("target", "url", "path", "domain")]
    told = [
        *exact,
        *_SERVER_IN_TEXT.findall(text),
        *(labels.get(key, "") for key in ("instance", "host", "hostname")),
    ]
    return list(filter(None, map(_shown_by, told)))[:1]


def pods(labels: Mapping[str, str], _text: str) -> list[str]:
    """Pods of Kubernetes, as `namespace/pod`."""
    return [f"{labels.get('namespace') or 'default'}/{labels['pod']}"] if labels.get("pod") else []


def _shown_by(told: str) -> str:
    if told.startswith("/"):
        return told
    server = _SERVER.fullmatch(told)
    port = int(server["port"] or HTTPS_PORT) if server else 0
    is_server = server and port in range(1, MAX_PORT + 1) and port not in EXPORTER_PORTS
    return f"{server['host']}:{port}" if server and is_server else ""


def different(names: Iterator[str]) -> list[str]:
    """Each once, but for what would break a command's line."""
    return [name for name in dict.fromkeys(names) if name and name.isprintable()]
