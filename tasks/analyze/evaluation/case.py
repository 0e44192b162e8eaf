"""The recorded incidents, one JSON file for each topic in `cases/`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from storage.records import Record
from storage.vocabulary import RecommendationType
from tasks.analyze.request import AnalysisRequest

TOPICS = ("memory", "disk", "cpu", "process", "network", "application")

CASES = Path(__file__).parent / "cases"


class Expectation(Record):
    """What a good answer does.

    `type` is that of its first recommendation. `cause` holds groups of words: of each group it names one at least.
    `may_name` are hosts, addresses, paths and units that it may name although the request does not.
    """

    type: RecommendationType
    cause: list[list[str]]
    may_name: list[str]


class Case(Record):
    """One incident, what `about` it makes it worth asking, and what is expected of an answer."""

    id: str
    topic: str
    about: str
    expects: Expectation
    request: AnalysisRequest


def load_cases() -> list[Case]:
    """All of them, by topic."""
    return [Case.model_validate({**each, "topic": topic}) for topic in TOPICS for each in _recorded(topic)]


def _recorded(topic: str) -> Iterator[dict[str, Any]]:
    yield from json.loads((CASES / f"{topic}.json").read_text("utf-8"))
