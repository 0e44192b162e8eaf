"""Ollama: models on a machine of one's own."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, SecretStr

from tasks.analyze.providers.ai import AiConfig, AiProvider

if TYPE_CHECKING:
    import httpx2
    from pydantic_ai.models import Model


class Ollama(AiProvider):
    """Ask through the part of OpenAI's Chat Completions that Ollama knows.

    API: https://docs.ollama.com/api/openai-compatibility
    """

    kind: ClassVar[str] = "ollama"
    key_variable: ClassVar[str] = ""

    class Config(AiConfig):
        """The seeds' default model. `api_key` is for a proxy in front of Ollama, which itself reads none.

        Ollama cuts off, without a word, what its context has no room for: 4,096 tokens on a small machine, for
        question and answer together (https://docs.ollama.com/context-length).
        """

        model: str = "llama3.1"
        base_url: str = "http://127.0.0.1:11434/v1"
        api_key: SecretStr = SecretStr("none")
        timeout_seconds: float = Field(default=40, gt=0, le=600)
        max_input_tokens: int = Field(default=3_000, ge=1_000, le=500_000)
        max_tokens: int = Field(default=1_000, ge=100, le=32_000)

    def model(self, client: "httpx2.AsyncClient") -> "Model[Any]":
        """The model behind Chat Completions."""
        from pydantic_ai.models.ollama import OllamaModel  # noqa: PLC0415
        from pydantic_ai.profiles.openai import OpenAIModelProfile  # noqa: PLC0415
        from pydantic_ai.providers.ollama import OllamaProvider  # noqa: PLC0415

        return OllamaModel(
            self.config.model,
            provider=OllamaProvider(base_url=self.config.base_url, api_key=self.key, http_client=client),
            # Ollama ignores max_completion_tokens, the newer name of the bound on the answer.
            profile=OpenAIModelProfile(openai_chat_supports_max_completion_tokens=False),
        )
