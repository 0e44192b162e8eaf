"""OpenAI, and whatever speaks its protocol: gateways and self-hosted models."""

from typing import TYPE_CHECKING, Any, ClassVar

from tasks.analyze.providers.ai import AiConfig, AiProvider

if TYPE_CHECKING:
    import httpx2
    from pydantic_ai.models import Model


class OpenAi(AiProvider):
    """Ask through Chat Completions.

    API: https://platform.openai.com/docs/api-reference/chat
    """

    kind: ClassVar[str] = "openai"
    key_variable: ClassVar[str] = "OPENAI_API_KEY"

    class Config(AiConfig):
        """The seeds' default model."""

        model: str = "gpt-4o-mini"
        base_url: str = "https://api.openai.com/v1"

    def model(self, client: "httpx2.AsyncClient") -> "Model[Any]":
        """The model behind Chat Completions."""
        from pydantic_ai.models.openai import OpenAIChatModel  # noqa: PLC0415
        from pydantic_ai.providers.openai import OpenAIProvider  # noqa: PLC0415

        provider = OpenAIProvider(base_url=self.config.base_url, api_key=self.key, http_client=client)
        return OpenAIChatModel(self.config.model, provider=provider)
