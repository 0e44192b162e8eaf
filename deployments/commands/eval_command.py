"""`watchkeeper eval`: how well a provider answers about recorded incidents."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from cyclopts import Parameter
from cyclopts.validators import Number

from deployments.commands.check_output import plain, print_json, print_lines, print_table
from deployments.errors import WrongUseError
from tasks.analyze.evaluation.case import TOPICS, Case, load_cases
from tasks.analyze.evaluation.score import Verdict
from tasks.analyze.evaluation.trial import Trial, examine, most_tokens
from tasks.analyze.offers import RULES
from tasks.analyze.providers import PROVIDERS, build
from tasks.analyze.providers.ai import AiProvider
from tasks.analyze.providers.base import Provider

if TYPE_CHECKING:
    from rich.text import Text

LOCAL = "local"


class Question(NamedTuple):
    """What each answer is asked about: its heading, and the words for yes and no."""

    heading: str
    yes: str
    no: str
    is_good: Callable[[Verdict], bool]


# By their keys in JSON.
QUESTIONS = {
    "type_right": Question("type", "right", "wrong", lambda verdict: verdict.type_is_right),
    "cause_named": Question("cause", "named", "missed", lambda verdict: verdict.cause_is_named),
    "nothing_invented": Question("invented", "nothing", "something", lambda verdict: verdict.nothing_is_invented),
    "format_held": Question("format", "held", "not held", lambda verdict: verdict.format_is_held),
}
Json = Annotated[bool, Parameter(name="--json", help="Print JSON.", negative="", show_default=False)]


def evaluate(
    *,
    provider: Annotated[str, Parameter(help=f"The kind to ask: {', '.join(PROVIDERS)}.")] = LOCAL,
    config: Annotated[
        str,
        Parameter(
            help="The provider's config as JSON; - reads it from standard input. Without it that of the active "
            'provider, if that is of this kind. Give secrets as references: {"env": "NAME"} or {"file": "PATH"}.',
            allow_leading_hyphen=True,
            show_default=False,
        ),
    ] = "",
    case: Annotated[
        Sequence[str],
        Parameter(help="Only these cases, by id.", consume_multiple=True, negative="", show_default=False),
    ] = (),
    as_json: Json = False,
    at_least: Annotated[
        int | None,
        Parameter(validator=Number(gte=0), help="Exit with 1 when fewer answers have the type right."),
    ] = None,
) -> int:
    """Ask, judge and print. The help text stands in cli.py."""
    if provider not in PROVIDERS:
        raise WrongUseError(f"unknown provider {provider!r}; one of {', '.join(PROVIDERS)}")
    cases = _chosen(case)
    if at_least is not None and at_least > len(cases):
        raise WrongUseError(f"--at-least {at_least} is more than the {len(cases)} asked about")
    asked = build(provider, _config(provider, config))
    _announce(asked, cases)
    trials = examine(asked, cases)
    if as_json:
        print_json(_form(asked, trials))
    else:
        _print(trials)
    right = sum(trial.verdict.type_is_right for trial in trials)
    return 1 if at_least is not None and right < at_least else 0


def _chosen(ids: Sequence[str]) -> list[Case]:
    cases = {case.id: case for case in load_cases()}
    if unknown := [id_ for id_ in ids if id_ not in cases]:
        raise WrongUseError(f"unknown case {unknown[0]!r}; `watchkeeper eval` lists them all")
    return [case for case in cases.values() if not ids or case.id in ids]


def _config(provider: str, typed: str) -> dict[str, Any]:
    if typed:
        return _read(typed)
    return {} if provider == LOCAL else _of_the_active(provider)


def _read(typed: str) -> dict[str, Any]:
    try:
        value = json.loads(sys.stdin.read() if typed == "-" else typed)
    except ValueError as error:
        raise WrongUseError(f"--config is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise WrongUseError("--config must be a JSON object")
    return value


def _of_the_active(provider: str) -> dict[str, Any]:
    """The active provider's config if it is of this kind; else what the vendor's variables give must do."""
    from deployments.installed import installed_database, is_installed  # noqa: PLC0415  (local needs no database)
    from storage.providers import find_active  # noqa: PLC0415
    from storage.settings import load  # noqa: PLC0415

    settings = load()
    if not is_installed(settings):  # nothing was ever saved
        return {}
    with installed_database(settings) as database, database.read() as session:
        active = find_active(session)
    return dict(active.config) if active and active.provider == provider else {}


def _announce(provider: Provider, cases: Sequence[Case]) -> None:
    """Say what it may cost, on standard error, before it does."""
    if tokens := most_tokens(provider, cases):
        sys.stderr.write(
            f"watchkeeper: cases to ask {provider.kind} ({_model(provider)}) about: {len(cases)}; "
            f"they take {tokens:,} tokens at most\n"
        )


def _model(provider: Provider) -> str:
    return provider.config.model if isinstance(provider, AiProvider) else RULES


def _print(trials: Sequence[Trial]) -> None:
    print_table(["case", *(question.heading for question in QUESTIONS.values()), "note"], map(_row, trials))
    print_lines([""])
    rows = [_sum_row(topic, verdicts) for topic, verdicts in _by_topic(trials).items()]
    total = _sum_row("all", [trial.verdict for trial in trials])
    headings = ["topic", "cases", *(key.replace("_", " ") for key in QUESTIONS)]
    print_table(headings, [*rows, total], after=_cost(trials))


def _by_topic(trials: Sequence[Trial]) -> dict[str, list[Verdict]]:
    found = {topic: [trial.verdict for trial in trials if trial.case.topic == topic] for topic in TOPICS}
    return {topic: verdicts for topic, verdicts in found.items() if verdicts}


def _row(trial: Trial) -> list["Text"]:
    marks = [_mark(question, trial.verdict) for question in QUESTIONS.values()]
    return [plain(trial.case.id), *marks, plain("; ".join(trial.verdict.notes))]


def _mark(question: Question, verdict: Verdict) -> "Text":
    if question.is_good(verdict):
        return plain(question.yes)
    return plain(question.no if verdict.has_answer else "-", "yellow")


def _sum_row(name: str, verdicts: Sequence[Verdict]) -> list[str]:
    return [name, str(len(verdicts)), *map(str, _sums(verdicts).values())]


def _sums(verdicts: Sequence[Verdict]) -> dict[str, int]:
    return {key: sum(map(question.is_good, verdicts)) for key, question in QUESTIONS.items()}


def _cost(trials: Sequence[Trial]) -> str:
    tokens = _tokens(trials)
    if not tokens["total_tokens"]:
        return ""
    return (
        f"\nTokens: {tokens['total_tokens']:,} "
        f"({tokens['prompt_tokens']:,} asked with, {tokens['completion_tokens']:,} answered with)"
    )


def _tokens(trials: Sequence[Trial]) -> dict[str, int]:
    counted = [trial.meter.tokens for trial in trials]
    return {
        "prompt_tokens": sum(tokens.prompt or 0 for tokens in counted),
        "completion_tokens": sum(tokens.completion or 0 for tokens in counted),
        "total_tokens": sum(tokens.total or 0 for tokens in counted),
    }


def _form(provider: Provider, trials: Sequence[Trial]) -> Mapping[str, Any]:
    return {
        "provider": provider.kind,
        "model": _model(provider),
        "cases": [
            {
                "id": trial.case.id,
                "topic": trial.case.topic,
                **{key: question.is_good(trial.verdict) for key, question in QUESTIONS.items()},
                "notes": trial.verdict.notes,
            }
            for trial in trials
        ],
        "sums": {"cases": len(trials), **_sums([trial.verdict for trial in trials])},
        "topics": {
            topic: {"cases": len(verdicts), **_sums(verdicts)} for topic, verdicts in _by_topic(trials).items()
        },
        **_tokens(trials),
    }
