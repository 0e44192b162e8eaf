"""What a model must answer, and how that becomes an analysis that is fit to show.

The form is strict where a value could mean two things (a confidence of 85), and tolerant where it cannot (`High`,
"85 %", one action that is no list). What is refused, the model is asked for once more.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from storage.records import Analysis, Recommendation
from storage.vocabulary import RecommendationPriority, RecommendationType
from tasks.analyze.links import unlinked
from tasks.analyze.prompt import Prompt
from tasks.analyze.visible import visible

MAX_TEXT_CHARS = 2_000
MAX_TITLE_CHARS = 150
MAX_ACTION_CHARS = 500
MAX_RECOMMENDATIONS = 8
MAX_ACTIONS = 10
# Of what may be shown at most, so much is searched for links: what is cut off costs nothing.
SEARCHED_TIMES = 4


def _without_case(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _share(value: Any) -> Any:
    """A percentage as a share. True is no number, though Python takes it for 1."""
    if isinstance(value, bool):
        raise ValueError("must be a number from 0 to 1")  # noqa: TRY004  (pydantic takes a ValueError only)
    if isinstance(value, str) and value.strip().endswith("%"):
        return float(value.strip().removesuffix("%")) / 100
    return value


def _nothing(value: Any) -> Any:
    return "" if value is None else value


def _several(value: Any) -> Any:
    if value is None:
        return []
    return [value] if isinstance(value, str) else value


def _said(text: str) -> str:
    if not visible(text).strip():
        raise ValueError("must not be empty")
    return text


def _words(words: type[StrEnum]) -> WithJsonSchema:
    """The schema without what an enum's docstring adds to it: a model pays for it with every question."""
    return WithJsonSchema({"enum": [word.value for word in words]})


Said = Annotated[str, AfterValidator(_said)]


class Advice(BaseModel):
    """One next step."""

    model_config = ConfigDict(extra="ignore")

    type: Annotated[RecommendationType, BeforeValidator(_without_case), _words(RecommendationType)]
    priority: Annotated[RecommendationPriority, BeforeValidator(_without_case), _words(RecommendationPriority)]
    title: Said
    description: Annotated[str, BeforeValidator(_nothing)]
    actions: Annotated[list[str], BeforeValidator(_several)] = Field(default_factory=list)


class Reply(BaseModel):
    """What is probably wrong, and what to do next."""

    model_config = ConfigDict(extra="ignore")

    summary: Said
    probable_cause: Annotated[str, BeforeValidator(_nothing)]
    confidence: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), BeforeValidator(_share)]
    recommendations: Annotated[list[Advice], BeforeValidator(_several)] = Field(default_factory=list)


def read(reply: Reply, prompt: Prompt) -> Analysis:
    """The analysis, for people: placeholders put back, nothing to click, nobody pinged, nothing without bounds.

    A reply chooses neither what it is about nor anything that we do: it is words.
    """
    advices = reply.recommendations
    more = len(advices) - MAX_RECOMMENDATIONS
    say = _shown(prompt)
    return Analysis(
        summary=say(reply.summary, MAX_TEXT_CHARS) + (f" … and {more} more recommendations" if more > 0 else ""),
        probable_cause=say(reply.probable_cause, MAX_TEXT_CHARS),
        confidence=reply.confidence,
        recommendations=[_recommendation(advice, prompt) for advice in advices[:MAX_RECOMMENDATIONS]],
    )


def _recommendation(advice: Advice, prompt: Prompt) -> Recommendation:
    say = _shown(prompt)
    actions = [say(action, MAX_ACTION_CHARS) for action in advice.actions[:MAX_ACTIONS]]
    more = len(advice.actions) - MAX_ACTIONS
    return Recommendation(
        type=advice.type,
        priority=advice.priority,
        title=" ".join(say(advice.title, MAX_TITLE_CHARS).split()),
        description=say(advice.description, MAX_TEXT_CHARS),
        actions=[action for action in actions if action] + ([f"… and {more} more"] if more > 0 else []),
        incident_id=prompt.incident_id,
    )


def _shown(prompt: Prompt) -> Callable[[str, int], str]:
    def say(text: str, max_chars: int) -> str:
        whole = visible(text).strip()
        searched = whole[: SEARCHED_TIMES * max_chars]
        # What is put back may be a link in turn; what a link is made of must not be put together by that.
        revealed = prompt.concealment.reveal(unlinked(searched, prompt.hosts))
        shown = unlinked(visible(revealed), prompt.hosts).strip()
        # Searching may have made it short; a mark before that would go with a link at its end.
        return _cut(f"{shown}…" if len(searched) < len(whole) else shown, max_chars)

    return say


def _cut(text: str, max_chars: int) -> str:
    return text if len(text) <= max_chars else f"{text[: max_chars - 1].rstrip()}…"
