"""Which reading of the affected host speaks of what an incident's words are about."""

import re
from collections.abc import Iterable, Sequence

from storage.records import CheckResult
from storage.vocabulary import CheckStatus
from tasks.analyze.rules.checked import SUBJECTS
from tasks.analyze.rules.naming import PATH_LABELS, UNIT_TYPES
from tasks.analyze.rules.scene import Scene
from tasks.analyze.rules.subjects import NAMED
from tasks.analyze.topic import DISK, Words

# The shortest name that is looked for in prose: shorter ones stand in many a word.
MIN_NAME_CHARS = 3

_UNIT_TYPE = re.compile(rf"\.({UNIT_TYPES})$")
_SCHEME = re.compile(r"^\w+://")


def about(scene: Scene, words: Words, named: Sequence[str]) -> tuple[CheckResult | None, bool]:
    """The worst check of what is meant, and whether the words name the very thing that it is about.

    Where they name a mount point, a unit, a URL, it is the reading of that and no other.
    """
    checks = _meant(scene, words, named)
    is_about_space = words.topic is DISK and not any(NAMED[name].is_apart for name in named)
    if is_about_space and (path := mount_point(scene)):
        return of_thing(path, checks) or _evidence_of(path, scene), True
    if thing := _named_thing(words, checks):
        return of_thing(thing, checks), True
    return max(checks, key=lambda check: check.status.rank, default=None), False


def of_thing(thing: str, checks: Iterable[CheckResult]) -> CheckResult | None:
    """The worst that checks read of one thing, as a check of its own."""
    found = [(reading, check) for check in checks for reading in check.readings if reading.target == thing]
    if not found:
        return None
    reading, check = max(found, key=lambda pair: pair[0].status.rank)
    return check.model_copy(
        update={
            # While a value is back by less than the margin, it is still held to be bad.
            "status": max(reading.status, reading.held, key=lambda status: status.rank),
            "message": reading.message,
            "metrics": check.metrics if not thing else {},
            "readings": [reading],
        }
    )


def mount_point(scene: Scene) -> str:
    """The mount point that an incident names: in a label, else one that was read and stands in its texts."""
    if scene.incident is None or scene.words is None:
        return ""
    labels = [a.labels.get(key, "") for a in scene.incident.alerts for key in ("target", *PATH_LABELS)]
    labelled = (path for path in labels if path.startswith("/") and path.isprintable())
    if path := next(labelled, ""):
        return path
    named = (path for path in _paths_read(scene) if path != "/" and scene.words.names(path))
    return next(named, "")


def _paths_read(scene: Scene) -> list[str]:
    disks = list(_percents(scene))
    targets = [reading.target for check in scene.checks for reading in check.readings]
    return list(dict.fromkeys(path for path in [*disks, *targets] if path.startswith("/")))


def _meant(scene: Scene, words: Words, named: Sequence[str]) -> list[CheckResult]:
    """The checks of the subjects that are named, else all of the kind that do not stand apart."""
    kept = [check for check in scene.checks if check.checker_name in named]
    if kept or any(NAMED[name].is_apart for name in named):
        return kept
    subjects = {name for name, each in SUBJECTS.items() if each.topic is words.topic and not each.is_apart}
    return [check for check in scene.checks if check.checker_name in subjects]


def _named_thing(words: Words, checks: Iterable[CheckResult]) -> str:
    """The thing that was read and that the words name, the worst of several."""
    readings = sorted((each for check in checks for each in check.readings), key=lambda each: -each.status.rank)
    targets = (reading.target for reading in readings if reading.target)
    return next((target for target in targets if _name(target) and words.names(_name(target))), "")


def _name(target: str) -> str:
    """What people call it: nginx.service nginx, shop.example.org:443 shop.example.org, a URL's host."""
    bare = _SCHEME.sub("", _UNIT_TYPE.sub("", target))
    name = bare if bare.startswith("/") else bare.split("/")[0].split(" ")[0].split(":")[0]
    return name if len(name) >= MIN_NAME_CHARS else ""


def _evidence_of(path: str, scene: Scene) -> CheckResult | None:
    """What the snapshot says of a path that no checker looked at, by the thresholds of the disk check."""
    percents = _percents(scene)
    if path not in percents:
        return None
    limits = [(c.warning_threshold, c.critical_threshold) for c in scene.checks if c.checker_name == "disk"]
    return CheckResult(
        checker_name="disk",
        status=_status(percents[path], *(limits or [(None, None)])[0]),
        message=f"{path} {percents[path]:.1f} % full",
        metrics={"worst_path": path},
    )


def _percents(scene: Scene) -> dict[str, float]:
    """How full the snapshot's file systems are; a number that could not be read is left out."""
    disks = scene.evidence.get("disks", [])
    return {disk["path"]: disk["used_percent"] for disk in disks if disk.get("used_percent") is not None}


def _status(percent: float, warning: float | None, critical: float | None) -> CheckStatus:
    if warning is None or critical is None:
        return CheckStatus.UNKNOWN
    if percent >= critical:
        return CheckStatus.CRITICAL
    return CheckStatus.WARNING if percent >= warning else CheckStatus.OK
