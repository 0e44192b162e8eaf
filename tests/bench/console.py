"""How long a person waits for the console's pages, with few rows and with a million alerts."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
from console_pages import pages, pairs
from filled import Size, fill
from receivers import receiver_over
from report import Figure, Section, percentile, progress
from stack import LiveStack

FEW = Size(alerts=1_000, runs=200)
MANY = Size(alerts=1_000_000, runs=200_000)
# Each page is asked for so often by one reader, a kind of few pages so often in all; then by several at once.
TIMES = 3
ENOUGH = 30
READERS = 4
MOST_MS = 300
MOST_GROWTH = 5
# Below this nobody notices how much slower it grew.
NOTICED_MS = 50
SECONDS_MAX = 60


@dataclass(frozen=True)
class Asked:
    """How long the answers of a kind of page took, in milliseconds, and which path took longest."""

    alone: list[float]
    together: list[float]
    slowest: str


def measure() -> Section:
    """The receiver as users run it, over both databases, small and large."""
    figures: list[Figure] = []
    samples: dict[str, dict[str, float | str]] = {}
    for kind in ("PostgreSQL", "SQLite"):
        few, many = _measure(kind, FEW), _measure(kind, MANY)
        for name, asked in many.items():
            figures += _figures(f"{kind}, {name}", few[name], asked)
            samples[f"{kind}, {name}"] = {"slowest": asked.slowest, "slowest_ms": round(max(asked.alone), 1)}
    notes = [
        f"{MANY.alerts:,} alerts and {MANY.runs:,} runs, beside {FEW.alerts:,} and {FEW.runs:,} in the same run",
        "a list: its first page, its oldest rows, each order, each filter and four searches",
        f"each page {TIMES} times by one reader, then once by {READERS} at a time; two filters at once: once",
        f"growth counts where a page takes {NOTICED_MS} ms or more",
    ]
    return Section("console", "GET of a page of the console to its last byte", figures, notes, samples)


def _measure(kind: str, size: Size) -> dict[str, Asked]:
    with receiver_over(kind) as stack:
        progress(f"console: filling {kind} with {sum(size.rows().values()):,} rows")
        fill(stack.database, size)
        with stack.database.read() as session:
            asked, paired = pages(session), pairs(session)
        _warm(stack)
        progress(f"console: asking for {sum(map(len, (asked | paired).values())):,} pages")
        found = {
            name: _ask(stack, paths, times=max(TIMES, ENOUGH // len(paths)), readers=READERS)
            for name, paths in asked.items()
        }
        every = [path for paths in paired.values() for path in paths]
        return found | {"two filters, all lists": _ask(stack, every, times=1, readers=0)}


def _warm(stack: LiveStack) -> None:
    """Until the hours that are over have been counted, which a receiver does once."""
    with httpx.Client(base_url=str(stack.web.base_url), timeout=SECONDS_MAX, trust_env=False) as web:
        ends_at = time.monotonic() + SECONDS_MAX
        while "Counting" in web.get("/admin/").text and time.monotonic() < ends_at:
            time.sleep(0.5)


def _ask(stack: LiveStack, paths: list[str], *, times: int, readers: int) -> Asked:
    with httpx.Client(base_url=str(stack.web.base_url), timeout=SECONDS_MAX, trust_env=False) as web:
        _milliseconds(web, paths[0])  # its templates are read
        alone = {path: [_milliseconds(web, path) for _ in range(times)] for path in paths}
        together: list[float] = []
        if readers:
            with ThreadPoolExecutor(readers) as pool:
                together = list(
                    pool.map(lambda path: _milliseconds(web, path), paths * max(1, readers // len(paths)))
                )
    slowest = max(alone, key=lambda path: max(alone[path]))
    return Asked([each for several in alone.values() for each in several], together, slowest)


def _milliseconds(web: httpx.Client, path: str) -> float:
    """How long the answer took, in milliseconds."""
    began_at = time.perf_counter()
    answer = web.get(path)
    if answer.status_code != httpx.codes.OK:
        raise AssertionError(f"{path} answered {answer.status_code}")
    return (time.perf_counter() - began_at) * 1000


def _figures(name: str, few: Asked, many: Asked) -> list[Figure]:
    p95, before = percentile(many.alone, 95), percentile(few.alone, 95)
    growth = max(p95, NOTICED_MS) / max(before, NOTICED_MS)
    figures = [
        Figure(f"{name}, p95", p95, "ms", f"with {FEW.alerts:,} alerts", before, at_most=MOST_MS, is_below=True),
        Figure(f"{name}, growth", growth, "times", at_most=MOST_GROWTH),
    ]
    if many.together:
        figures.append(Figure(f"{name}, p95 of {READERS} at once", percentile(many.together, 95), "ms"))
    return figures
