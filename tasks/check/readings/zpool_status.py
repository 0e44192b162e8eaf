"""ZFS pools, as `zpool list` and `zpool status` print them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

FIELD = re.compile(r" {0,6}([a-z]+):(?: (.*))?$")
DEVICE = re.compile(r"\t\s*(\S+)\s+(ONLINE|DEGRADED|FAULTED|OFFLINE|UNAVAIL|REMOVED)\s+(\S+)\s+(\S+)\s+(\S+)")
DATA_ERRORS = re.compile(r"\d+ data errors|Permanent errors")
# No error, and no news every time: the pool was made with another block size than its drives'.
HARMLESS = "non-native block size"


@dataclass(frozen=True)
class Pool:
    """One pool. `told` are the fields of `zpool status -x`, none for a pool that it does not list.

    `failed` are the devices that are not in use, `faulty` those with counted errors.
    """

    name: str
    health: str
    told: dict[str, str] = field(default_factory=dict)
    failed: tuple[str, ...] = ()
    faulty: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """What its readings are filed under."""
        return f"zpool {self.name}"

    @property
    def is_news(self) -> bool:
        """Whether `zpool status -x` lists it for a reason."""
        return bool(self.told) and HARMLESS not in " ".join(self.told.get("status", "").split())

    @property
    def has_data_errors(self) -> bool:
        """Whether files are damaged."""
        return bool(DATA_ERRORS.search(self.told.get("errors", "")))

    @property
    def is_resilvering(self) -> bool:
        """Whether a device is being rebuilt."""
        return self.told.get("scan", "").startswith("resilver in progress")

    @property
    def progress_percent(self) -> float | None:
        """How far that is."""
        done = re.search(r"([\d.]+)% done", self.told.get("scan", ""))
        return float(done[1]) if done and self.is_resilvering else None


def parse(health_list: str, status: str) -> list[Pool]:
    """The pools of `zpool list -H -o name,health`, with what `zpool status -x` tells of those it shows."""
    told = {pool.name: pool for pool in _told(status)}
    rows = [line.split("\t") for line in health_list.splitlines() if "\t" in line]
    return [replace(told.get(name, Pool(name, "")), health=health.strip()) for name, health, *_ in rows]


def _told(status: str) -> Iterator[Pool]:
    """The pools of a `zpool status`: fields like ` state: ONLINE`, their further lines begin with a tab."""
    for block in re.split(r"^ {0,6}pool: ", status, flags=re.MULTILINE)[1:]:
        name, *lines = block.splitlines()
        fields: dict[str, str] = {}
        key = ""
        for line in lines:
            if begins := FIELD.match(line):
                key, fields[begins[1]] = begins[1], begins[2] or ""
            elif key:
                fields[key] += "\n" + line
        devices = DEVICE.findall(fields.get("config", ""))
        yield Pool(
            name=name,
            health=fields.get("state", ""),
            told=fields,
            failed=tuple(device for device, health, *_ in devices if health not in {"ONLINE", "DEGRADED"}),
            faulty=tuple(device for device, _, *counts in devices if set(counts) != {"0"}),
        )
