"""Bars over hours, as numbers that the template draws (templates/console/dashboard_parts.html)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

# Units of the drawing, which is stretched to the width of its panel.
HEIGHT = 100.0
STEP, BAR = 10.0, 8.0
STEPS = (1, 2, 5)


@dataclass(frozen=True)
class Part:
    """One series' share of a bar: where it begins from the top, and how high it is."""

    y: float
    height: float
    series: int


@dataclass(frozen=True)
class Bar:
    """One hour. `values` are those of the series, and of the columns that only the table has."""

    at: datetime
    x: float
    values: tuple[int, ...]
    parts: tuple[Part, ...]
    is_counted: bool
    said: str


@dataclass(frozen=True)
class Chart:
    """Stacked bars, one an hour. `top` is the value at the upper edge.

    The first of `columns` are drawn, as many as there are `series`; all stand in the table beside.
    """

    key: str
    title: str
    columns: tuple[str, ...]
    series: tuple[str, ...]
    bars: tuple[Bar, ...]
    totals: tuple[int, ...]
    top: int

    @property
    def width(self) -> float:
        """Of the drawing."""
        return len(self.bars) * STEP

    @property
    def description(self) -> str:
        """What the chart shows, for whoever cannot see it."""
        sums = ", ".join(f"{total:,} {name}" for name, total in zip(self.columns, self.totals, strict=True))
        highest = max(self.bars, key=_height, default=None)
        if highest is None or not _height(highest):
            return f"{len(self.bars)} hours: {sums}."
        return (
            f"{len(self.bars)} hours: {sums}. Most in the hour from {highest.at:%d %b %H:%M} UTC: {highest.said}."
        )


def draw(
    key: str,
    title: str,
    columns: Sequence[str],
    rows: Sequence[tuple[datetime, tuple[int, ...] | None]],
    *,
    drawn: int,
) -> Chart:
    """A chart of hours with their values, of which the first `drawn` are; None where they are not counted yet."""
    top = nice_top(max((sum(values[:drawn]) for _, values in rows if values), default=0))
    bars = tuple(
        _bar(at, index * STEP, values, columns, drawn=drawn, top=top) for index, (at, values) in enumerate(rows)
    )
    totals = tuple(sum(bar.values[place] for bar in bars) for place in range(len(columns)))
    return Chart(key, title, tuple(columns), tuple(columns[:drawn]), bars, totals, top)


def nice_top(highest: int) -> int:
    """The least of 1, 2, 5, 10, 20, 50 and so on that is not below."""
    power = 1
    while True:
        for step in STEPS:
            if step * power >= highest:
                return step * power
        power *= 10


def _bar(
    at: datetime, x: float, values: tuple[int, ...] | None, columns: Sequence[str], *, drawn: int, top: int
) -> Bar:
    if values is None:
        return Bar(at, x, (0,) * len(columns), (), is_counted=False, said="counting…")
    parts, level = [], 0
    for series, value in enumerate(values[:drawn]):
        level += value
        if value:
            height = round(value / top * HEIGHT, 2)
            parts.append(Part(round(HEIGHT - level / top * HEIGHT, 2), height, series))
    said = ", ".join(f"{value:,} {name}" for name, value in zip(columns, values, strict=True))
    return Bar(at, x, values, tuple(parts), is_counted=True, said=said)


def _height(bar: Bar) -> float:
    return sum(part.height for part in bar.parts)
