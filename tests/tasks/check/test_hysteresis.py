from collections.abc import Sequence

import pytest

from storage.records import Reading
from storage.vocabulary import CheckStatus
from tasks.check.checkers.base import FallingConfig, RisingConfig, ThresholdConfig
from tasks.check.hysteresis import Belief, settle

LETTERS = {
    "o": CheckStatus.OK,
    "w": CheckStatus.WARNING,
    "c": CheckStatus.CRITICAL,
    "u": CheckStatus.UNKNOWN,
}


def of_letters(series: str) -> list[Reading]:
    return [Reading(status=LETTERS[letter], held=LETTERS[letter], message="") for letter in series]


def of_values(values: Sequence[float], config: ThresholdConfig) -> list[Reading]:
    return [config.read(value, "") for value in values]


def believed_after_each(readings: Sequence[Reading], confirmations: int) -> str:
    """What is believed after each reading, as letters."""
    names = {status: letter for letter, status in LETTERS.items()}
    belief, letters = Belief(), ""
    for reading in readings:
        belief = settle(belief, reading, confirmations=confirmations)
        letters += names[belief.status]
    return letters


@pytest.mark.parametrize(
    ("confirmations", "results", "believed"),
    [
        (1, "owoco", "owoco"),
        (2, "owowo", "ooooo"),
        (2, "owwo", "oowo"),
        (3, "wwwoww", "oowooo"),
        (3, "cccoo", "ooco" + "o"),
        # One critical among warnings is no reason to page anybody.
        (3, "wwcww", "oowww"),
        (3, "wwwcccw", "oowwwcw"),
        # Two critical ones and a warning are three bad ones.
        (3, "ccw", "oow"),
        # What is critical and becomes milder is a warning at once.
        (3, "cccwo", "oocwo"),
        # Not knowing neither adds to what is bad nor ends it.
        (2, "wuw", "oow"),
        (2, "wwuu", "owww"),
        (1, "cuuuo", "cccco"),
        # Three times unmeasured is news, and the first measurement ends it.
        (1, "uuuuo", "oouuo"),
        (1, "uuouu", "ooooo"),
        (5, "uuuuuu", "oooouu"),
        (1, "uuuc", "oouc"),
        (2, "uuuwo", "oouuo"),
    ],
)
def test_what_is_believed_after_each_result(confirmations: int, results: str, believed: str) -> None:
    assert believed_after_each(of_letters(results), confirmations) == believed


# The use of a processor over an hour of checks, five minutes apart, from a host that runs a backup.
CPU_PERCENT = [12, 71, 14, 69, 72, 74, 91, 73, 68, 66, 70, 64, 12]


@pytest.mark.parametrize(
    ("confirmations", "clear", "believed"),
    [
        (1, 0, "owoowwcwoowoo"),
        (2, 0, "ooooowwwooooo"),
        (2, 5, "ooooowwwwwwoo"),
        (3, 5, "oooooowwwwwoo"),
    ],
)
def test_a_recorded_series_wakes_nobody_for_a_flicker(confirmations: int, clear: float, believed: str) -> None:
    config = RisingConfig(warning_threshold=70, critical_threshold=90, clear=clear)

    assert believed_after_each(of_values(CPU_PERCENT, config), confirmations) == believed


def test_the_margin_of_a_critical_value_keeps_it_critical() -> None:
    config = RisingConfig(warning_threshold=70, critical_threshold=90, clear=5)

    assert believed_after_each(of_values([91, 88, 85, 84.9, 66, 65, 64.9], config), 1) == "cccwwwo"


def test_the_margin_makes_nothing_bad_that_was_good() -> None:
    config = RisingConfig(warning_threshold=70, critical_threshold=90, clear=5)

    assert believed_after_each(of_values([66, 69, 88], config), 1) == "oow"


def test_the_margin_of_a_falling_value_lies_above_its_threshold() -> None:
    config = FallingConfig(warning_threshold=70, critical_threshold=50, clear=10)

    assert believed_after_each(of_values([100, 69, 75, 79.9, 80, 49, 55, 60, 80], config), 1) == "owwwoccwo"


@pytest.mark.parametrize("status", [CheckStatus.WARNING, CheckStatus.CRITICAL])
def test_more_confirmations_take_nothing_back_of_what_is_believed(status: CheckStatus) -> None:
    reading = Reading(status=status, held=status, message="")
    belief = settle(Belief(), reading, confirmations=1)

    told = [belief := settle(belief, reading, confirmations=5) for _ in range(5)]

    assert {each.status for each in told} == {status}


def test_more_confirmations_do_not_keep_what_becomes_milder_critical() -> None:
    critical, warning = of_letters("cw")
    belief = settle(Belief(), critical, confirmations=1)

    assert settle(belief, warning, confirmations=5).status is CheckStatus.WARNING
