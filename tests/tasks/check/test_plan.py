from typing import Any

import pytest
from pydantic import ValidationError

from tasks.check.checkers import DEFAULTS
from tasks.check.stage import ContextConfig, plan
from tasks.errors import PermanentError


def thresholds(config: ContextConfig, installed: dict[str, dict[str, Any]] | None = None) -> dict[str, Any]:
    checkers, configs = plan(config, installed or {})
    # What the child builds from these configs must be the same.
    assert {checker.kind: checker.config for checker in checkers} == {
        checker.kind: type(checker).Config.model_validate(configs.get(checker.kind, {})) for checker in checkers
    }
    return {checker.kind: checker.config.thresholds for checker in checkers}


def test_no_names_are_the_default_checkers_and_those_that_are_configured() -> None:
    checkers, _ = plan(ContextConfig(checkers={"http": {}}), {"process": {}})

    assert {checker.kind for checker in checkers} == {*DEFAULTS, "http", "process"}


def test_named_checkers_are_run_alone_whatever_is_configured() -> None:
    checkers, _ = plan(ContextConfig(checker_names=["memory"]), {"process": {}})

    assert [checker.kind for checker in checkers] == ["memory"]


def test_a_nodes_keys_come_before_the_installations_and_leave_the_others() -> None:
    installed = {"memory": {"warning_threshold": 10, "critical_threshold": 20}}
    config = ContextConfig(checker_names=["memory"], checkers={"memory": {"critical_threshold": 30}})

    assert thresholds(config, installed) == {"memory": (10, 30)}


def test_thresholds_of_a_run_are_those_of_every_chosen_checker_that_measures_per_cent() -> None:
    config = ContextConfig(checker_names=["memory", "disk", "load"], warning_threshold=50, critical_threshold=60)

    found = thresholds(config)

    assert found["memory"] == found["disk"] == (50, 60)
    assert found["load"] != (50, 60)


def test_one_threshold_of_a_run_leaves_the_other_as_it_was() -> None:
    assert thresholds(ContextConfig(checker_names=["disk"], warning_threshold=50)) == {"disk": (50, 95)}


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (
            {"checker_names": ["disk"], "warning_threshold": 96},
            "checker disk: warning_threshold 96 must not be above",
        ),
        ({"checker_names": ["load"], "warning_threshold": 5}, "warning_threshold: none of the chosen checkers"),
        (
            {"checker_names": ["network"], "warning_threshold": 50, "critical_threshold": 60},
            "checker network: warning_threshold 50 must not be below critical_threshold 60",
        ),
        ({"checker_names": ["dsik"]}, "unknown checker 'dsik'"),
        ({"checkers": {"dsik": {}}}, "unknown checker 'dsik'"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(config: dict[str, Any], says: str) -> None:
    with pytest.raises(PermanentError, match=says):
        plan(ContextConfig.model_validate(config), {})


def test_an_installations_wrong_config_is_refused_by_name() -> None:
    with pytest.raises(PermanentError, match="checker cpu: unknown config key 'sampels'"):
        plan(ContextConfig(), {"cpu": {"sampels": 1}})


@pytest.mark.parametrize(
    "config", [{"hostname": ""}, {"hostname": "x" * 256}, {"label": {}}, {"warning_threshold": "nan"}]
)
def test_a_nodes_wrong_key_is_refused_by_name(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(config))):
        ContextConfig.model_validate(config)
