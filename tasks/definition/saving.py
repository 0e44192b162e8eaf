"""What may be said against a definition that can be saved."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy.orm import Session

from storage import channels, providers
from storage.redaction import redact
from tasks.analyze.offers import offers
from tasks.definition.kinds import KINDS
from tasks.definition.model import Definition, Node
from tasks.definition.takers import takes_webhooks
from tasks.notify.stage import NotifyConfig


def warnings_of(session: Session, config: Mapping[str, Any]) -> list[str]:
    """What is allowed and may not be meant, and what a right definition cannot do here and now.

    Whom it tells is not there, or its AI is not set up.
    """
    return [*doubts_about(config), *doubts_here(session, config)]


def doubts_here(session: Session, config: Mapping[str, Any]) -> list[str]:
    """What a right definition cannot do here and now."""
    path = Definition.model_validate(config).path()
    return [f"node {node.id}: {warning}" for node in path for warning in _warnings(session, node)]


def doubts_about(config: Mapping[str, Any]) -> list[str]:
    """What is allowed, and may not be meant, wherever it runs."""
    doubts = [] if takes_webhooks(config) else ["it has no ingest node, so no webhook can go to it"]
    if redact(config) != config:
        doubts.append('config: holds a secret in plain text; a reference such as {"env": "NAME"} hides it')
    return doubts


def _warnings(session: Session, node: Node) -> Iterator[str]:
    if node.type == "notify":
        active = channels.active_channels(session)
        yield from NotifyConfig.model_validate(node.config).missing(active)
        if not active:
            yield "no notification channel is active: add one with `watchkeeper channels add`"
    elif node.type == "intelligence":
        yield from _of_provider(session, KINDS[node.type].config.model_validate(node.config))


def _of_provider(session: Session, config: Any) -> Iterator[str]:
    active = providers.find_active(session)
    kind = config.provider or (active.provider if active else "local")
    offer = next((each for each in offers() if each.provider == kind), None)
    if offer is None:
        return
    if not offer.is_installed:
        yield f"provider {kind} needs the extra for AI: `pip install 'watchkeeper[ai]'`"
    if config.provider and offer.needs_key and not offer.is_key_set and "api_key" not in config.provider_config:
        saved = [row.name for row in providers.list_providers(session) if row.provider == kind]
        hint = f"; {saved[0]!r} is saved, and used by a node that names no provider" if saved else ""
        yield f"provider {kind} has no key here: set {offer.key_variable}, or give provider_config.api_key{hint}"
