"""`python -m tests.bench [accept storm ingest check analyze notify …]`: measure and write tables.

Each figure stands beside its comparison of the same run. Ends with 1 when a target is missed.
"""

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

BENCH = Path(__file__).parent
# tests is no package (design.md, section 1): pytest finds sinks.py and stack.py through `pythonpath`, and the
# benchmarks through these two lines.
sys.path[:0] = [str(BENCH), str(BENCH.parent)]

import accept  # noqa: E402  (after the path)
import analyze  # noqa: E402
import check  # noqa: E402
import console  # noqa: E402
import ingest  # noqa: E402
import latency  # noqa: E402
import notify  # noqa: E402
import overhead  # noqa: E402
import retention  # noqa: E402
import server_settings  # noqa: E402
import storm  # noqa: E402
from machine import Machine  # noqa: E402
from report import Section, progress, table  # noqa: E402

RESULTS = BENCH.parents[1] / "bench-results"
# The first ones start servers of their own; the others share what the machine keeps running.
BENCHMARKS: dict[str, Callable[[Machine], Section]] = {
    "accept": lambda _machine: accept.measure(),
    "storm": lambda _machine: storm.measure(),
    "ingest": lambda _machine: ingest.measure(),
    "check": lambda _machine: check.measure(),
    "analyze": lambda _machine: analyze.measure(),
    "notify": lambda _machine: notify.measure(),
    "retention": lambda _machine: retention.measure(),
    "console": lambda _machine: console.measure(),
    "latency": latency.measure,
    "overhead": overhead.measure,
    "server-settings": server_settings.measure,
}


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all of them."""
    if unknown := set(names) - BENCHMARKS.keys():
        print(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    began_at = time.monotonic()
    with Machine() as machine:
        chosen = [measure for name, measure in BENCHMARKS.items() if not names or name in names]
        sections = [measure(machine) for measure in chosen]
    conditions = _conditions(time.monotonic() - began_at)
    text = "\n".join([*(f"{key}: {value}" for key, value in conditions.items()), "", table(sections), ""])
    _write(conditions, sections, text)
    print(text)
    progress(f"written to {RESULTS}")
    return int(any(figure.is_met is False for section in sections for figure in section.figures))


def _conditions(seconds: float) -> dict[str, str]:
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return {
        "measured at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "took": f"{seconds:.0f} s",
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}; load at the end {load}",
        "versions": f"Python {platform.python_version()}, Prefect {version('prefect')}",
    }


def _write(conditions: dict[str, str], sections: list[Section], text: str) -> None:
    RESULTS.mkdir(exist_ok=True)
    result = {"conditions": conditions, "sections": [section.as_json() for section in sections]}
    (RESULTS / "results.json").write_text(json.dumps(result, indent=2) + "\n")
    (RESULTS / "results.txt").write_text(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
