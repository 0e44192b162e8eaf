"""Google's Gemini."""

from typing import TYPE_CHECKING, Any, ClassVar

from tasks.analyze.providers.ai import AiConfig, AiProvider

if TYPE_CHECKING:
    import httpx2
    from pydantic_ai.models import Model


class Gemini(AiProvider):
    """Ask through generateContent of the Gemini API.

    API: https://ai.google.dev/api/generate-content
    """

    kind: ClassVar[str] = "gemini"
    key_variable: ClassVar[str] = "GEMINI_API_KEY"

    class Config(AiConfig):
        """The seeds' default model. `base_url` is without `/v1beta`, which the client adds."""

        model: str = "gemini-2.0-flash"
        base_url: str = "https://generativelanguage.googleapis.com"

    def model(self, client: "httpx2.AsyncClient") -> "Model[Any]":
        """The model behind generateContent."""
        from pydantic_ai.models.google import GoogleModel  # noqa: PLC0415
        from pydantic_ai.providers.google import GoogleProvider  # noqa: PLC0415

        provider = GoogleProvider(base_url=self.config.base_url, api_key=self.key, http_client=client)
        return GoogleModel(self.config.model, provider=provider)
