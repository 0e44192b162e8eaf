"""Asking a provider something small, to see whether it answers. That tells it nothing about this host."""

from dataclasses import dataclass

from storage import database
from storage.records import Analysis, CheckResult, ProviderConfig
from storage.tables.base import utc_now
from storage.vocabulary import CheckStatus
from tasks.analyze.asking import Question, ask, store
from tasks.analyze.request import AnalysisRequest


@dataclass(frozen=True)
class Tried:
    """What it answered, and how long that took."""

    analysis: Analysis
    seconds: float


def try_provider(provider: ProviderConfig, *, within_seconds: float | None = None) -> Tried:
    """Ask it, and write that down as every analysis is. Raises as `ask` does."""
    answer = ask(provider, Question(_small_request()), within_seconds=within_seconds)
    with database.get().write() as session:
        store(session, answer)
    return Tried(answer.analysis, (answer.answered_at - answer.started_at).total_seconds())


def told_tokens(analysis: Analysis) -> str:
    """What it cost, in words."""
    if analysis.total_tokens is None:
        return "none counted"
    return f"{analysis.total_tokens} ({analysis.prompt_tokens} asked, {analysis.completion_tokens} answered)"


def _small_request() -> AnalysisRequest:
    """A question that nobody has asked before, so that the answer is a new one."""
    message = f"Memory 97 % used at {utc_now():%H:%M:%S.%f}"
    check = CheckResult(checker_name="memory", status=CheckStatus.CRITICAL, message=message)
    return AnalysisRequest(incident=None, checks=[check], evidence={"hostname": "example"})
