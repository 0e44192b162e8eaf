"""Mistral."""

from typing import TYPE_CHECKING, Any, ClassVar

from tasks.analyze.providers.ai import AiConfig, AiProvider

if TYPE_CHECKING:
    import httpx2
    from pydantic_ai.models import Model


class Mistral(AiProvider):
    """Ask through Mistral's Chat Completions.

    API: https://docs.mistral.ai/api/endpoint/chat
    """

    kind: ClassVar[str] = "mistral"
    key_variable: ClassVar[str] = "MISTRAL_API_KEY"

    class Config(AiConfig):
        """The seeds' default model. `base_url` is without `/v1`, which the client adds."""

        model: str = "mistral-small-latest"
        base_url: str = "https://api.mistral.ai"

    def model(self, client: "httpx2.AsyncClient") -> "Model[Any]":
        """The model behind Chat Completions."""
        from pydantic_ai.models.mistral import MistralModel  # noqa: PLC0415
        from pydantic_ai.providers.mistral import MistralProvider  # noqa: PLC0415

        provider = MistralProvider(base_url=self.config.base_url, api_key=self.key, http_client=client)
        return MistralModel(self.config.model, provider=provider)
