import pytest
from pydantic import ValidationError

from storage.vocabulary import CheckStatus
from tasks.check.checkers.base import FallingConfig, RisingConfig, ThresholdConfig, conclude, state
from tasks.check.checkers.memory import Memory


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (0, "ok"),
        (69.9, "ok"),
        (70, "warning"),
        (89.99, "warning"),
        (90, "critical"),
        (100, "critical"),
    ],
)
def test_a_rising_value_has_crossed_a_threshold_when_it_reaches_it(value: float, status: str) -> None:
    assert RisingConfig(warning_threshold=70, critical_threshold=90).judge(value) == status


def test_equal_thresholds_leave_no_room_for_a_warning() -> None:
    config = RisingConfig(warning_threshold=90, critical_threshold=90)

    assert config.judge(89.9) is CheckStatus.OK
    assert config.judge(90) is CheckStatus.CRITICAL


@pytest.mark.parametrize("key", ["timeout", "warning_threshold", "critical_threshold"])
@pytest.mark.parametrize("value", ["nan", "inf", "much"])
def test_a_limit_that_is_no_number_is_refused(key: str, value: str) -> None:
    with pytest.raises(ValidationError, match=key):
        Memory.Config.model_validate({key: value})


def test_a_crossed_threshold_stands_in_the_message() -> None:
    result = Memory(Memory.Config(warning_threshold=0, critical_threshold=101)).measure()

    assert result.status is CheckStatus.WARNING
    assert result.message.endswith("% used (warning at 0 %)")


@pytest.mark.parametrize("config_type", [RisingConfig, FallingConfig])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_value_that_is_no_number_is_not_judged_and_named(config_type: type[ThresholdConfig], value: str) -> None:
    config = config_type(warning_threshold=5, critical_threshold=5)

    with pytest.raises(ValueError, match=f"^/data: {value} is not a value that can be judged$"):
        config.read(float(value), "0 % used", target="/data")
    with pytest.raises(ValueError, match=f"^all of it is used: {value} is not"):
        config.read(float(value), "all of it is used")


@pytest.mark.parametrize("is_worst_last", [False, True])
def test_of_several_readings_of_one_target_the_worst_counts(is_worst_last: bool) -> None:
    twice = [
        state(CheckStatus.CRITICAL, "full", target="/data"),
        state(CheckStatus.UNKNOWN, "no answer", target="/data"),
    ]
    other = state(CheckStatus.WARNING, "nearly full", target="/")

    result = conclude("disk", [*(reversed(twice) if is_worst_last else twice), other], metrics={})

    assert [(reading.target, reading.message) for reading in result.readings] == [
        ("/data", "full"),
        ("/", "nearly full"),
    ]
    assert result.message == "full; nearly full"
    assert result.error is None


def test_of_two_as_bad_readings_of_one_target_the_one_held_to_be_worse_counts() -> None:
    config = RisingConfig(warning_threshold=70, critical_threshold=90, clear=5)
    readings = [config.read(value, f"{value} % used", target="/data") for value in (10, 66, 20)]

    result = conclude("disk", readings, metrics={})

    assert [(reading.message, reading.held) for reading in result.readings] == [("66 % used", CheckStatus.WARNING)]
