"""Which kinds of providers there are and what each of them still needs here, and those that are saved."""

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from storage.records import Record
from storage.redaction import redact
from tasks.analyze.providers import PROVIDERS
from tasks.analyze.providers.ai import AiProvider
from tasks.analyze.providers.base import Provider

if TYPE_CHECKING:
    from storage.tables import IntelligenceProvider

# What the local rules name as their model.
RULES = "rules"


class Offer(Record):
    """A kind of provider with its default model.

    `key_variable` is the environment variable that its key is read from where a config gives none; empty for a
    kind that needs none.
    """

    provider: str
    model: str
    needs_key: bool
    key_variable: str
    is_key_set: bool
    is_installed: bool


def offers() -> list[Offer]:
    """All kinds, in their order. Nothing is imported for that, and nobody asked."""
    return [_offer(kind, provider) for kind, provider in PROVIDERS.items()]


def saved_fields(row: "IntelligenceProvider") -> dict[str, Any]:
    """A saved provider as it may be shown."""
    fields = {
        "name": row.name,
        "provider": row.provider,
        "is_active": row.is_active,
        "config": row.config,
        "description": row.description,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }
    shown: dict[str, Any] = redact(fields)
    return shown


def is_extra_installed() -> bool:
    """Whether the package's extra for AI providers is there."""
    return find_spec("pydantic_ai") is not None


def _offer(kind: str, provider: type[Provider]) -> Offer:
    is_ai = issubclass(provider, AiProvider)
    variable = getattr(provider, "key_variable", "")
    return Offer(
        provider=kind,
        model=str(provider.Config.model_fields["model"].default) if is_ai else RULES,
        needs_key=bool(variable),
        key_variable=variable,
        is_key_set=bool(os.environ.get(variable)),
        is_installed=not is_ai or is_extra_installed(),
    )
