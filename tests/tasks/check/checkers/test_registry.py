from typing import Any

import pytest
from pydantic import ValidationError

from tasks.check.checkers import CHECKERS, DEFAULTS
from tasks.check.checkers.base import FallingConfig, ThresholdConfig

WITH_THRESHOLDS = [name for name in CHECKERS if issubclass(CHECKERS[name].Config, ThresholdConfig)]


def limits(warning: float, critical: float) -> dict[str, float]:
    return {"warning_threshold": warning, "critical_threshold": critical}


@pytest.mark.parametrize(
    ("name", "defaults"),
    [
        ("cpu", {"samples": 5, "sample_interval": 1.0, "per_cpu": False, **limits(70, 90)}),
        ("memory", {"include_swap": False, **limits(70, 90)}),
        ("disk", limits(80, 95)),
        ("network", {"hosts": ["8.8.8.8", "1.1.1.1"], "ping_count": 1, **limits(70, 50)}),
        ("process", {"processes": [], **limits(100, 50)}),
        ("disk_common", limits(5000, 20000)),
    ],
)
def test_defaults_are_those_of_the_seeds(name: str, defaults: dict[str, Any]) -> None:
    config = CHECKERS[name].Config().model_dump(by_alias=True)

    common = {"timeout": 10.0, "for": 1, "clear": 0.0}
    assert {key: config[key] for key in [*common, *defaults]} == {**common, **defaults}


def test_the_seeds_eight_checkers_are_all_there() -> None:
    eight = {"cpu", "memory", "disk", "network", "process", "disk_common", "disk_linux", "disk_macos"}

    assert CHECKERS.keys() >= eight


@pytest.mark.parametrize("name", CHECKERS)
def test_an_unknown_config_key_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValidationError, match="tresholds"):
        CHECKERS[name].Config.model_validate({"tresholds": 1})


@pytest.mark.parametrize("name", WITH_THRESHOLDS)
def test_thresholds_on_the_wrong_side_of_each_other_are_refused_with_both_names(name: str) -> None:
    config: Any = CHECKERS[name].Config
    is_falling = issubclass(config, FallingConfig)
    warning, critical, side = (40, 41, "below") if is_falling else (41, 40, "above")

    with pytest.raises(
        ValidationError, match=rf"warning_threshold {warning} must not be {side} critical_threshold"
    ):
        config.model_validate(limits(warning, critical))
    config.model_validate(limits(critical, warning))
    config.model_validate(limits(warning, warning))


# A number of days has no end that it could not reach.
@pytest.mark.parametrize("name", [name for name in WITH_THRESHOLDS if name != "certificate"])
def test_a_recovery_margin_that_could_never_be_reached_is_refused_by_name(name: str) -> None:
    config: Any = CHECKERS[name].Config
    too_much = 61 if issubclass(config, FallingConfig) else 40

    with pytest.raises(ValidationError, match=rf"clear {too_much} "):
        config.model_validate(limits(40, 40) | {"clear": too_much})
    config.model_validate(limits(40, 40) | {"clear": too_much - 1})


def test_the_registry_names_each_checker_by_its_kind() -> None:
    assert {name: checker.kind for name, checker in CHECKERS.items()} == {name: name for name in CHECKERS}


def test_each_checker_says_what_it_measures_in_words_of_its_own() -> None:
    said = [checker.measures for checker in CHECKERS.values()]

    assert len(set(said)) == len(said)
    assert all(words and not words.endswith(".") for words in said)


def test_the_default_checkers_need_no_config_and_stand_in_the_registrys_order() -> None:
    assert list(DEFAULTS) == [name for name in CHECKERS if name in DEFAULTS]
    assert list(CHECKERS)[: len(DEFAULTS)] == list(DEFAULTS)
