"""What a benchmark hands back, and the table made of it."""

import math
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

HEADINGS = ("figure", "ours", "beside it", "target", "")
STARTED_AT = time.monotonic()


@dataclass(frozen=True)
class Figure:
    """One measured number beside its comparison of the same run. One without a target is shown for judgement.

    `beside` says what the comparison is.
    """

    name: str
    value: float
    unit: str
    beside: str = ""
    beside_value: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    is_below: bool = False  # the target says "under", not "at most"

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.at_least is not None:
            return self.value >= self.at_least
        if self.at_most is not None:
            return self.value < self.at_most if self.is_below else self.value <= self.at_most
        return None

    def cells(self) -> tuple[str, ...]:
        """Its row of the table."""
        beside = (
            f"{number(self.beside_value)} {self.unit} ({self.beside})" if self.beside_value is not None else ""
        )
        verdict = {True: "met", False: "MISSED", None: ""}[self.is_met]
        return (self.name, f"{number(self.value)} {self.unit}", beside or self.beside, self._target(), verdict)

    def _target(self) -> str:
        if self.at_least is not None:
            return f">= {number(self.at_least)} {self.unit}"
        if self.at_most is not None:
            return f"{'<' if self.is_below else '<='} {number(self.at_most)} {self.unit}"
        return ""


@dataclass(frozen=True)
class Section:
    """One benchmark's figures. `samples` holds what the medians were made of; `notes` how to read them."""

    name: str
    title: str
    figures: list[Figure]
    notes: list[str] = field(default_factory=list)
    samples: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The section with each figure's verdict."""
        figures = [{**asdict(figure), "is_met": figure.is_met} for figure in self.figures]
        return {**asdict(self), "figures": figures}


def table(sections: Sequence[Section]) -> str:
    """All sections as aligned text."""
    rows = [figure.cells() for section in sections for figure in section.figures]
    widths = [max(map(len, column)) for column in zip(HEADINGS, *rows, strict=True)]
    lines = [_line(HEADINGS, widths)]
    for section in sections:
        lines += ["", f"{section.name}: {section.title}"]
        lines += [_line(figure.cells(), widths) for figure in section.figures]
        lines += [f"  note: {note}" for note in section.notes]
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def number(value: float) -> str:
    """Three significant digits, or all of a larger whole part."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def progress(text: str) -> None:
    """A line for whoever waits, on standard error."""
    print(f"[{time.monotonic() - STARTED_AT:4.0f} s] {text}", file=sys.stderr, flush=True)
