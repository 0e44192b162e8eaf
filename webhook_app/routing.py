"""Which pipeline takes a webhook whose URL names none. Nothing is ever refused because of the routes."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import current_app

from storage.records import ParsedAlert
from tasks.definition.routes import decide, needs_alerts
from tasks.ingest import sources
from tasks.ingest.sources.base import UnreadablePayloadError
from webhook_app.state import HeldRoutes, state

ROUTE_MAX_CHARS = 160

log = logging.getLogger("watchkeeper.receiver")


@dataclass(frozen=True)
class Choice:
    """A pipeline, and which rule chose it; no rule did where there are none."""

    pipeline: str
    route: str = ""


def choose_default() -> Choice:
    """What takes a webhook that no rule can be held against."""
    held = state().routes()
    return Choice(_installations_default()) if held is None else _default_of(held)


def choose(payload: Any, source: str) -> Choice:
    """What takes a webhook that its source reads."""
    held = state().routes()
    if held is None or not held.routes.rules:
        return choose_default()
    environment = current_app.config["WATCHKEEPER"].environment
    alerts = _alerts(payload, source) if needs_alerts(held.routes, source=source, environment=environment) else ()
    decision = decide(held.routes, source=source, environment=environment, alerts=alerts, default="")
    if decision.rule is None:
        return _default_of(held)
    rule = held.routes.label(decision.rule)
    if not state().is_known(decision.pipeline):
        return _default_instead(held, rule, decision.pipeline)
    return _choice(decision.pipeline, held, rule)


def _default_of(held: HeldRoutes) -> Choice:
    default = held.routes.default
    if not default:
        return _choice(_installations_default(), held, "default")
    if not state().is_known(default):
        return _default_instead(held, "default", default)
    return _choice(default, held, "default")


def _default_instead(held: HeldRoutes, rule: str, gone: str) -> Choice:
    """The default, since the pipeline is gone that a rule, or the rules' own default, names."""
    log.warning("route names no pipeline that takes webhooks", extra={"rule": rule, "pipeline": gone})
    default = held.routes.default
    pipeline = default if default not in ("", gone) and state().is_known(default) else _installations_default()
    return _choice(pipeline, held, f"{rule} names {gone}, which is gone: default")


def _choice(pipeline: str, held: HeldRoutes, rule: str) -> Choice:
    return Choice(pipeline, f"version {held.version}, {rule}"[:ROUTE_MAX_CHARS])


def _installations_default() -> str:
    pipeline: str = current_app.config["WATCHKEEPER"].pipeline
    return pipeline


def _alerts(payload: Any, source: str) -> Sequence[ParsedAlert]:
    try:
        return sources.parse(payload, source=source).alerts
    except UnreadablePayloadError:
        return ()
    except Exception:
        # Whatever is wrong with the parser, the webhook is kept; ingest says what it is.
        log.exception("webhook not routed by its alerts", extra={"source": source})
        return ()
