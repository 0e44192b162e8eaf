"""Any Config's keys as flags."""

import inspect
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from cyclopts import App, CycloptsError
from pydantic import BaseModel, Field, FiniteFloat, StringConstraints

from deployments.commands.check_flags import flags_of
from tasks.check.checkers.base import CheckerConfig


class Colour(StrEnum):
    RED = "red"
    DARK_BLUE = "dark_blue"


class Thing(BaseModel):
    name: str


class Config(CheckerConfig):
    is_strict: bool = False
    wants_more: bool | None = None
    count: int = 3
    ratio: FiniteFloat = 0.5
    limit: FiniteFloat | None = Field(default=None, gt=0)
    either: int | float = 1
    port: int | str = "https"
    label: Annotated[str, StringConstraints(min_length=1)] = Field(default="a", description="What it is called.")
    colour: Colour = Colour.RED
    minutes: Literal[1, 5, 15] = 5
    paths: list[Annotated[str, StringConstraints(pattern="^/")]] = Field(default=["/", "/var"])
    ports: tuple[int, ...] = ()
    statuses: Annotated[list[int], Field(min_length=1)] | None = None
    things: list[Thing | str] = Field(default=[])
    models: Sequence[Thing] | None = None
    needed: str
    headers: dict[str, str] = Field(default={})
    thing: Thing | None = None
    groups: list[list[str]] = Field(default=[])


def given(*words: str) -> dict[str, Any]:
    def command(**arguments: Any) -> None:
        """Take them."""

    command.__signature__ = inspect.Signature(list(flags_of(Config)))  # type: ignore[attr-defined]
    app = App(default_command=command)
    _, bound, _ = app.parse_args(list(words), exit_on_error=False, print_error=False)
    return bound.arguments


@pytest.mark.parametrize(
    ("words", "read"),
    [
        ("", {}),
        ("--is-strict", {"is_strict": True}),
        ("--no-is-strict", {"is_strict": False}),
        ("--wants-more", {"wants_more": True}),
        ("--count 7", {"count": 7}),
        ("--ratio -1.5", {"ratio": -1.5}),
        ("--limit 2", {"limit": 2.0}),
        ("--either 1.5", {"either": 1.5}),
        ("--port 80", {"port": "80"}),
        ("--label x=y", {"label": "x=y"}),
        ("--colour dark_blue", {"colour": "dark_blue"}),
        ("--minutes 15", {"minutes": 15}),
        ("--paths / /tmp", {"paths": ["/", "/tmp"]}),
        ("--paths / --paths /tmp", {"paths": ["/", "/tmp"]}),
        ("--ports 1 2", {"ports": [1, 2]}),
        ("--statuses 200 204 --count 1", {"statuses": [200, 204], "count": 1}),
        ('--things nginx {"name":"x"}', {"things": ["nginx", '{"name":"x"}']}),
        ('--things ["nginx"]', {"things": ['["nginx"]']}),
        ("--models nginx", {"models": ["nginx"]}),
        ("--needed x", {"needed": "x"}),
        ("--timeout 3", {"timeout": 3.0}),
    ],
)
def test_flag_is_read_as_the_keys_nearest_type(words: str, read: dict[str, Any]) -> None:
    assert given(*words.split()) == read


@pytest.mark.parametrize(
    "words",
    ["--headers x", "--thing x", "--groups x", "--for 3", "--confirmations 3", "--minutes 7", "--empty-paths"],
)
def test_what_takes_json_or_speaks_of_a_series_has_no_flag(words: str) -> None:
    with pytest.raises(CycloptsError):
        given(*words.split())


def test_defaults_and_descriptions_are_shown_as_one_would_type_them() -> None:
    shown = {flag.name: flag.annotation.__metadata__[0] for flag in flags_of(Config)}

    assert {name: shown[name].show_default for name in ("paths", "is_strict", "ratio", "minutes", "colour")} == {
        "paths": "/ /var",
        "is_strict": "no",
        "ratio": "0.5",
        "minutes": "5",
        "colour": "red",
    }
    assert not any(shown[name].show_default for name in ("limit", "needed", "things"))
    assert shown["label"].help == "What it is called."
    assert shown["timeout"].help == "Seconds until it counts as hung."
