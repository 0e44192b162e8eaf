"""How good one answer is, by four questions that have a yes or a no."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from storage.records import Analysis
from storage.redaction import redact_text
from tasks.analyze.evaluation.case import Case
from tasks.analyze.evaluation.invention import Told, invented
from tasks.analyze.reply import (
    MAX_ACTION_CHARS,
    MAX_ACTIONS,
    MAX_RECOMMENDATIONS,
    MAX_TEXT_CHARS,
    MAX_TITLE_CHARS,
)

CHECKS = "checker"  # the source of alerts of our own checks
MAX_ERROR_CHARS = 300
# What reply.py adds where it left recommendations out.
CUT_CHARS = 40
# So much of an alert's text in one piece is a quotation.
QUOTED_CHARS = 40


@dataclass(frozen=True)
class Verdict:
    """What one answer achieved; where there was none, nothing. `notes` say what is amiss."""

    type_is_right: bool
    cause_is_named: bool
    nothing_is_invented: bool
    format_is_held: bool
    has_answer: bool = True
    notes: tuple[str, ...] = ()


def score(case: Case, answer: Analysis | Exception) -> Verdict:
    """Judge an answer, or the error that came in its place.

    The cause is looked for in the summary, the cause, and the recommendations' titles and descriptions. Actions
    do not count there: a list of commands that looks at everything names everything. Nor does what the alert's
    sender wrote, repeated at length: who quotes it has found out nothing.
    """
    if isinstance(answer, Exception):
        return Verdict(
            type_is_right=False,
            cause_is_named=False,
            nothing_is_invented=False,
            format_is_held=False,
            has_answer=False,
            notes=(f"no answer: {_said(answer)}",),
        )
    first = answer.recommendations[0].type if answer.recommendations else None
    type_is_right = first is case.expects.type
    claims = _without_quotations(_texts(answer), case)
    missing = [group[0] for group in case.expects.cause if not _is_any_named(group, claims)]
    inventions = invented(_all_text(answer), _told(case))
    faults = list(_format_faults(answer))
    return Verdict(
        type_is_right=type_is_right,
        cause_is_named=not missing,
        nothing_is_invented=not inventions,
        format_is_held=not faults,
        notes=(
            *([] if type_is_right else [f"{first or 'no recommendation'}, not {case.expects.type}"]),
            *([f"does not name: {', '.join(missing)}"] if missing else []),
            *(f"invents {name}" for name in inventions),
            *faults,
        ),
    )


def _is_any_named(words: list[str], text: str) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) for word in words)


def _without_quotations(text: str, case: Case) -> str:
    pieces = {
        said[start : start + QUOTED_CHARS] for said in _sent(case) for start in range(len(said) - QUOTED_CHARS + 1)
    }
    text = " ".join(text.split())
    starts = [start for start in range(len(text)) if text[start : start + QUOTED_CHARS] in pieces]
    quoted = {place for start in starts for place in range(start, start + QUOTED_CHARS)}
    return "".join("|" if place in quoted else character for place, character in enumerate(text))


def _sent(case: Case) -> Iterator[str]:
    """What a sender wrote about what is wrong, each as one line. Our own alerts say what was measured."""
    incident = case.request.incident
    for alert in incident.alerts if incident else []:
        if alert.source != CHECKS:
            yield from (" ".join(text.split()) for text in [alert.description, *alert.annotations.values()])


def _texts(answer: Analysis) -> str:
    parts = [part for each in answer.recommendations for part in (each.title, each.description)]
    return "\n".join([answer.summary, answer.probable_cause, *parts])


def _all_text(answer: Analysis) -> str:
    parts = [line for each in answer.recommendations for line in [*each.actions, *_leaves(each.details)]]
    return "\n".join([_texts(answer), *parts])


def _told(case: Case) -> Told:
    return Told("\n".join([*_leaves(case.request.model_dump(mode="json")), *case.expects.may_name]))


def _leaves(value: Any, name: str = "") -> Iterator[str]:
    """Every scalar of a JSON value, after its name."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _leaves(entry, key)
    elif isinstance(value, list):
        for entry in value:
            yield from _leaves(entry, name)
    else:
        yield f"{name} {value}"


def _format_faults(answer: Analysis) -> Iterator[str]:
    """What is not as tasks/analyze/reply.py asks it of a model. A text or a list that was cut there is as long
    as allowed, and says so in a few words more.
    """
    if not answer.recommendations:
        yield "no recommendation"
    if answer.confidence is None:
        yield "no confidence"
    elif not 0 <= answer.confidence <= 1:
        yield f"confidence {answer.confidence:g} is not within 0 and 1"
    if not answer.summary.strip():
        yield "summary is empty"
    if any(not each.title.strip() for each in answer.recommendations):
        yield "title is empty"
    for name, length, most in _lengths(answer):
        if length > most:
            yield f"{name}: {length}, {most} at most"


def _lengths(answer: Analysis) -> Iterator[tuple[str, int, int]]:
    yield "characters of the summary", len(answer.summary), MAX_TEXT_CHARS + CUT_CHARS
    yield "characters of the cause", len(answer.probable_cause), MAX_TEXT_CHARS
    yield "recommendations", len(answer.recommendations), MAX_RECOMMENDATIONS
    for each in answer.recommendations:
        yield "characters of a title", len(each.title), MAX_TITLE_CHARS
        yield "characters of a description", len(each.description), MAX_TEXT_CHARS
        yield "actions", len(each.actions), MAX_ACTIONS + 1
        yield "characters of an action", max(map(len, each.actions), default=0), MAX_ACTION_CHARS


def _said(error: Exception) -> str:
    line = " ".join(redact_text(str(error) or type(error).__name__).split())
    return line if len(line) <= MAX_ERROR_CHARS else f"{line[: MAX_ERROR_CHARS - 1]}…"
