"""Next steps: what to do about a finding, in which order, and with which commands."""

from typing import Any

from storage.records import IncidentView, Recommendation
from storage.vocabulary import CheckStatus, RecommendationPriority, RecommendationType, Severity
from tasks.analyze.rules import history, space
from tasks.analyze.rules.actions import actions_for
from tasks.analyze.rules.aim import description
from tasks.analyze.rules.facts import biggest_users
from tasks.analyze.rules.finding import ENDED, OVER, Finding, Support
from tasks.analyze.rules.scene import Scene
from tasks.analyze.rules.subject import RECOVERABLE
from tasks.analyze.rules.text import MAX_HOSTS_NAMED
from tasks.analyze.rules.wording import place_of
from tasks.analyze.topic import DISK

PRIORITY: dict[Severity | CheckStatus, RecommendationPriority] = {
    Severity.CRITICAL: RecommendationPriority.CRITICAL,
    Severity.WARNING: RecommendationPriority.HIGH,
    Severity.INFO: RecommendationPriority.MEDIUM,
    CheckStatus.CRITICAL: RecommendationPriority.CRITICAL,
    CheckStatus.WARNING: RecommendationPriority.HIGH,
    CheckStatus.UNKNOWN: RecommendationPriority.MEDIUM,
    CheckStatus.OK: RecommendationPriority.LOW,
}
# Where the affected host reads what is normal.
LOWERED = {
    Severity.CRITICAL: RecommendationPriority.MEDIUM,
    Severity.WARNING: RecommendationPriority.LOW,
    Severity.INFO: RecommendationPriority.LOW,
}
MAX_THINGS_IN_DETAILS = 5


def recommend(scene: Scene, finding: Finding, *, is_first: bool, max_processes: int) -> Recommendation:
    """What to do about a finding; the first one is what the incident is about."""
    place, incident = place_of(scene), scene.incident
    is_contradicted = finding.support is Support.CONTRADICTED
    title = "Check whether it is over" if is_contradicted else finding.subject.title
    return Recommendation(
        type=finding.topic,
        priority=_priority(incident if is_first else None, finding),
        title=f"{title} on {place}" if place else title,
        description=description(scene, finding, is_first=is_first),
        details=_details(scene, finding, max_processes),
        actions=actions_for(scene, finding),
        incident_id=incident.id if incident else None,
    )


def recall(scene: Scene, topic: RecommendationType) -> Recommendation | None:
    """What is known from earlier incidents of the group, if there are any."""
    incident, earlier = scene.incident, scene.earlier
    if incident is None or not earlier:
        return None
    told, actions = history.sentences(earlier), []
    if time_of_day := history.time_of_day(incident, earlier):
        told += f"\nIt always began {time_of_day}: something that is scheduled may cause it."
        actions = [
            "systemctl list-timers --all  # what systemd starts, and when",
            "cat /etc/crontab /etc/cron.d/* 2>/dev/null  # what cron starts",
        ]
    return Recommendation(
        type=topic,
        priority=RecommendationPriority.LOW if incident.status in ENDED else RecommendationPriority.MEDIUM,
        title="See how it went before",
        description=told,
        details={"basis": "earlier_incidents", "earlier": history.details(earlier)},
        actions=actions,
        incident_id=incident.id,
    )


def _priority(incident: IncidentView | None, finding: Finding) -> RecommendationPriority:
    """By the incident's severity where the finding is about one, else by the check's status."""
    if incident and incident.status not in ENDED:
        is_contradicted = finding.support is Support.CONTRADICTED
        return LOWERED[incident.severity] if is_contradicted else PRIORITY[incident.severity]
    if incident or not finding.check:
        return RecommendationPriority.LOW
    return PRIORITY[finding.check.status]


def _details(scene: Scene, finding: Finding, max_processes: int) -> dict[str, Any]:
    """What the recommendation was made from. Processes and disks only where they are the affected host's."""
    details: dict[str, Any] = {
        "basis": finding.support.name.lower(),
        "hosts": scene.affected_hosts[:MAX_HOSTS_NAMED],
        "readings_of": scene.own_host,
    }
    if check := finding.check:
        shown = {"checker_name", "status", "warning_threshold", "critical_threshold"}
        details["check"] = check.model_dump(mode="json", include=shown)
        if check.checker_name in RECOVERABLE:
            details["space"] = space.details(check, now=space.measured_at(scene))
    if things := _things_over(finding):
        details["disks" if finding.topic is DISK else "things"] = things
    if processes := biggest_users(scene, finding.topic)[:max_processes]:
        details["processes"] = processes
    return details


def _things_over(finding: Finding) -> dict[str, str]:
    """What the readings say of each thing that is over a threshold, the worst first."""
    over = [reading for reading in finding.check.readings if reading.status in OVER] if finding.check else []
    worst_first = sorted(over, key=lambda reading: (-reading.status.rank, -(reading.value or 0)))
    return {reading.target: reading.message for reading in worst_first[:MAX_THINGS_IN_DETAILS] if reading.target}
