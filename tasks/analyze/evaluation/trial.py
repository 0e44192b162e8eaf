"""All cases put to one provider."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from storage.records import Analysis
from tasks.analyze.evaluation.case import Case
from tasks.analyze.evaluation.score import Verdict, score
from tasks.analyze.providers.ai import AiProvider, Meter
from tasks.analyze.providers.base import Provider

ASKED_AT_ONCE = 4


@dataclass(frozen=True)
class Trial:
    """One case, how the answer to it was judged, and what that cost."""

    case: Case
    verdict: Verdict
    meter: Meter = field(default_factory=Meter)


def examine(provider: Provider, cases: Sequence[Case]) -> list[Trial]:
    """Ask about each case, a few at a time. A failure is a verdict; who interrupts it pays for no further one."""
    with ThreadPoolExecutor(ASKED_AT_ONCE, "eval") as threads:
        # Where this is interrupted, map itself cancels what has not begun.
        return list(threads.map(lambda case: _examine(provider, case), cases))


def most_tokens(provider: Provider, cases: Sequence[Case]) -> int:
    """What asking about these may cost at most; nothing with the local rules."""
    if not isinstance(provider, AiProvider):
        return 0
    return sum(provider.most_tokens(provider.compose(case.request)) for case in cases)


def _examine(provider: Provider, case: Case) -> Trial:
    meter = Meter()
    answer: Analysis | Exception
    try:
        answer = _answer(provider, case, meter)
    except Exception as error:  # noqa: BLE001  (an edge: a failure is what was to be found out)
        answer = error
    return Trial(case, score(case, answer), meter)


def _answer(provider: Provider, case: Case, meter: Meter) -> Analysis:
    if isinstance(provider, AiProvider):
        return provider.ask(provider.compose(case.request), meter)
    return provider.analyze(case.request)
