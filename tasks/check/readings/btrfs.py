"""Mounted btrfs file systems, as the kernel tells of them under /sys/fs/btrfs; no program is asked.

Each has a folder named by its UUID: `label`, `allocation/data/<level>/`, `devices/<block device>` links, and since
Linux 5.6 `devinfo/<id>/missing`, since 5.14 `devinfo/<id>/error_stats`. Without devinfo nothing can be told.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.records import Reading
from storage.vocabulary import CheckStatus
from tasks.check.checkers.base import state
from tasks.check.readings.text import kernel_text, printable

MAX_NAMES = 50
MAX_LABEL_CHARS = 80


@dataclass(frozen=True)
class FileSystem:
    """One file system. `gone` are its devices that are missing; `errors` counts since they were last reset."""

    uuid: str
    label: str
    level: str
    devices: int
    gone: tuple[str, ...]
    errors: dict[str, int]
    operation: str


def read(root: Path) -> list[tuple[Reading, dict[str, Any]]]:
    """Verdict and metrics of each file system, which is named by its label where that is its alone."""
    found = [_file_system(folder) for folder in sorted(root.glob("*")) if (folder / "devinfo").is_dir()]
    labels = Counter(each.label for each in found)
    names = [each.label if each.label and labels[each.label] == 1 else each.uuid for each in found]
    return [
        (state(*verdict(each, name), target=f"btrfs {name}"), _metrics(each, name))
        for name, each in zip(names, found, strict=True)
    ]


def verdict(each: FileSystem, name: str) -> tuple[CheckStatus, str]:
    """How bad it is, by the table in checkers/raid.py."""
    thing = f"btrfs {name} ({each.level})" if each.level else f"btrfs {name}"
    if each.gone:
        missing = f"{len(each.gone)} of {each.devices} devices missing: {', '.join(each.gone[:MAX_NAMES])}"
        if each.operation == "device replace":
            return CheckStatus.WARNING, f"{thing} is degraded and being rebuilt, {missing}"
        return CheckStatus.CRITICAL, f"{thing} is degraded, {missing}"
    if each.errors:
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(each.errors.items()))
        return CheckStatus.WARNING, f"{thing} has seen errors: {counts} (`btrfs device stats` says where)"
    return CheckStatus.OK, f"{thing} is complete"


def _file_system(folder: Path) -> FileSystem:
    infos = sorted((folder / "devinfo").glob("*"))
    missing = [f"device {info.name}" for info in infos if kernel_text(info / "missing") == "1"]
    # A drive that was pulled out while mounted is not "missing" to the kernel, but its link leads nowhere.
    pulled = [link.name for link in sorted((folder / "devices").glob("*")) if not link.exists()]
    levels = [each.name for each in sorted((folder / "allocation" / "data").glob("*")) if each.is_dir()]
    return FileSystem(
        uuid=folder.name,
        label=printable(kernel_text(folder / "label"), MAX_LABEL_CHARS),
        level="+".join(levels),
        devices=len(infos),
        gone=tuple(missing + pulled),
        errors=_errors(infos),
        operation=kernel_text(folder / "exclusive_operation"),
    )


def _errors(infos: list[Path]) -> dict[str, int]:
    """The counters that are not zero, over all devices."""
    totals: Counter[str] = Counter()
    for info in infos:
        for line in kernel_text(info / "error_stats").splitlines():
            kind, _, count = line.partition(" ")
            if count.isdigit():
                totals[kind[:MAX_LABEL_CHARS]] += int(count)
    return {kind: count for kind, count in totals.items() if count}


def _metrics(each: FileSystem, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "level": each.level,
        "state": "degraded" if each.gone else "complete",
        "devices": each.devices,
        "active": each.devices - len(each.gone),
        "failed": list(each.gone[:MAX_NAMES]),
        "action": "" if each.operation == "none" else each.operation[:MAX_LABEL_CHARS],
        "errors": each.errors,
    }
