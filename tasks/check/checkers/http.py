"""Whether URLs answer, with what, and how fast."""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self

from pydantic import Field, FiniteFloat, model_validator

from storage.records import CheckResult, Reading
from storage.vocabulary import CheckStatus
from tasks.check.calls import HungError, side_by_side
from tasks.check.checkers.base import Checker, NotApplicableError, RisingConfig, conclude, state
from tasks.check.readings import x509
from tasks.check.readings.pages import Answer, DownError, Expectation, Page
from tasks.errors import PermanentError, TransientError

MAX_SHOWN_TEXT_CHARS = 80
GOOD_STATUSES = range(200, 400)


@dataclass(frozen=True)
class Http(Checker):
    """How long URLs take to answer, from the look-up of the name to the end of the body (or its first MiB).

    One that answers with another status, or without the text, or not in time, or not at all is critical, and so
    is one whose certificate cannot be trusted. At most 5 redirects are followed. Every check opens connections
    of its own, and no proxy is used, whatever the environment says.
    """

    kind: ClassVar[str] = "http"
    measures: ClassVar[str] = "status, latency and text of URLs"

    class Config(Expectation, RisingConfig):
        """What is asked of every URL that does not say otherwise itself. Thresholds are in milliseconds."""

        unit: ClassVar[str] = "ms"

        urls: list[Page] = Field(default=[], max_length=50)
        # A page that takes 2 s is noticed by everybody, one that takes 5 is hardly of use.
        warning_threshold: FiniteFloat = 2000.0
        critical_threshold: FiniteFloat = 5000.0

        @property
        def pages(self) -> list[Page]:
            """The URLs with all that is asked of each."""
            own = {name: getattr(self, name) for name in Expectation.model_fields}
            return [
                page.model_copy(update={name: own[name] for name in own if name not in page.model_fields_set})
                for page in self.urls
            ]

        @model_validator(mode="after")
        def _pages_can_be_checked(self) -> Self:
            if len({page.target for page in self.urls}) < len(self.urls):
                raise ValueError("urls: two are the same, or differ in secrets alone")
            if any(page.method == "HEAD" and page.expect_text for page in self.pages):
                raise ValueError("expect_text: an answer to HEAD has no text")
            return self

    config: Config

    def measure(self) -> CheckResult:
        """Ask every URL."""
        config, pages = self.config, {page.target: page for page in self.config.pages}
        if not pages:
            raise NotApplicableError("no URL is named (config key urls)")
        from tasks.check.readings import web  # noqa: PLC0415  (takes 0.2 s, and most checks visit nothing)

        contexts = {
            verify: x509.trusting() if verify else x509.indifferent()
            for verify in {page.verify_tls for page in pages.values()}
        }
        answers = side_by_side(
            {
                target: partial(web.visit, page, contexts[page.verify_tls], timeout_seconds=0.9 * config.timeout)
                for target, page in pages.items()
            },
            timeout_seconds=0.95 * config.timeout,
        )
        readings = [_judged(pages[target], answer, config) for target, answer in answers.items()]
        found = [_metrics(target, answer) for target, answer in answers.items() if isinstance(answer, Answer)]
        metrics = {
            # No dict by URL: where metrics are stored, what stands under https://api.example.org/ is taken for
            # a secret (storage/redaction.py).
            "urls": found,
            "worst_latency_ms": max((each["latency_ms"] for each in found), default=None),
        }
        return conclude(self.kind, readings, metrics=metrics)


def _judged(page: Page, answer: Answer | BaseException, config: Http.Config) -> Reading:
    target = page.target
    if isinstance(answer, HungError):
        return state(
            CheckStatus.CRITICAL, f"{target} did not answer within {0.9 * config.timeout:g} s", target=target
        )
    if isinstance(answer, DownError):
        return state(CheckStatus.CRITICAL, f"{target} does not answer: {answer}", target=target)
    if isinstance(answer, BaseException):
        reason = str(answer) if isinstance(answer, PermanentError | TransientError) else type(answer).__name__
        return state(CheckStatus.UNKNOWN, f"{target} cannot be asked: {reason}", target=target)
    if answer.status not in (page.expect_status or GOOD_STATUSES):
        wanted = " or ".join(map(str, page.expect_status or ())) or "200 to 399"
        return state(CheckStatus.CRITICAL, f"{target} answered {answer.status}, not {wanted}", target=target)
    if page.expect_text and page.expect_text.encode() not in answer.body:
        text = page.expect_text[:MAX_SHOWN_TEXT_CHARS]
        return state(
            CheckStatus.CRITICAL, f"{target} answered {answer.status} without the text {text!r}", target=target
        )
    sentence = f"{target} answered {answer.status} in {answer.latency_ms:.0f} ms"
    return config.read(answer.latency_ms, sentence, target=target)


def _metrics(target: str, answer: Answer) -> dict[str, Any]:
    return {
        "url": target,
        "status_code": answer.status,
        "latency_ms": answer.latency_ms,
        "body_bytes": len(answer.body),
    }
