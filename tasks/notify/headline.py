"""What a message begins with: its title, and what has happened, by the reason for which it is sent. Pure."""

from collections.abc import Callable
from datetime import timedelta

from storage.records import AlertView, IncidentView, News
from storage.vocabulary import ALARMS, AlertStatus, IncidentStatus, NotificationReason
from tasks.hosts import host_of
from tasks.notify.text import (
    MAX_DESCRIPTION_CHARS,
    bounded_line,
    humanize_duration,
    humanize_moment,
    one_line,
    plain_text,
    shorten,
)

MAX_TITLE_CHARS = 200
MAX_HOST_CHARS = 80
MAX_NAME_CHARS = 120
SHOWN_JOINED = 5

FIRING, RESOLVED = NotificationReason.FIRING, NotificationReason.RESOLVED
ACKNOWLEDGED, ESCALATED = NotificationReason.ACKNOWLEDGED, NotificationReason.ESCALATED
REMINDER, UPDATED = NotificationReason.REMINDER, NotificationReason.UPDATED


def title_of(incident: IncidentView, reason: NotificationReason, news: News, *, episode: int) -> str:
    """What, where and how bad, on one line: `[FIRING] critical: FilesystemAlmostFull on db-03.lan (+1 more)`."""
    lead = lead_of(incident)
    name = one_line(lead.name) if lead else one_line(incident.title)
    host = one_line(host_of(lead.labels)) if lead else ""
    others = (incident.alert_count if reason is RESOLVED else incident.firing_alert_count) - 1
    ends = (f" on {shorten(host, MAX_HOST_CHARS)}" if host else "") + (
        f" (+{others:,} more)" if others > 0 else ""
    )
    start = f"[{_state(incident, reason, news, episode)}] "
    # An escalation names the severity in its state.
    start += "" if start.startswith("[ESCALATED") else f"{incident.severity}: "
    # What tells messages apart stands at both ends, so the name in the middle gives way.
    return start + shorten(name, MAX_TITLE_CHARS - len(start) - len(ends)) + ends


def headline_of(incident: IncidentView, reason: NotificationReason, news: News, *, episode: int) -> str:
    """What has happened, since when, and who did it; a line or a few."""
    if episode != incident.episode:
        return _past(incident, reason)
    if reason in ALARMS and (over := _over_at(incident)):
        return f"Began to fire at {humanize_moment(incident.started_at)}, and was over at {over}."
    return _HEADLINES[reason](incident, news)


def stand_in_line(instead_of: str) -> str:
    """Why a channel is told what another should have been told; empty where none should."""
    return f"Channel {one_line(instead_of)} could not be told, so this one is." if instead_of else ""


def lead_of(incident: IncidentView) -> AlertView | None:
    """The alert that speaks for the incident: the worst that fires, else the worst."""
    return max(
        incident.alerts,
        key=lambda alert: (alert.status is AlertStatus.FIRING, alert.severity.rank),
        default=None,
    )


def _state(incident: IncidentView, reason: NotificationReason, news: News, episode: int) -> str:
    if reason is RESOLVED:
        return (
            f"RESOLVED after {_lasted(incident)}"
            if _lasted(incident) and episode == incident.episode
            else "RESOLVED"
        )
    if reason in ALARMS and (over := _over_at(incident)):
        return f"WAS FIRING, over at {over}"
    if reason is ESCALATED:
        return f"ESCALATED to {news.level or incident.severity}"
    if reason is REMINDER:
        return f"STILL FIRING, {humanize_duration(news.at - incident.started_at)}"
    if reason is UPDATED and news.joined_count:
        return f"UPDATED, {news.joined_count:,} more"
    return reason.upper()


def _firing(incident: IncidentView, _news: News) -> str:
    return f"Firing since {humanize_moment(incident.started_at)}."


def _resolved(incident: IncidentView, _news: News) -> str:
    did = "Closed" if incident.resolved_at is None and incident.closed_at else "Resolved"
    text = f"{did}{_by(incident.ended_by)}"
    if over := _over_at(incident):
        text += f" at {over}, after {_lasted(incident)}. It began at {humanize_moment(incident.started_at)}"
    if not incident.closing_summary.strip():
        return f"{text}."
    return f"{text}.\nSummary: {shorten(plain_text(incident.closing_summary).strip(), MAX_DESCRIPTION_CHARS)}"


def _acknowledged(incident: IncidentView, _news: News) -> str:
    at = incident.acknowledged_at
    text = f"Acknowledged{_by(incident.acknowledged_by)}" + (f" at {humanize_moment(at)}." if at else ".")
    if over := _over_at(incident):
        return f"{text} It was over at {over}."
    if incident.status is IncidentStatus.OPEN:
        text += " It is open again."
    return f"{text} {_still_fires(incident)}"


def _escalated(incident: IncidentView, news: News) -> str:
    level = news.level or incident.severity
    text = f"Escalated to {level}"
    if news.raised and news.raised_from:
        text += f": {_named(news.raised)} was {news.raised_from} before"
    since = f" It is {incident.severity} now." if incident.severity is not level else ""
    return f"{text}.{since} {_still_fires(incident)}"


def _reminder(incident: IncidentView, news: News) -> str:
    lasts = humanize_duration(news.at - incident.started_at)
    text = f"Still firing, for {lasts} now: since {humanize_moment(incident.started_at)}."
    text += " Nobody has acknowledged it." if incident.status is IncidentStatus.OPEN else ""
    return "\n".join([text, *_changes(news)])


def _updated(incident: IncidentView, news: News) -> str:
    return "\n".join([*_changes(news), _still_fires(incident)])


def _changes(news: News) -> list[str]:
    """What is new since the channel was told last."""
    if news.since is None:
        return []
    counts = {"joined": news.joined_count, "ended": news.ended_count}
    told = " and ".join(f"{count:,} {did}" for did, count in counts.items() if count)
    since = humanize_moment(news.since)
    if not told:
        return [f"No alert has joined it or ended since the last message, at {since}."]
    lines = [f"Since the last message, at {since}: {told}{':' if news.joined else '.'}"]
    lines += [f"- {alert.severity} {_named(alert)}" for alert in news.joined[:SHOWN_JOINED]]
    unseen = news.joined_count - min(len(news.joined), SHOWN_JOINED)
    return lines + ([f"… and {unseen:,} more"] if news.joined and unseen > 0 else [])


def _past(incident: IncidentView, reason: NotificationReason) -> str:
    """Of an episode that another has followed nothing more is known than that."""
    said = "It is over" if reason is RESOLVED else "It began to fire and was over"
    again = "and has fired again since" if _over_at(incident) else "and fires again, since"
    return f"{said}, {again} {humanize_moment(incident.started_at)}."


def _over_at(incident: IncidentView) -> str:
    over = incident.resolved_at or incident.closed_at
    return humanize_moment(over) if over else ""


def _lasted(incident: IncidentView) -> str:
    over = incident.resolved_at or incident.closed_at
    return humanize_duration(max(over - incident.started_at, timedelta())) if over else ""


def _still_fires(incident: IncidentView) -> str:
    return f"It still fires, since {humanize_moment(incident.started_at)}."


def _by(author: str) -> str:
    name = shorten(one_line(author), MAX_NAME_CHARS)
    return f" by {name}" if name else ""


def _named(alert: AlertView) -> str:
    host = one_line(host_of(alert.labels))
    return bounded_line(alert.name + (f" on {host}" if host else ""))


_HEADLINES: dict[NotificationReason, Callable[[IncidentView, News], str]] = {
    FIRING: _firing,
    RESOLVED: _resolved,
    ACKNOWLEDGED: _acknowledged,
    ESCALATED: _escalated,
    REMINDER: _reminder,
    UPDATED: _updated,
}
