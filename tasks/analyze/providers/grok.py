"""xAI's Grok."""

from typing import TYPE_CHECKING, Any, ClassVar

from tasks.analyze.providers.ai import AiConfig, AiProvider

if TYPE_CHECKING:
    import httpx2
    from pydantic_ai.models import Model


class Grok(AiProvider):
    """Ask through xAI's Chat Completions, which follow OpenAI's.

    API: https://docs.x.ai/docs/api-reference
    """

    kind: ClassVar[str] = "grok"
    key_variable: ClassVar[str] = "XAI_API_KEY"

    class Config(AiConfig):
        """The seeds' default model."""

        model: str = "grok-3-mini"
        base_url: str = "https://api.x.ai/v1"

    def model(self, client: "httpx2.AsyncClient") -> "Model[Any]":
        """The model behind Chat Completions."""
        from pydantic_ai.models.openai import OpenAIChatModel  # noqa: PLC0415
        from pydantic_ai.providers.openai import OpenAIProvider  # noqa: PLC0415

        provider = OpenAIProvider(base_url=self.config.base_url, api_key=self.key, http_client=client)
        return OpenAIChatModel(self.config.model, provider=provider)
