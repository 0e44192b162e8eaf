"""What a scan of directory trees found, and how much of it could be deleted."""

from datetime import datetime
from typing import Any

from storage.records import CheckResult
from tasks.analyze.rules.scene import Scene

WORTH_A_WORD_MB = 100.0
MAX_FILES_NAMED = 2
MB_PER_GB = 1024


def worth_a_word(check: CheckResult) -> bool:
    """Whether anybody should hear of it: much could be deleted, there are large files, or not all was seen."""
    metrics = check.metrics
    most_mb = max(metrics.get("total_recoverable_mb", 0), _old_mb(check))
    return bool(most_mb >= WORTH_A_WORD_MB or metrics.get("large_files") or metrics.get("scan_cut_by"))


def sentences(check: CheckResult, *, now: datetime | None) -> str:
    """How much could go and where, and the largest and the old files by name."""
    metrics = check.metrics
    told = [_places(metrics), _files("Largest", metrics.get("large_files", []), now), _old(check, now)]
    if unseen := metrics.get("denied", 0):
        told.append(f"{unseen:,} files or folders could not be looked at.")
    return " ".join(sentence for sentence in told if sentence)


def details(check: CheckResult, *, now: datetime | None) -> dict[str, Any]:
    """The same as data: sizes in MB, ages in days, and what the scan could not see."""
    metrics = check.metrics
    return {
        "recoverable_mb": metrics.get("total_recoverable_mb", 0),
        "places": metrics.get("places", []),
        "large_files": [_aged(file, now) for file in metrics.get("large_files", [])],
        "old_files": [_aged(file, now) for file in metrics.get("old_files", [])],
        "old_files_count": metrics.get("old_files_count", 0),
        "old_files_mb": _old_mb(check),
        "cut_short_by": metrics.get("scan_cut_by", []),
        "not_readable": metrics.get("denied", 0),
    }


def measured_at(scene: Scene) -> datetime | None:
    """When the readings were taken, by which files have their age; None where that is not known."""
    told = scene.evidence.get("measured_at")
    try:
        return datetime.fromisoformat(told) if told else None
    except ValueError:
        return None


def _old_mb(check: CheckResult) -> float:
    return float(check.metrics.get("old_files_mb", 0))


def _places(metrics: dict[str, Any]) -> str:
    places = [place for place in metrics.get("places", []) if place["recoverable_mb"]]
    most_first = sorted(places, key=lambda place: -place["recoverable_mb"])
    told = (
        f"{_size(place['recoverable_mb'])} of {_size(place['size_mb'])} in {place['path']}" for place in most_first
    )
    return f"Could be deleted: {', '.join(told)}." if places else ""


def _old(check: CheckResult, now: datetime | None) -> str:
    files = check.metrics.get("old_files", [])
    if not files:
        return ""
    sentence = _files("the largest", files, now)
    return f"{check.metrics['old_files_count']:,} old files hold {_size(_old_mb(check))}, {sentence}"


def _files(title: str, files: list[dict[str, Any]], now: datetime | None) -> str:
    told = [f"{file['path']} ({_size(file['size_mb'])}, {_age(file, now)})" for file in files[:MAX_FILES_NAMED]]
    return f"{title}: {', '.join(told)}." if told else ""


def _aged(file: dict[str, Any], now: datetime | None) -> dict[str, Any]:
    return file if now is None else {**file, "age_days": _age_days(file, now)}


def _age(file: dict[str, Any], now: datetime | None) -> str:
    if now is None:
        return f"last written {file['modified_at'][:10]}"
    days = _age_days(file, now)
    return "written today" if days < 1 else f"unchanged for {days:,} {'day' if days == 1 else 'days'}"


def _age_days(file: dict[str, Any], now: datetime) -> int:
    return max(0, (now - datetime.fromisoformat(file["modified_at"])).days)


def _size(size_mb: float) -> str:
    return f"{size_mb / MB_PER_GB:,.1f} GB" if size_mb >= MB_PER_GB else f"{size_mb:,.0f} MB"
