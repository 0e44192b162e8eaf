"""GitHub Copilot."""

from typing import TYPE_CHECKING, Any, ClassVar

from tasks.analyze.providers.ai import AiConfig, AiProvider

if TYPE_CHECKING:
    import httpx2
    from pydantic_ai.models import Model


class Copilot(AiProvider):
    """Ask through Chat Completions as Copilot serves them. Which models it has depends on the plan.

    API: https://docs.github.com/en/copilot; companies on GitHub Enterprise have a base URL of their own.
    """

    kind: ClassVar[str] = "copilot"
    key_variable: ClassVar[str] = "COPILOT_GITHUB_TOKEN"

    class Config(AiConfig):
        """The seeds' default model. `api_key` is a Copilot token."""

        model: str = "gpt-4o"
        base_url: str = "https://api.githubcopilot.com"

    def model(self, client: "httpx2.AsyncClient") -> "Model[Any]":
        """The model behind Copilot."""
        from pydantic_ai.models.github_copilot import GitHubCopilotModel  # noqa: PLC0415
        from pydantic_ai.providers.github_copilot import GitHubCopilotProvider  # noqa: PLC0415

        provider = GitHubCopilotProvider(base_url=self.config.base_url, api_key=self.key, http_client=client)
        return GitHubCopilotModel(self.config.model, provider=provider)
