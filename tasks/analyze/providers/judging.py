"""Whether it may help to ask a model again, and how its failure is told.

What is told names the host that was asked, never its path, the key or the question. A vendor's own words are
redacted and cut short.
"""

import json
import os
import ssl
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from pydantic import ValidationError

from storage.redaction import MASK, redact_text
from storage.vocabulary import FailureKind
from tasks.analyze.failure import kind_of_status
from tasks.analyze.visible import visible
from tasks.errors import PermanentError, TransientError, faults_of
from tasks.http import MAX_RETRY_AFTER_SECONDS, TRANSIENT_STATUSES

if TYPE_CHECKING:
    from pydantic_ai.exceptions import ModelHTTPError, UnexpectedModelBehavior

    from tasks.analyze.providers.ai import AiConfig

MAX_SAID_CHARS = 300
# Where vendors put their words: {"error": {"message": …}}, {"error": …}, {"message": …}, {"detail": …}.
SAID_UNDER = ("error", "message", "detail")


def judge(error: Exception, config: "AiConfig") -> PermanentError | TransientError:
    """The error to raise for one that came out of a vendor's client. It must not be chained to that one."""
    from pydantic_ai.exceptions import (  # noqa: PLC0415  (an extra)
        ModelConnectionError,
        ModelHTTPError,
        UnexpectedModelBehavior,
    )

    cause, host = _root_cause(error), host_of(config.base_url)
    if isinstance(cause, PermanentError | TransientError):
        return cause
    if isinstance(cause, ssl.SSLCertVerificationError):
        return PermanentError(
            f"{host}: TLS certificate refused: {cause.verify_message}", kind=FailureKind.UNREACHABLE
        )
    if isinstance(error, ModelHTTPError):
        return _judge_status(error, config)
    if isinstance(error, ModelConnectionError):
        return TransientError(f"{host}: {_reason(cause)}", kind=FailureKind.UNREACHABLE)
    if isinstance(error, UnexpectedModelBehavior):
        return _judge_reply(error, config)
    # The clients trust a vendor's answer to have its form, and fail in any way where it has not.
    return PermanentError(
        f"{host} answered in a form that cannot be read ({type(error).__name__})", kind=FailureKind.UNFIT_REPLY
    )


def host_of(base_url: str) -> str:
    """Where questions go, for messages: never the path, which may hold a secret."""
    return urlsplit(base_url).hostname or ""


def _judge_status(error: "ModelHTTPError", config: "AiConfig") -> PermanentError | TransientError:
    from pydantic_ai.exceptions import ModelQuotaExceededError  # noqa: PLC0415

    status = error.status_code
    said = f"{host_of(config.base_url)} answered {status}: {_said(error.body, config)}"
    is_passing = status in TRANSIENT_STATUSES or status >= 500  # noqa: PLR2004  server errors
    # Some say 429 also where what was paid for is used up, and a wait does not help.
    if isinstance(error, ModelQuotaExceededError):
        return PermanentError(said, kind=FailureKind.NO_CREDIT)
    if not is_passing:
        return PermanentError(said, kind=kind_of_status(status))
    wish = error.retry_after
    seconds = None if wish is None else min(max(wish, 0.0), MAX_RETRY_AFTER_SECONDS)
    return TransientError(said, retry_after_seconds=seconds, kind=kind_of_status(status))


def _judge_reply(error: "UnexpectedModelBehavior", config: "AiConfig") -> PermanentError:
    from pydantic_ai.exceptions import OutputTokenLimitExceeded  # noqa: PLC0415

    cause = _root_cause(error)
    if isinstance(error, OutputTokenLimitExceeded):
        return PermanentError(
            f"the reply of {config.model} was cut off at max_tokens ({config.max_tokens})",
            kind=FailureKind.UNFIT_REPLY,
        )
    if isinstance(cause, ValidationError):
        return PermanentError(
            f"the reply of {config.model} did not fit: {_said(faults_of(cause), config)}",
            kind=FailureKind.UNFIT_REPLY,
        )
    return PermanentError(f"the reply of {config.model} had no text", kind=FailureKind.UNFIT_REPLY)


def _root_cause(error: BaseException) -> BaseException:
    while inner := _inner(error):
        error = inner
    return error


def _inner(error: BaseException) -> BaseException | None:
    # httpcore2 keeps the operating system's error as its argument; its __cause__ does not survive the pool.
    # A host of several addresses fails with a group, one error for each.
    if isinstance(error, BaseExceptionGroup):
        return error.exceptions[0]
    first = error.args[0] if error.args else None
    return error.__cause__ or (first if isinstance(first, BaseException) else None)


def _reason(cause: BaseException) -> str:
    """Why a connection failed, without its address."""
    if isinstance(cause, OSError) and cause.errno and cause.errno > 0:
        return os.strerror(cause.errno)
    return getattr(cause, "strerror", None) or type(cause).__name__


def _said(body: object, config: "AiConfig") -> str:
    """A vendor's words in one short line, without secrets."""
    text = visible(_words(body))  # first, as what nobody sees may part a secret in two
    for secret in _secrets(config):
        text = text.replace(secret, MASK)
    text = " ".join(redact_text(text).split())
    return text if len(text) <= MAX_SAID_CHARS else f"{text[: MAX_SAID_CHARS - 1]}…"


def _words(body: object) -> str:
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except ValueError:
            return str(body)
    for name in SAID_UNDER:
        body = body.get(name, body) if isinstance(body, dict) else body
    return str(body or "")


def _secrets(config: "AiConfig") -> list[str]:
    """What is never told, as a vendor may write it; the longest first, because one may be part of another."""
    url, key = urlsplit(config.base_url), config.api_key.get_secret_value()
    parts = {key, quote(key, safe=""), url.path.rstrip("/")}
    return sorted(parts - {""}, key=len, reverse=True)
