"""What a template may see of a message (seeds, Notify App). Pure."""

from collections.abc import Callable
from typing import Any

from tasks.notify.message import Notification
from tasks.notify.web_links import web_links


def variables_of(notification: Notification) -> dict[str, Any]:
    """JSON values by name; sandbox.py's VARIABLES lists the names.

    `incident` is the incident's own fields with its alerts, the metrics and summaries of the checks by checker,
    and the analysis's summary, probable_cause and recommendations. Of the links, those to the web. `outputs` is
    what transform nodes made, by node id.
    """
    return {
        "reason": notification.reason.value,
        "title": notification.title,
        "message": notification.message,
        "severity": notification.severity,
        "channel": notification.channel,
        "tags": notification.tags,
        "context": notification.context,
        "links": web_links(notification),
        "outputs": notification.outputs,
        "incident": _incident(notification.context),
    }


def escaped(value: Any, escape: Callable[[str], str]) -> Any:
    """A copy of a JSON value with every text in it escaped, names too."""
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, dict):
        return {escape(str(name)): escaped(entry, escape) for name, entry in value.items()}
    if isinstance(value, list):
        return [escaped(entry, escape) for entry in value]
    return value


def _incident(context: dict[str, Any]) -> dict[str, Any]:
    analysis = _mapping(_mapping(context, "analysis"), "analysis")
    checks = {
        str(check.get("checker_name")): check for check in _list(context, "checks") if isinstance(check, dict)
    }
    return {
        **_mapping(context, "incident"),
        "alerts": _list(context, "alerts"),
        "metrics": {name: _mapping(check, "metrics") for name, check in checks.items()},
        "summaries": {name: check.get("message") or check.get("error") or "" for name, check in checks.items()},
        "summary": analysis.get("summary") or "",
        "probable_cause": analysis.get("probable_cause") or "",
        "recommendations": _list(analysis, "recommendations"),
    }


def _mapping(values: dict[str, Any], name: str) -> dict[str, Any]:
    part = values.get(name)
    return part if isinstance(part, dict) else {}


def _list(values: dict[str, Any], name: str) -> list[Any]:
    part = values.get(name)
    return part if isinstance(part, list) else []
