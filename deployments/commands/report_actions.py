"""What `watchkeeper report` does."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from deployments.commands.rows_output import plain_lines, print_strict_json, say
from deployments.installed import installed_database
from storage.figures import figures, present
from storage.inbox import count_waiting
from storage.redaction import redact
from storage.settings import load
from storage.tables.base import utc_now
from tasks.notify.text import humanize_duration

PERIODS = {"last_24_hours": timedelta(hours=24), "last_7_days": timedelta(days=7)}
CHANNELS_SHOWN = 20


def report(*, as_json: bool) -> None:
    """Print the last day and week in figures."""
    now = utc_now()
    with installed_database(load()) as database, database.read() as session:
        waiting = sum(count_waiting(session).values())
        fields = {
            "at": now,
            "now": {"deliveries_waiting": waiting, **present(session)},
            **{name: redact(figures(session, since=now - length)) for name, length in PERIODS.items()},
        }
    if as_json:
        print_strict_json(fields)
    else:
        say(*(str(plain_lines(line)) for line in _lines(fields)))


def _lines(fields: Mapping[str, Any]) -> Iterator[str]:
    yield f"now: {_words(fields['now'])}"
    for name in PERIODS:
        yield ""
        yield name.replace("_", " ")
        for heading, said in _sections(fields[name]):
            yield f"  {heading:14} {said}".rstrip()


def _sections(period: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    deliveries, incidents = period["deliveries"], period["incidents"]
    yield "deliveries", _counted(deliveries["total"], deliveries["by_status"])
    if deliveries["by_source"]:
        yield "  by source", _words({name or "unknown": n for name, n in deliveries["by_source"].items()})
    yield "alerts", _words(period["alerts"])
    yield "incidents", f"{_counted(incidents['opened'], incidents['opened_by_severity'])} opened"
    yield "", f"{_counted(incidents['resolved'], incidents['resolved_by_severity'])} resolved{_median(incidents)}"
    yield from _run_sections(period)
    checks, analyses, messages = period["checks"], period["analyses"], period["notifications"]
    yield "checks", _counted(checks["total"], checks["by_verdict"])
    if checks["top_failing"]:
        yield "  failing", _words(_named(checks["top_failing"], "checker"))
    yield "analyses", _counted(analyses["total"], _named(analyses["by_provider"], "provider"))
    if analyses["total"]:
        tokens = _words({each["provider"]: each["total_tokens"] for each in analyses["by_provider"]})
        yield "", f"{analyses['fallbacks']} by local rules in an AI's place; tokens: {tokens}"
    yield "notifications", _counted(messages["total"], messages["by_status"])
    for each in messages["by_channel"][:CHANNELS_SHOWN]:
        yield f"  {each['channel']}", _words(each["by_status"])


def _run_sections(period: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    runs = period["runs"]
    yield "runs", _counted(runs["total"], runs["by_status"])
    if runs["total"]:
        rate = "none is over" if runs["success_percent"] is None else f"{runs['success_percent']:g} % went well"
        yield "", f"{rate}, {runs['retried']} retried, {runs['in_flight']} in flight"
        yield "  by pipeline", _words(_named(runs["by_pipeline"], "pipeline"))
    for stage in period["stages"]:
        failed = f", {stage['failed']} failed" if stage["failed"] else ""
        times = f"mean {stage['mean_ms']:.0f} ms, longest {stage['max_ms']:.0f} ms"
        yield f"  {stage['stage']}", f"{times}, {stage['attempts']} attempts{failed}"
    for error in period["errors"]:
        yield "  error", f"{error['error_type']} in {error['stage']}: {error['count']}"


def _counted(total: int, parts: Mapping[str, int]) -> str:
    return f"{total} ({_words(parts)})" if parts else str(total)


def _named(rows: Sequence[Mapping[str, Any]], key: str) -> dict[str, int]:
    return {row[key]: row["count"] for row in rows}


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items())


def _median(incidents: Mapping[str, Any]) -> str:
    seconds = incidents["median_seconds_to_resolve"]
    return "" if seconds is None else f", half of them within {humanize_duration(timedelta(seconds=seconds))}"
