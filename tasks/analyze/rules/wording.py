"""The sentences of an answer: summary, probable cause, and what was measured."""

from collections.abc import Sequence

from storage.records import CheckResult, IncidentView
from storage.redaction import redact_text
from storage.vocabulary import CheckStatus
from tasks.analyze.rules import messages, space
from tasks.analyze.rules.diagnosis import over
from tasks.analyze.rules.facts import facts
from tasks.analyze.rules.finding import ENDED, Finding, Support
from tasks.analyze.rules.naming import PATH_LABELS
from tasks.analyze.rules.scene import Scene
from tasks.analyze.rules.subject import RECOVERABLE
from tasks.analyze.rules.text import named, one_line
from tasks.analyze.topic import CPU, DISK, MAX_TEXT_CHARS, MEMORY, NETWORK, PROCESS, TEXT_ANNOTATIONS
from tasks.hosts import Origin

# Of what alerts say of themselves.
MAX_TEXTS = 10
MAX_SAID = 2
MAX_LISTED = 5
MAX_SAID_CHARS = 300
_RUNNING = ("unit", "pod", "container", "process", "deployment", "statefulset", "daemonset", "job_name")
# The labels that say which one of its kind is meant.
THING_LABELS = {
    DISK: (*PATH_LABELS, "device", "disk"),
    NETWORK: ("interface", "device", "url"),
    PROCESS: _RUNNING,
    MEMORY: _RUNNING,
    CPU: _RUNNING,
}


def summary(scene: Scene, findings: Sequence[Finding]) -> str:
    """What there is to know in two sentences."""
    if scene.incident is None:
        return _summary_of_checks(scene, findings)
    incident, finding = scene.incident, findings[0]
    title = one_line(incident.title)
    if incident.status in ENDED:
        end = f" since {incident.resolved_at:%Y-%m-%d %H:%M} UTC" if incident.resolved_at else ""
        return f"{title} is {incident.status}{end}. Nothing is urgent."
    counts = f"{incident.firing_alert_count} of {incident.alert_count} alerts firing"
    state = f", {counts}" if incident.alert_count > 1 else ""
    return f"{title}: {incident.severity}{state}. {_second_sentence(scene, finding)}"


def cause(scene: Scene, finding: Finding) -> str:
    """The probable cause, and what speaks for it or against it."""
    words, told = f"The alert's words point to {_what(scene, finding)}", measured(scene, finding)
    match finding.support:
        case Support.CONFIRMED:
            sentence = known(scene, finding) if _explains(scene, finding) else told
        case Support.RELATED if finding.effect:
            sentence = f"{told} That may explain what the alert is about: {finding.effect.message}."
        case Support.RELATED:
            sentence = f"{words}, perhaps to this: {told}"
        case Support.CONTRADICTED:
            sentence = (
                f"{words}, but what {scene.own_host} reads of it now is normal: it may come "
                "in bursts, be over already, or be measured differently by whoever sent the alert."
            )
        case Support.READINGS_ONLY:
            sentence = f"The alert's words name no resource, but on the same host: {told}"
        case Support.NOTHING if scene.incident is None:
            sentence = f"Not known: {told}"
        case Support.UNMEASURED if finding.subject.happened and finding.check:
            sentence = f"{words}."
        case Support.NOTHING:
            unknown = "The alert's words name no resource, so the local rules know no cause."
            sentence = f"{unknown} {whose_readings(scene)}"
        case _:
            sentence = f"{words}. {told or whose_readings(scene)}"
    is_proven = finding.support in (Support.CONFIRMED, Support.RELATED)
    return sentence if is_proven or scene.incident is None else f"{sentence} {_said(scene.incident)}".strip()


def measured(scene: Scene, finding: Finding) -> str:
    """The reading as a sentence, and what else is known of it; empty where nothing was read."""
    reader, check = scene.own_host or "this host", finding.check
    more = known(scene, finding)
    if check is None:
        return f"On {reader}: {more}" if more and finding.support is not Support.NOTHING else ""
    return f"On {reader}: {check.message}. {more}".strip()


def known(scene: Scene, finding: Finding) -> str:
    """What there is to say of it beside the check's own message; empty for nothing."""
    check = finding.check
    if check and check.checker_name in RECOVERABLE:
        return space.sentences(check, now=space.measured_at(scene))
    is_calm = check is not None and check.status is CheckStatus.OK
    # How full the disks are has no bearing on one that is slow, hot or failing.
    has_bearing = finding.topic is not DISK or not finding.subject.is_apart
    return facts(scene, finding.topic) if has_bearing and not is_calm else ""


def _explains(scene: Scene, finding: Finding) -> bool:
    """Whether what is known says more than the message, which then stands in the summary."""
    return finding.topic in (CPU, MEMORY) and not finding.subject.is_apart and bool(known(scene, finding))


def whose_readings(scene: Scene) -> str:
    """Why the readings say nothing about it."""
    own_host, place = scene.own_host, named(scene.unread_hosts)
    match scene.origin:
        case Origin.NONE:
            return "No readings came with it."
        case Origin.AFFECTED_HOST:
            return f"Nothing that was read on {own_host} is about this."
        case Origin.OTHER_HOST:
            return (
                f"Nothing was measured on {place}: the readings are of Watchkeeper's own host {own_host} "
                "and say nothing about the cause."
            )
        case Origin.UNCLEAR:
            doubt = f"may not be {place}" if place else "may not be the one, as the alert names no host"
            return f"The readings are of Watchkeeper's own host {own_host}, which {doubt}."


def place_of(scene: Scene) -> str:
    """The affected hosts in words, or the own host where the question is about that; empty if unknown."""
    return named(scene.affected_hosts if scene.incident else [scene.own_host])


def _said(incident: IncidentView) -> str:
    """What the alerts say of themselves beside their names, where there is no better cause to be had."""
    texts = [incident.description]
    for alert in incident.alerts:
        texts += [alert.description, *(alert.annotations.get(key, "") for key in TEXT_ANNOTATIONS)]
    different = list(dict.fromkeys(text for text in texts if text.strip()))[:MAX_TEXTS]
    lines = dict.fromkeys(one_line(redact_text(text), MAX_SAID_CHARS) for text in different)
    title = one_line(incident.title, MAX_SAID_CHARS)
    quoted = " ".join(f"“{line}”" for line in [line for line in lines if line != title][:MAX_SAID])
    meant = messages.known("\n".join([title, *lines])[:MAX_TEXT_CHARS])
    return " ".join([*meant, *([f"The alert says: {quoted}"] if quoted else [])])


def _what(scene: Scene, finding: Finding) -> str:
    """What the words point to, and which one where a label says so."""
    if finding.check or not scene.incident:
        return finding.subject.noun
    keys = THING_LABELS.get(finding.topic, ())
    things = (alert.labels.get(key, "").strip() for alert in scene.incident.alerts for key in keys)
    told = named(list(dict.fromkeys(redact_text(thing) for thing in things if thing)))
    return f"{finding.subject.noun} ({told})" if told else finding.subject.noun


def _second_sentence(scene: Scene, finding: Finding) -> str:
    place = place_of(scene) or "the host it is about"
    if finding.support is Support.NOTHING:
        return f"The local rules cannot tell what kind of problem it is; look at {place}."
    if finding.check and finding.is_over:
        return _verdict(scene, finding, finding.check)
    if finding.check and finding.support is Support.CONTRADICTED:
        return f"Not seen on {scene.own_host} now: {finding.check.message}."
    if finding.check and finding.subject.happened:
        return f"On {scene.own_host} now: {finding.check.message}; {finding.subject.happened}."
    return f"It seems to be about {_what(scene, finding)}; look at {place}."


def _verdict(scene: Scene, finding: Finding, check: CheckResult) -> str:
    """The reading itself where the cause says more than that, else whose check found it."""
    if finding.support is Support.CONFIRMED and _explains(scene, finding):
        return f"Measured on {scene.own_host}: {check.message}."
    return f"Measured on {scene.own_host}: the check {check.checker_name} is {check.status}."


def _summary_of_checks(scene: Scene, findings: Sequence[Finding]) -> str:
    own_host = scene.own_host or "this host"
    checks = [check for check in scene.checks if check.status is not CheckStatus.SKIPPED]
    count = len(checks)
    if not count:
        return "There was nothing to analyse: no incident, and no check has run."
    troubles = [finding for finding in findings if finding.support is not Support.TIDYING]
    if not troubles:
        who = f"All {count} checks on {own_host} are within their"
        well = f"{who} thresholds" if count > 1 else f"The one check on {own_host} is within its thresholds"
        return f"{well}: {_listed(checks)}."
    bad = over(checks)
    are = "is" if len(bad) == 1 else "are"
    what = f"{len(bad)} {are} over a threshold" if bad else f"{len(troubles)} could not measure"
    of = f"Of {count} checks on {own_host}, {what}" if count > 1 else f"The one check on {own_host}: {what}"
    return f"{of}: {_listed(bad or [finding.check for finding in troubles if finding.check])}."


def _listed(checks: Sequence[CheckResult]) -> str:
    told = [one_line(check.message) for check in checks if check.message]
    more = f"; and {len(told) - MAX_LISTED} more" if len(told) > MAX_LISTED else ""
    return "; ".join(told[:MAX_LISTED]) + more
