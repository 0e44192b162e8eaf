"""The one way to a model: one question, at most one correction, one deadline for both.

pydantic-ai speaks the vendors' protocols. It and their clients take up to two seconds to import, so that
happens when a provider is used. Nothing of theirs retries, follows a redirect or logs.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Thread
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, ParamSpec, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from storage.records import Analysis, Tokens
from storage.vocabulary import FailureKind
from tasks.analyze.prompt import Prompt, compose
from tasks.analyze.providers.base import Provider, ProviderSettings
from tasks.analyze.providers.judging import host_of, judge
from tasks.analyze.reply import Reply, read
from tasks.analyze.request import AnalysisRequest
from tasks.analyze.visible import visible
from tasks.errors import PermanentError, TransientError
from tasks.http import parse_url

if TYPE_CHECKING:
    import httpx2
    from pydantic_ai import Agent
    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.models import Model
    from pydantic_ai.usage import RunUsage

EXTRA = "watchkeeper[ai]"
CORRECTIONS = 1
MAX_ANSWER_BYTES = 1_000_000
# What the tables hold: a model's name, a count of tokens.
MAX_MODEL_CHARS = 128
MAX_COUNT = 2**31 - 1
# With less time than that left, a question would be paid for in vain.
MIN_EXCHANGE_SECONDS = 0.1
# At their chattiest they log what is sent.
CHATTY = ("anthropic", "google_genai", "httpcore2", "httpx2", "mistralai", "openai", "pydantic_ai")

Result = TypeVar("Result")
Given = ParamSpec("Given")


class AiConfig(ProviderSettings):
    """What every AI provider is told.

    `base_url` holds no query, fragment or login, as it is stored and shown; of its path, only what has the shape
    of a key is hidden then, so a path that is secret is given as a reference. `timeout_seconds` bounds the
    exchange with its one correction, but not the import of the clients before the first one. `max_input_tokens`
    bounds the question by an estimate that is rather too high, `max_tokens` the answer. With `hide_hosts`, the
    model is given placeholders for host names and IP addresses.
    """

    model: str
    base_url: str
    api_key: SecretStr
    timeout_seconds: float = Field(default=20, gt=0, le=600)
    max_input_tokens: int = Field(default=8_000, ge=1_000, le=500_000)
    max_tokens: int = Field(default=1_500, ge=100, le=32_000)
    hide_hosts: bool = False

    @field_validator("base_url")
    @classmethod
    def _is_url(cls, url: str) -> str:
        try:
            parse_url(url)
        except PermanentError as error:
            raise ValueError(str(error)) from None
        if fault := _fault_of(url):
            raise ValueError(fault)
        return url

    @field_validator("model")
    @classmethod
    def _is_named(cls, model: str) -> str:
        if not model.strip():
            raise ValueError("is empty")
        return model

    @field_validator("api_key")
    @classmethod
    def _fits_a_header(cls, key: SecretStr) -> SecretStr:
        text = key.get_secret_value()
        if not text.strip():
            raise ValueError("is empty")
        if not (text.isascii() and text.isprintable()):
            raise ValueError("holds characters that no key has")
        return key


class Deadline(NamedTuple):
    """The time that is left for an exchange, and the bound that is told where it does not suffice."""

    left_seconds: float
    told_seconds: float


@dataclass
class Meter:
    """What a question has cost so far, also where it fails in the end."""

    tokens: Tokens = field(default_factory=Tokens)


class AiProvider(Provider):
    """A provider that asks a model over HTTP. Each vendor's says how that model is reached."""

    # The environment variable that the vendor's own tools read the key from; empty where no key is needed.
    key_variable: ClassVar[str]
    Config: ClassVar[type[AiConfig]]

    def __init__(self, config: AiConfig) -> None:
        self.config = config

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """The key of the vendor's variable."""
        return {"api_key": {"env": cls.key_variable}} if cls.key_variable else {}

    def model(self, client: "httpx2.AsyncClient") -> "Model[Any]":
        """The vendor's model over this client; its key is in the config."""
        raise NotImplementedError

    def compose(self, request: AnalysisRequest) -> Prompt:
        """The question as it will leave this machine."""
        return compose(request, max_input_tokens=self.config.max_input_tokens, hides_hosts=self.config.hide_hosts)

    def cache_key(self, prompt: Prompt) -> str:
        """The same for a question whose answer may stand for this one's."""
        return prompt.digest(self.kind, self.config.model, self.config.base_url, str(self.config.max_tokens))

    def most_tokens(self, prompt: Prompt) -> int:
        """What asking may cost at most; a correction repeats the question and the reply that it corrects."""
        replies = self.config.max_tokens * (1 + 2 * CORRECTIONS)
        return prompt.estimated_tokens * (1 + CORRECTIONS) + replies

    def analyze(self, request: AnalysisRequest) -> Analysis:
        """Ask, and read the answer."""
        return self.ask(self.compose(request), Meter())

    def ask(self, prompt: Prompt, meter: Meter, *, within_seconds: float | None = None) -> Analysis:
        """Ask once, and once more where the reply does not fit. `meter` counts in any case.

        `within_seconds` bounds all of it. Only the import of the clients, once in a process, cannot be broken
        off; where it took the time, nothing is asked.

        Raises TransientError for a 408, 425, 429 or 5xx, a network error or no answer in time; PermanentError
        for a refusal, a spent quota, a redirect, a certificate that is not trusted, a reply that does not fit
        again, and where the package's extra is not installed or the environment does not fit.
        """
        started = time.monotonic()
        try:
            client = self._client()
            agent = self._agent(client, prompt)
        except ImportError:
            raise PermanentError(
                f"provider {self.kind!r} needs the extra {EXTRA}", kind=FailureKind.NOT_SET_UP
            ) from None
        except Exception as error:  # noqa: BLE001  a proxy or certificates of the environment that cannot be used
            said = type(error).__name__  # more may quote a proxy's password
            raise PermanentError(
                f"provider {self.kind!r} cannot be set up ({said})", kind=FailureKind.NOT_SET_UP
            ) from None
        deadline = self._deadline(within_seconds, set_up_seconds=time.monotonic() - started)
        return _run(self._ask(agent, client, prompt, meter, deadline))

    def _deadline(self, within_seconds: float | None, *, set_up_seconds: float) -> "Deadline":
        timeout_seconds = self.config.timeout_seconds
        if within_seconds is None:
            return Deadline(timeout_seconds, timeout_seconds)
        within_seconds = max(within_seconds, 0)
        left_seconds = within_seconds - set_up_seconds
        if left_seconds < MIN_EXCHANGE_SECONDS:
            raise TransientError(
                f"{self.host} was not asked: setting up took too much of {within_seconds:g} s",
                kind=FailureKind.NO_ANSWER,
            )
        return min(Deadline(timeout_seconds, timeout_seconds), Deadline(left_seconds, within_seconds))

    def _client(self) -> "httpx2.AsyncClient":
        import httpx2  # noqa: PLC0415  (an extra; see the module's docstring)

        # What some tell the vendor; ours is around it all. Not the same for all phases: Google's provider takes
        # 5, 5, 5, 5 for a default and warns of it.
        told_seconds = self.config.timeout_seconds
        return httpx2.AsyncClient(
            follow_redirects=False,
            timeout=httpx2.Timeout(told_seconds, pool=told_seconds + 1),
            headers={"Accept-Encoding": "identity"},
            event_hooks={"response": [self._receive]},
        )

    def _agent(self, client: "httpx2.AsyncClient", prompt: Prompt) -> "Agent[object, Reply]":
        import pydantic_ai  # noqa: PLC0415
        from pydantic_ai.capabilities import Hooks  # noqa: PLC0415

        pydantic_ai.BANNER_ENABLED = False
        agent = pydantic_ai.Agent(
            self.model(client),
            output_type=pydantic_ai.PromptedOutput(Reply),
            instructions=prompt.instructions,
            retries=CORRECTIONS,
            model_settings={"max_tokens": self.config.max_tokens, "max_retries": 0},
            capabilities=[Hooks(after_model_request=self._look_at)],
        )
        agent.instrument = False  # whatever is switched on for all agents of the process
        for name in CHATTY:  # now, because their variables for debugging are read on import
            logging.getLogger(name).setLevel(logging.WARNING)
        return agent

    async def _receive(self, response: "httpx2.Response") -> None:
        """Take an answer in, as far as it goes: a client would read it without any bound."""
        if response.has_redirect_location:
            raise PermanentError(
                f"{self.host} answered {response.status_code}, a redirect, which is not followed",
                kind=FailureKind.UNFIT_REPLY,
            )
        body = bytearray()
        async for part in response.aiter_bytes():
            body += part
            if len(body) > MAX_ANSWER_BYTES:
                raise PermanentError(
                    f"{self.host} answered with more than {MAX_ANSWER_BYTES} bytes", kind=FailureKind.UNFIT_REPLY
                )
        if response.is_success and not _is_json_object(body):
            raise PermanentError(
                f"{self.host} answered {response.status_code} without a JSON object", kind=FailureKind.UNFIT_REPLY
            )
        response._content = bytes(body)  # noqa: SLF001  where a body that was read is looked for

    async def _look_at(
        self, context: object, *, request_context: object, response: "ModelResponse"
    ) -> "ModelResponse":
        """Let a reply pass unless asking again would end the same way."""
        del context, request_context
        if response.finish_reason == "content_filter":
            raise PermanentError(
                f"the reply of {self.config.model} was withheld by a content filter", kind=FailureKind.UNFIT_REPLY
            )
        return response

    async def _ask(
        self,
        agent: "Agent[object, Reply]",
        client: "httpx2.AsyncClient",
        prompt: Prompt,
        meter: Meter,
        deadline: Deadline,
    ) -> Analysis:
        from pydantic_ai.usage import RunUsage  # noqa: PLC0415

        usage = RunUsage()
        try:
            async with asyncio.timeout(deadline.left_seconds), client:
                result = await agent.run(prompt.text, usage=usage)
        except TimeoutError:
            raise TransientError(
                f"{self.host} did not answer within {deadline.told_seconds:g} s", kind=FailureKind.NO_ANSWER
            ) from None
        except Exception as error:  # noqa: BLE001  whatever the clients raise; not chained: it may quote secrets
            raise judge(error, self.config) from None
        finally:
            meter.tokens = _counted(usage)
        return read(result.output, prompt).model_copy(
            update={
                "model_name": _named(result.response.model_name or self.config.model),
                "prompt_tokens": meter.tokens.prompt,
                "completion_tokens": meter.tokens.completion,
                "total_tokens": meter.tokens.total,
            }
        )

    @property
    def key(self) -> str:
        """The key, for the vendor's client."""
        return self.config.api_key.get_secret_value()

    @property
    def host(self) -> str:
        """Where questions go, for messages: never the path, which may hold a secret."""
        return host_of(self.config.base_url)


def _is_json_object(body: bytes | bytearray) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False


def _fault_of(url: str) -> str:
    if "?" in url:
        return "holds a query: a secret there would be shown"
    if "#" in url:
        return "holds a fragment"
    return "holds a login: use api_key" if "@" in urlsplit(url).netloc else ""


def _named(model: str) -> str:
    name = " ".join(visible(model).split())
    return name if len(name) <= MAX_MODEL_CHARS else f"{name[: MAX_MODEL_CHARS - 1]}…"


def _counted(usage: "RunUsage") -> Tokens:
    return Tokens(_count(usage.input_tokens), _count(usage.output_tokens), _count(usage.total_tokens))


def _count(given: int) -> int | None:
    """What a vendor counted, where it can be: 0 is said where nothing was counted."""
    return given if 0 < given <= MAX_COUNT else None


class _LookUps(ThreadPoolExecutor):
    """Each call in a thread of its own that no exit of the process waits for, as it would for a pool's."""

    def submit(self, fn: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs) -> Future[Result]:
        future: Future[Result] = Future()

        def call() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001  whoever waits is told
                future.set_exception(error)

        future.set_running_or_notify_cancel()
        Thread(target=call, daemon=True).start()
        return future


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end, in a loop of its own, in any thread.

    Unlike asyncio.run it does not wait for a look-up of a host's name that was given up on.
    """
    loop = asyncio.new_event_loop()
    loop.set_default_executor(_LookUps())
    try:
        return loop.run_until_complete(work)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
