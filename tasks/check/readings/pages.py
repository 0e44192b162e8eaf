"""What is asked of a URL, and what comes back."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StringConstraints, model_validator

from storage.redaction import is_reference, redact_text

MAX_TARGET_CHARS = 400


def _check_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # its message quotes the URL
        is_usable = False
    if not is_usable or not url.isprintable() or " " in url:
        raise ValueError("not a valid http or https URL")
    if len(_shown(url)) > MAX_TARGET_CHARS:
        raise ValueError(f"longer than {MAX_TARGET_CHARS} characters, not counting secrets")
    return url


def _check_header(value: str | dict[str, str]) -> str | dict[str, str]:
    if isinstance(value, dict) and not is_reference(value):
        raise ValueError("neither text nor a reference to a secret")
    if isinstance(value, str) and not is_header_value(value):
        raise ValueError("holds characters that no header may hold")
    return value


def _as_list(given: Any) -> Any:
    return [given] if isinstance(given, int) else given


Url = Annotated[str, AfterValidator(_check_url)]
Statuses = Annotated[
    list[Annotated[int, Field(ge=200, le=599)]], Field(min_length=1, max_length=50), BeforeValidator(_as_list)
]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
HeaderValue = Annotated[str | dict[str, str], AfterValidator(_check_header)]


class Expectation(BaseModel, extra="forbid", frozen=True, defer_build=True):
    """What is asked of a URL.

    `expect_status` is one or several, None meaning 200 to 399. A redirect is followed unless it is expected.
    `expect_text` must stand in the first MiB of the body, in UTF-8. Values of `headers` may be references to
    secrets; they do not follow a redirect to another host or from https to http.
    """

    method: Literal["GET", "HEAD"] = "GET"
    expect_status: Statuses | None = None
    expect_text: str | None = Field(default=None, min_length=1, max_length=1000)
    headers: dict[HeaderName, HeaderValue] = Field(default={}, repr=False)
    verify_tls: bool = True


class Page(Expectation):
    """A URL, and what is asked of it other than of the rest."""

    url: Url = Field(repr=False)

    @model_validator(mode="before")
    @classmethod
    def _text_is_a_url(cls, given: Any) -> Any:
        return {"url": given} if isinstance(given, str) else given

    @property
    def target(self) -> str:
        """What readings call it."""
        return _shown(self.url)


@dataclass(frozen=True)
class Answer:
    """What came back in the end, and how long that took with all redirects."""

    status: int
    body: bytes
    latency_ms: float


class DownError(Exception):
    """There is no answer; the message says why."""


def is_header_value(text: str) -> bool:
    """Whether a header may hold it."""
    return text.isascii() and text.isprintable()


def _shown(url: str) -> str:
    return redact_text(url.partition("#")[0])
