"""The alerting of Grafana's dashboards, to version 10: the state of one rule, without any time.

Format: https://grafana.com/docs/grafana/v8.5/alerting/old-alerting/notifications/#webhook
A rule is one alert, however many series match: `ok` carries no matches, so an alert of each could not end.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from storage.records import ParsedAlert
from storage.vocabulary import AlertStatus, Severity
from tasks.ingest.fingerprint import bounded
from tasks.ingest.severity import normalise_severity
from tasks.ingest.sources.base import UnreadablePayloadError, first_text, text_of, texts_of

MARKS = frozenset(["ruleId", "ruleName", "ruleUrl", "evalMatches", "dashboardId", "panelId"])
FEWEST_MARKS = 2
FEWEST_MARKS_ELSE = 3
FIRING = {"alerting": Severity.CRITICAL, "no_data": Severity.WARNING}
RESOLVED = "ok"
UNCHANGED = frozenset(["pending", "paused", "unknown"])
HOSTS = ("instance", "host", "hostname")
ANNOTATIONS = {
    "ruleUrl": "rule_url",
    "imageUrl": "image_url",
    "orgId": "org_id",
    "dashboardId": "dashboard_id",
    "panelId": "panel_id",
    "ruleId": "rule_id",
}


def detect(payload: Any) -> bool:
    """The state of a rule, or several of the fields that only this has; and no list of alerts."""
    if not isinstance(payload, Mapping) or "alerts" in payload:
        return False
    marks = MARKS & payload.keys()
    return len(marks) >= (FEWEST_MARKS if {"ruleId", "state"} <= payload.keys() else FEWEST_MARKS_ELSE)


def check(payload: Mapping[str, Any]) -> None:
    """The rule has an id and a state that is known. Raises UnreadablePayloadError."""
    if not text_of(payload.get("ruleId")):
        raise UnreadablePayloadError("ruleId is missing")
    if _state(payload) not in {*FIRING, RESOLVED, *UNCHANGED}:
        raise UnreadablePayloadError(f"state must be one of {', '.join([*FIRING, RESOLVED, *sorted(UNCHANGED)])}")


def parse_rule(payload: Mapping[str, Any]) -> ParsedAlert | None:
    """The alert of the rule that `check` let pass; None where its state changes nothing."""
    state = _state(payload)
    if state in UNCHANGED:
        return None
    tags = texts_of(payload.get("tags") or None, "tags")
    matches = list(_matches(payload))
    rule = f"{text_of(payload.get('orgId'))}:{text_of(payload.get('ruleId'))}"
    raw_severity = tags.get("severity") or (state if state in FIRING else "")
    return ParsedAlert(
        fingerprint=bounded(rule),
        name=_name(payload),
        status=AlertStatus.FIRING if state in FIRING else AlertStatus.RESOLVED,
        severity=normalise_severity(tags.get("severity", "")) or FIRING.get(state),
        raw_severity=raw_severity,
        description=_description(payload, state, matches),
        labels=_host(matches) | tags,
        annotations=_annotations(payload, matches),
        started_at=None,
        # Rules of one name are common, one in each copy of a dashboard, and nothing else groups them.
        group_key=rule,
        raw_payload=dict(payload),
    )


def _state(payload: Mapping[str, Any]) -> str:
    return text_of(payload.get("state")).strip().casefold()


def _name(payload: Mapping[str, Any]) -> str:
    # The title has the state in front: [Alerting], [OK], [No Data].
    title = text_of(payload.get("title"))
    bare = title.partition("]")[2].strip() if title.startswith("[") else title
    name = text_of(payload.get("ruleName")) or bare
    if not name:
        raise UnreadablePayloadError("ruleName is missing")
    return name


def _description(payload: Mapping[str, Any], state: str, matches: list[Mapping[str, Any]]) -> str:
    text = text_of(payload.get("message")) or _values(matches)
    return text if state != "no_data" else f"No data. {text}".strip()


def _annotations(payload: Mapping[str, Any], matches: list[Mapping[str, Any]]) -> dict[str, str]:
    found = {ours: first_text(payload, theirs) for theirs, ours in ANNOTATIONS.items()}
    found |= {"eval_matches": _values(matches)}
    return {name: text for name, text in found.items() if text}


def _matches(payload: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    matches = payload.get("evalMatches")
    yield from (match for match in (matches if isinstance(matches, list) else []) if isinstance(match, Mapping))


def _values(matches: list[Mapping[str, Any]]) -> str:
    return "\n".join(f"{text_of(match.get('metric'))}: {text_of(match.get('value'))}" for match in matches)


def _host(matches: list[Mapping[str, Any]]) -> dict[str, str]:
    """The host that all series are of, where they name one and the same."""
    tags = [match["tags"] for match in matches if isinstance(match.get("tags"), Mapping)]
    for name in HOSTS:
        hosts = {text_of(each.get(name)) for each in tags}
        if len(hosts) == 1 and hosts != {""}:
            return {name: hosts.pop()}
    return {}
