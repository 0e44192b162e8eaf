"""What a channel is told, and how often, in plain words."""

from datetime import timedelta

from storage.records import ChannelPolicy
from storage.vocabulary import Severity
from tasks.notify.text import humanize_duration


def policy_words(policy: ChannelPolicy, *, rate_per_minute: float) -> list[str]:
    """One sentence for each point; `rate_per_minute` is the limit that holds, 0 for none."""
    return [
        _severity(policy.min_severity),
        f"Told when an incident is {', '.join(policy.on)}." if policy.on else "Told of nothing by itself.",
        _every(policy.repeat_interval_seconds, "Reminded", "of an incident that still fires"),
        _every(policy.update_interval_seconds, "Told", "of alerts that have joined an incident"),
        f"At most {rate_per_minute:g} messages a minute." if rate_per_minute else "No limit of messages a minute.",
        f"What cannot be delivered goes to {policy.fallback}."
        if policy.fallback
        else "No channel stands in for it.",
    ]


def _severity(least: Severity) -> str:
    if least is Severity.INFO:
        return "Told of incidents of every severity."
    return f"Told of incidents of severity {least} and above."


def _every(seconds: float, told: str, of: str) -> str:
    if not seconds:
        return f"Never {told.lower()} {of}."
    return f"{told} every {humanize_duration(timedelta(seconds=seconds))} {of}."
