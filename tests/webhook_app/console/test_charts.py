"""Bars over hours."""

from datetime import UTC, datetime, timedelta

import pytest

from webhook_app.console.dashboard.charts import draw, nice_top

BEGIN = datetime(2026, 11, 22, 3, tzinfo=UTC)
COLUMNS = ["new", "fired again", "resolved"]


@pytest.mark.parametrize(
    ("highest", "top"), [(0, 1), (1, 1), (3, 5), (5, 5), (6, 10), (11, 20), (70_000, 100_000)]
)
def test_the_upper_edge_is_a_round_number_that_holds_all_bars(highest: int, top: int) -> None:
    assert nice_top(highest) == top


def test_series_stand_on_one_another_and_the_rest_is_in_the_table_alone() -> None:
    chart = draw("alerts", "Alerts", COLUMNS, [(BEGIN, (2, 3, 9))], drawn=2)

    (bar,) = chart.bars
    assert [(part.y, part.height) for part in bar.parts] == [(60.0, 40.0), (0.0, 60.0)]
    assert bar.values == chart.totals == (2, 3, 9)
    assert bar.said == "2 new, 3 fired again, 9 resolved"


def test_an_hour_that_is_not_counted_yet_has_no_bar_and_says_so() -> None:
    chart = draw("alerts", "Alerts", COLUMNS, [(BEGIN, None), (BEGIN + timedelta(hours=1), (1, 0, 0))], drawn=2)

    assert (chart.bars[0].parts, chart.bars[0].is_counted, chart.bars[0].said) == ((), False, "counting…")
    assert chart.totals == (1, 0, 0)


def test_the_description_says_what_the_bars_show() -> None:
    chart = draw("alerts", "Alerts", COLUMNS, [(BEGIN, (2, 3, 9)), (BEGIN, (0, 0, 0))], drawn=2)

    assert chart.description == (
        "2 hours: 2 new, 3 fired again, 9 resolved."
        " Most in the hour from 22 Nov 03:00 UTC: 2 new, 3 fired again, 9 resolved."
    )
