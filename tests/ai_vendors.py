"""The AI vendors' protocols, for an HTTP sink: what each answers, and how to read what it was asked.

with HttpSink([vendor.answer(json.dumps(GOOD))]) as sink:
    analysis = build(vendor.kind, vendor.config(sink.url)).analyze(request)
    assert "disk" in vendor.asked(sink.requests[0])
"""

import json
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, cast

from sinks import Answer, ReceivedRequest

GOOD: dict[str, Any] = {
    "summary": "The root file system is nearly full",
    "probable_cause": "Old logs were never rotated",
    "confidence": 0.83,
    "recommendations": [
        {
            "type": "disk",
            "priority": "high",
            "title": "Make room",
            "description": "Old logs take most of it",
            "actions": ["du -xh --max-depth=2 /var/log", "logrotate --force /etc/logrotate.conf"],
        }
    ],
}

# How a reply came to its end: by itself, at the bound on its length, or because the vendor withheld it.
Ending = Literal["done", "cut", "withheld"]


class Vendor(ABC):
    """One vendor's wire form."""

    kind: ClassVar[str]
    model: ClassVar[str]  # the name that its answers give
    base_path: ClassVar[str] = "/v1"

    @property
    def key(self) -> str:
        """The key that `config` gives."""
        return f"planted-{self.kind}-4f1d9a7c"

    def config(self, url: str) -> dict[str, Any]:
        """The provider's config that asks the server at this URL."""
        return {"base_url": f"{url}{self.base_path}", "api_key": self.key}

    def answer(
        self,
        text: str,
        *,
        model: str = "",
        prompt_tokens: int = 120,
        completion_tokens: int = 45,
        ending: Ending = "done",
    ) -> Answer:
        """A complete answer whose reply is this text."""
        return _json(200, self.reply(text, model or self.model, prompt_tokens, completion_tokens, ending))

    def error(self, status: int, message: str, *, retry_after: str | int | None = None) -> Answer:
        """A refusal in the vendor's own form."""
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        return _json(status, self.refusal(status, message), headers)

    @abstractmethod
    def reply(
        self, text: str, model: str, prompt_tokens: int, completion_tokens: int, ending: Ending
    ) -> dict[str, Any]:
        """The body of an answer."""

    @abstractmethod
    def refusal(self, status: int, message: str) -> dict[str, Any]:
        """The body of an error."""

    @abstractmethod
    def asked(self, request: ReceivedRequest) -> str:
        """What the user said, in the order in which it was said."""

    @abstractmethod
    def instructions(self, request: ReceivedRequest) -> str:
        """What the model was told to be."""

    @abstractmethod
    def asked_model(self, request: ReceivedRequest) -> str:
        """The model that was asked for."""

    @abstractmethod
    def max_tokens(self, request: ReceivedRequest) -> int | None:
        """The bound on the answer under the name that this vendor heeds."""

    def given_key(self, request: ReceivedRequest) -> str:
        """The key where this vendor looks for it."""
        return str(request.headers.get("Authorization", "")).removeprefix("Bearer ")


class OpenAi(Vendor):
    """Chat Completions: https://platform.openai.com/docs/api-reference/chat/create

    Errors: https://platform.openai.com/docs/guides/error-codes
    """

    kind = "openai"
    model = "gpt-4o-mini-2024-07-18"
    bound: ClassVar[str] = "max_completion_tokens"

    def reply(
        self, text: str, model: str, prompt_tokens: int, completion_tokens: int, ending: Ending
    ) -> dict[str, Any]:
        return {
            "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
            "object": "chat.completion",
            "created": 1741569952,
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text, "refusal": None, "annotations": []},
                    "logprobs": None,
                    "finish_reason": {"done": "stop", "cut": "length", "withheld": "content_filter"}[ending],
                }
            ],
            "usage": {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": completion_tokens,
                "total_tokens": prompt_tokens + completion_tokens,
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
            },
            "service_tier": "default",
        }

    def refusal(self, status: int, message: str) -> dict[str, Any]:
        names = {401: "invalid_request_error", 404: "invalid_request_error", 429: "requests"}
        codes = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
        name, code = names.get(status, "server_error"), codes.get(status)
        return {"error": {"message": message, "type": name, "param": None, "code": code}}

    def asked(self, request: ReceivedRequest) -> str:
        return _said(request, "user")

    def instructions(self, request: ReceivedRequest) -> str:
        return _said(request, "system", "developer")

    def asked_model(self, request: ReceivedRequest) -> str:
        assert request.path == f"{self.base_path}/chat/completions", request.path
        return str(_body(request)["model"])

    def max_tokens(self, request: ReceivedRequest) -> int | None:
        return cast("int | None", _body(request).get(self.bound))


class Grok(OpenAi):
    """OpenAI's form with errors of its own: https://docs.x.ai/docs/api-reference#chat-completions"""

    kind = "grok"
    model = "grok-3-mini"

    def refusal(self, status: int, message: str) -> dict[str, Any]:
        codes = {401: "The request does not have valid authentication credentials", 429: "Too many requests"}
        return {"code": codes.get(status, "Some requested entity was not found"), "error": message}


class Copilot(OpenAi):
    """OpenAI's form, from the root, without `object`, `created` and `index`, as the service leaves them out.

    https://docs.github.com/en/copilot; it heeds `max_completion_tokens` alone.
    """

    kind = "copilot"
    model = "gpt-4o-2024-11-20"
    base_path = ""

    def reply(
        self, text: str, model: str, prompt_tokens: int, completion_tokens: int, ending: Ending
    ) -> dict[str, Any]:
        body = super().reply(text, model, prompt_tokens, completion_tokens, ending)
        del body["object"], body["created"], body["choices"][0]["index"]
        return body

    def error(self, status: int, message: str, *, retry_after: str | int | None = None) -> Answer:
        """A refused token is answered in plain text, all else in JSON."""
        if status == 401:
            return Answer(status, headers={"Content-Type": "text/plain; charset=utf-8"}, body=message.encode())
        return super().error(status, message, retry_after=retry_after)

    def refusal(self, status: int, message: str) -> dict[str, Any]:
        codes = {404: "model_not_supported", 429: "rate_limited"}
        return {"error": {"message": message, "code": codes.get(status, "internal_error")}}


class Ollama(OpenAi):
    """OpenAI's form, of which it reads a part: https://docs.ollama.com/api/openai-compatibility"""

    kind = "ollama"
    model = "llama3.1"
    bound = "max_tokens"

    def reply(
        self, text: str, model: str, prompt_tokens: int, completion_tokens: int, ending: Ending
    ) -> dict[str, Any]:
        body = super().reply(text, model, prompt_tokens, completion_tokens, ending)
        body["system_fingerprint"] = "fp_ollama"
        body["choices"][0]["message"] = {"role": "assistant", "content": text}
        for detail in ("prompt_tokens_details", "completion_tokens_details"):
            del body["usage"][detail]
        return body

    def refusal(self, status: int, message: str) -> dict[str, Any]:
        types = {401: "unauthorized_error", 404: "not_found_error", 429: "rate_limit_error"}
        return {"error": {"message": message, "type": types.get(status, "api_error"), "param": None, "code": None}}


class Mistral(OpenAi):
    """Chat Completions of its own: https://docs.mistral.ai/api/endpoint/chat

    Its client adds the version to the base URL by itself.
    """

    kind = "mistral"
    model = "mistral-small-2506"
    bound = "max_tokens"

    def config(self, url: str) -> dict[str, Any]:
        return {"base_url": url, "api_key": self.key}

    def reply(
        self, text: str, model: str, prompt_tokens: int, completion_tokens: int, ending: Ending
    ) -> dict[str, Any]:
        return {
            "id": "cmpl-e5cc70bb28c444948073e77776eb30ef",
            "object": "chat.completion",
            "created": 1702256327,
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text, "tool_calls": None, "prefix": False},
                    "finish_reason": {"done": "stop", "cut": "length", "withheld": "error"}[ending],
                }
            ],
            "usage": {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": completion_tokens,
                "total_tokens": prompt_tokens + completion_tokens,
            },
        }

    def refusal(self, status: int, message: str) -> dict[str, Any]:
        if status == 401:
            return {"detail": message}
        types = {404: "invalid_model", 429: "service_tier_capacity_exceeded"}
        return {
            "object": "error",
            "message": message,
            "type": types.get(status, "internal_server_error"),
            "param": None,
            "code": "1500",
        }


class Claude(Vendor):
    """Messages: https://docs.anthropic.com/en/api/messages

    Errors: https://docs.anthropic.com/en/api/errors
    """

    kind = "claude"
    model = "claude-sonnet-4-20250514"
    base_path = ""

    def reply(
        self, text: str, model: str, prompt_tokens: int, completion_tokens: int, ending: Ending
    ) -> dict[str, Any]:
        return {
            "id": "msg_013Zva2CMHLNnXjNJJKqJ2EF",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [{"type": "text", "text": text}] if text else [],
            "stop_reason": {"done": "end_turn", "cut": "max_tokens", "withheld": "refusal"}[ending],
            "stop_sequence": None,
            "usage": {
                "input_tokens": prompt_tokens,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": completion_tokens,
                "service_tier": "standard",
            },
        }

    def refusal(self, status: int, message: str) -> dict[str, Any]:
        types = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
        return {
            "type": "error",
            "error": {"type": types.get(status, "api_error"), "message": message},
            "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy",
        }

    def asked(self, request: ReceivedRequest) -> str:
        return _said(request, "user")

    def instructions(self, request: ReceivedRequest) -> str:
        return _text(_body(request).get("system", ""))

    def asked_model(self, request: ReceivedRequest) -> str:
        assert request.path.split("?")[0] == "/v1/messages", request.path
        return str(_body(request)["model"])

    def max_tokens(self, request: ReceivedRequest) -> int | None:
        return cast("int | None", _body(request).get("max_tokens"))

    def given_key(self, request: ReceivedRequest) -> str:
        return str(request.headers.get("X-Api-Key", ""))


class Gemini(Vendor):
    """generateContent: https://ai.google.dev/api/generate-content

    Errors: https://ai.google.dev/gemini-api/docs/troubleshooting
    """

    kind = "gemini"
    model = "gemini-2.0-flash"
    base_path = ""

    def reply(
        self, text: str, model: str, prompt_tokens: int, completion_tokens: int, ending: Ending
    ) -> dict[str, Any]:
        return {
            "candidates": [
                {
                    "content": {"parts": [{"text": text}] if text else [], "role": "model"},
                    "finishReason": {"done": "STOP", "cut": "MAX_TOKENS", "withheld": "SAFETY"}[ending],
                    "index": 0,
                }
            ],
            "usageMetadata": {
                "promptTokenCount": prompt_tokens,
                "candidatesTokenCount": completion_tokens,
                "totalTokenCount": prompt_tokens + completion_tokens,
            },
            "modelVersion": model,
            "responseId": "wKpQaKHvC7mXjMcP4bO3yAk",
        }

    def refusal(self, status: int, message: str) -> dict[str, Any]:
        names = {401: "UNAUTHENTICATED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}
        return {"error": {"code": status, "message": message, "status": names.get(status, "INTERNAL")}}

    def asked(self, request: ReceivedRequest) -> str:
        contents = _body(request)["contents"]
        return "\n".join(_text(content["parts"]) for content in contents if content["role"] == "user")

    def instructions(self, request: ReceivedRequest) -> str:
        return _text(_body(request)["systemInstruction"]["parts"])

    def asked_model(self, request: ReceivedRequest) -> str:
        path = request.path.removeprefix("/v1beta/models/")
        assert path.endswith(":generateContent"), request.path
        return path.removesuffix(":generateContent")

    def max_tokens(self, request: ReceivedRequest) -> int | None:
        return cast("int | None", _body(request)["generationConfig"].get("maxOutputTokens"))

    def given_key(self, request: ReceivedRequest) -> str:
        return str(request.headers.get("X-Goog-Api-Key", ""))


VENDORS: dict[str, Vendor] = {
    vendor.kind: vendor for vendor in (OpenAi(), Claude(), Gemini(), Copilot(), Grok(), Ollama(), Mistral())
}


def _json(status: int, body: object, headers: dict[str, str] | None = None) -> Answer:
    return Answer(
        status,
        headers={"Content-Type": "application/json"} | (headers or {}),
        body=json.dumps(body).encode(),
    )


def _body(request: ReceivedRequest) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(request.body))


def _said(request: ReceivedRequest, *roles: str) -> str:
    messages = _body(request)["messages"]
    return "\n".join(_text(message["content"]) for message in messages if message["role"] in roles)


def _text(content: str | list[dict[str, Any]]) -> str:
    """A message's text: plain, or in parts."""
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content)
