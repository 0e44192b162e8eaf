"""What check-health and run-check make of results: exit codes, JSON, and tables for people."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from deployments.commands.check_output import plain, print_table
from storage.records import CheckResult
from storage.vocabulary import CheckStatus

COLOURS = {
    CheckStatus.OK: "green",
    CheckStatus.WARNING: "yellow",
    CheckStatus.CRITICAL: "bold red",
    CheckStatus.UNKNOWN: "magenta",
    CheckStatus.SKIPPED: "dim",
}
# The monitoring plugins' convention. Wrong use is 3 as well: see cli.py.
CODES = {CheckStatus.WARNING: 1, CheckStatus.CRITICAL: 2, CheckStatus.UNKNOWN: 3}


def worst(results: Sequence[CheckResult]) -> CheckStatus:
    """The status of them all."""
    return max((result.status for result in results), key=lambda status: status.rank)


def exit_code(results: Sequence[CheckResult], *, fail_on_warning: bool, fail_on_critical: bool) -> int:
    """0 whatever was found, unless a flag asks for more; the stricter flag wins."""
    if not fail_on_warning and not fail_on_critical:
        return 0
    passing = {CheckStatus.OK} if fail_on_warning else {CheckStatus.OK, CheckStatus.WARNING}
    failing = {result.status for result in results} - passing
    return CODES.get(max(failing, key=lambda status: status.rank, default=CheckStatus.OK), 0)


def as_json(results: Sequence[CheckResult], *, hostname: str) -> dict[str, Any]:
    """All results with their counts, which are those of the check stage's output."""
    counts = Counter(result.status for result in results)
    passed, skipped = counts[CheckStatus.OK], counts[CheckStatus.SKIPPED]
    return {
        "hostname": hostname,
        "status": worst(results),
        "checked_at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "checks": [result.model_dump(mode="json") for result in results],
        "checks_run": len(results),
        "checks_passed": passed,
        "checks_failed": len(results) - passed - skipped,
        "checks_skipped": skipped,
    }


def print_results(results: Sequence[CheckResult]) -> None:
    """A row for each result in their order, and a line for them all."""
    rows = [
        (
            result.checker_name,
            plain(result.status, COLOURS[result.status]),
            f"{result.duration_ms:,.0f} ms",
            plain(result.message),
        )
        for result in results
    ]
    status = worst(results)
    after = plain(f"{status.upper()}: {_counted(results)}", COLOURS[status])
    print_table(("checker", "status", "time", "message"), rows, after=after)


def print_result(result: CheckResult) -> None:
    """One result with its metrics."""
    said = f"{result.checker_name.upper()} {result.status.upper()}: {result.message}"
    rows = [(plain(key), plain(value)) for key, value in _rows(result.metrics)]
    print_table((), rows, before=plain(said, COLOURS[result.status]), after=plain(_conditions(result)))


def _counted(results: Sequence[CheckResult]) -> str:
    counts = Counter(result.status for result in results)
    worst_first = sorted(counts, key=lambda status: -status.rank)
    remark = "; nothing could be checked" if worst_first == [CheckStatus.SKIPPED] else ""
    return ", ".join(f"{counts[status]} {status}" for status in worst_first) + remark


def _conditions(result: CheckResult) -> str:
    said = f"took {result.duration_ms:,.0f} ms"
    if result.warning_threshold is None or result.critical_threshold is None:
        return said
    return f"{said}; warning {result.warning_threshold:g}, critical {result.critical_threshold:g}"


def _rows(metrics: Mapping[str, Any], indent: str = "") -> Iterator[tuple[str, str]]:
    """Key and value of each metric; what is nested stands indented below its key, a line for each entry."""
    for key, value in metrics.items():
        entries = dict(enumerate(value, start=1)) if _is_table(value) else value
        if isinstance(entries, dict) and entries and not indent:
            yield key, ""
            yield from _rows({str(name): entry for name, entry in entries.items()}, indent="  ")
        else:
            yield f"{indent}{key}", _said(value)


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(entry, dict) for entry in value)


def _said(value: Any) -> str:
    if value in (None, "", [], {}):
        return "none"
    match value:
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(f"{key} {_said(entry)}" for key, entry in value.items())
        case list():
            return ", ".join(_said(entry) for entry in value)
    return str(value)
