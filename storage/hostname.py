"""The host that an alert's labels name: one rule, for what is stored and for what is looked for."""

import ipaddress
import re
from collections.abc import Mapping

HOSTNAME_MAX_CHARS = 255
# As labels are spelled without capitals, dots, dashes and underscores; the first that names a host wins. An
# exporter puts its own address into `instance`, so what names a host comes before it.
HOST_LABELS = (
    "hostname",
    "host",
    "nodename",
    "node",
    "servername",
    "server",
    "machinename",
    "machine",
    "computername",
    "computer",
    "fqdn",
    "instance",
)
_SCHEME = re.compile(r"^\w+://")
_JOINTS = str.maketrans("", "", "._-")


def hostname_of(labels: Mapping[str, str]) -> str:
    """The host's name in lower case, without scheme, port and path; empty where no label names one.

    A name is preferred to an address, whichever label has it.
    """
    spelled = {_spelled(name): value for name, value in labels.items() if isinstance(value, str)}
    found = [host for label in HOST_LABELS if (host := host_key(spelled.get(label, "")))]
    return next((host for host in found if not is_address(host)), found[0] if found else "")


def host_key(text: str) -> str:
    """A host as it is stored to be found, whatever way it was written."""
    return bare_host(text).lower()[:HOSTNAME_MAX_CHARS]


def bare_host(text: str) -> str:
    """`https://web-01:9100/metrics` as `web-01`, `[::1]:9100` as `::1`."""
    host = _SCHEME.sub("", text.strip()).split("/")[0].rpartition("@")[2]
    if host.startswith("["):
        return host[1:].split("]")[0]
    return host if host.count(":") > 1 else host.split(":")[0].rstrip(".")


def is_address(name: str) -> bool:
    """Whether it is an address rather than a name."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _spelled(label: str) -> str:
    return label.lower().translate(_JOINTS)
