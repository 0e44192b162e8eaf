"""Anthropic's Claude, and gateways that speak its protocol."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tasks.analyze.providers.ai import AiConfig, AiProvider

if TYPE_CHECKING:
    import httpx2
    from pydantic_ai.models import Model


class Claude(AiProvider):
    """Ask through Messages.

    API: https://docs.anthropic.com/en/api/messages
    """

    kind: ClassVar[str] = "claude"
    key_variable: ClassVar[str] = "ANTHROPIC_API_KEY"

    class Config(AiConfig):
        """The seeds' default model. `base_url` is without `/v1`, which the client adds.

        Anthropic's own keys go into the header `x-api-key`
        (https://docs.anthropic.com/en/api/overview); some gateways want theirs as a bearer token.
        """

        model: str = "claude-sonnet-4-20250514"
        base_url: str = "https://api.anthropic.com"
        auth: Literal["x-api-key", "bearer"] = "x-api-key"

    config: Config

    def model(self, client: "httpx2.AsyncClient") -> "Model[Any]":
        """The model behind Messages."""
        from anthropic import AsyncAnthropic, omit  # noqa: PLC0415
        from pydantic_ai.models.anthropic import AnthropicModel  # noqa: PLC0415
        from pydantic_ai.providers.anthropic import AnthropicProvider  # noqa: PLC0415

        headers: Any = {"X-Api-Key": self.key, "Authorization": omit} if self.config.auth == "x-api-key" else {}
        anthropic = AsyncAnthropic(
            base_url=self.config.base_url, auth_token=self.key, default_headers=headers, http_client=client
        )
        return AnthropicModel(self.config.model, provider=AnthropicProvider(anthropic_client=anthropic))
