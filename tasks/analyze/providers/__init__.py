"""The providers, and how a configured one is made.

To add one: a module with a class that fulfils `base.Provider`, and a line here.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from storage.vocabulary import FailureKind
from tasks.analyze.providers.base import Provider
from tasks.analyze.providers.form import check_form, faults_in
from tasks.analyze.providers.registry import Registry
from tasks.errors import PermanentError
from tasks.secrets import resolve

PROVIDERS = Registry(
    {
        "local": "tasks.analyze.providers.local:Local",
        "openai": "tasks.analyze.providers.openai:OpenAi",
        "claude": "tasks.analyze.providers.claude:Claude",
        "gemini": "tasks.analyze.providers.gemini:Gemini",
        "copilot": "tasks.analyze.providers.copilot:Copilot",
        "grok": "tasks.analyze.providers.grok:Grok",
        "ollama": "tasks.analyze.providers.ollama:Ollama",
        "mistral": "tasks.analyze.providers.mistral:Mistral",
    }
)


class UnreadableSecretError(PermanentError):
    """A config refers to a secret that cannot be read here; the message names the field and the reference."""


def build(kind: str, config: Mapping[str, Any]) -> Provider:
    """A provider with its secrets resolved; a key that is not given is that of the vendor's variable.

    Names and values are looked at before any secret, so that an error names what was mistyped first. Raises
    PermanentError naming the provider and the fields that are wrong, never a value (UnreadableSecretError for a
    secret); TransientError where a secret's keeper cannot be reached.
    """
    provider = PROVIDERS.get(kind)
    if provider is None:
        raise PermanentError(f"provider: {kind!r} is none of {', '.join(PROVIDERS)}", kind=FailureKind.NOT_SET_UP)
    given = provider.defaults() | dict(config)
    try:
        check_form(provider.Config, given)
        return provider(provider.Config.model_validate(_resolved(given)))
    except UnreadableSecretError as error:
        raise UnreadableSecretError(
            f"provider {kind!r}: {error}", kind=error.kind or FailureKind.NOT_SET_UP
        ) from None
    except PermanentError as error:
        raise PermanentError(f"provider {kind!r}: {error}", kind=error.kind or FailureKind.NOT_SET_UP) from None
    except ValidationError as error:  # not chained: it holds the values
        raise PermanentError(
            f"provider {kind!r}: {faults_in(error, provider.Config)}", kind=FailureKind.NOT_SET_UP
        ) from None


def _resolved(config: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return resolve(config)
    except PermanentError as error:
        raise UnreadableSecretError(str(error), kind=error.kind or FailureKind.NOT_SET_UP) from None
