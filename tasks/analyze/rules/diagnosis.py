"""What an incident is about: the kind of problem by its words, and the reading that speaks of it."""

from collections.abc import Iterable, Sequence

from storage.records import CheckResult, IncidentView
from storage.vocabulary import CheckStatus
from tasks.analyze.rules import reading
from tasks.analyze.rules.checked import SUBJECTS
from tasks.analyze.rules.explanation import explained
from tasks.analyze.rules.finding import ENDED, OVER, Finding, Support
from tasks.analyze.rules.scene import Scene
from tasks.analyze.rules.space import worth_a_word
from tasks.analyze.rules.subject import RECOVERABLE, Subject
from tasks.analyze.rules.subjects import ANYTHING, NAMED, named_subjects, subject_of
from tasks.analyze.rules.symptoms import DEPENDENCY, SYMPTOM, failing_dependency, is_symptom
from tasks.analyze.topic import DISK, GENERAL, PROCESS, Words

CHECKS = "checker"  # the source of alerts of our own checks
MAX_FINDINGS = 10


def findings_of(scene: Scene) -> list[Finding]:
    """What the answer is about, and after it whatever else is over a threshold on the affected host."""
    measured = over(scene.checks) if scene.is_own else []
    others = [Finding(subject_of(check.checker_name), Support.CONFIRMED, check) for check in measured]
    if scene.incident is None:
        return _once([*others, *_silent(scene.checks), *_tidying(scene.checks)])
    own = _own_finding(scene, scene.incident)
    first = explained(own, (), measured) if own else _finding(scene, scene.incident, measured)
    is_about_disks = scene.is_own and first.topic is DISK
    return _once([first, *others, *(_tidying(scene.checks) if is_about_disks else [])])


def over(checks: Iterable[CheckResult]) -> list[CheckResult]:
    """The checks over a threshold, the worst first; what could be deleted is no trouble, and comes last."""
    return sorted(
        (check for check in checks if check.status in OVER),
        key=lambda check: (check.checker_name in RECOVERABLE, -check.status.rank),
    )


def _once(findings: Sequence[Finding]) -> list[Finding]:
    """Each piece of advice once, for the worst that calls for it.

    Where the first one's reading is not over, the same advice may follow for one that is.
    """
    kept: list[Finding] = []
    given: set[str] = set()
    for finding in findings:
        if finding.subject.title not in given:
            kept.append(finding)
        if finding.is_over or len(kept) > 1:
            given.add(finding.subject.title)
    return kept[:MAX_FINDINGS]


def _silent(checks: Iterable[CheckResult]) -> list[Finding]:
    return [
        Finding(subject_of(check.checker_name), Support.NOTHING, check)
        for check in checks
        if check.status is CheckStatus.UNKNOWN
    ]


def _tidying(checks: Iterable[CheckResult]) -> list[Finding]:
    """What could be deleted; where that is over a threshold, it has been told already."""
    return [
        Finding(subject_of(check.checker_name), Support.TIDYING, check)
        for check in checks
        if check.checker_name in RECOVERABLE and worth_a_word(check)
    ]


def _own_finding(scene: Scene, incident: IncidentView) -> Finding | None:
    """About an alert of our own checks: that checker's reading of that thing, and no other."""
    alerts = [alert for alert in incident.alerts if alert.source == CHECKS]
    names = [alert.labels.get("checker", "") for alert in alerts]
    for alert, name in zip(alerts, names, strict=True):
        checks = [check for check in scene.checks if check.checker_name == name]
        if own := reading.of_thing(alert.labels.get("target", ""), checks):
            return Finding(subject_of(name), Support.CONFIRMED if own.status in OVER else Support.UNMEASURED, own)
    known = next((name for name in names if name in SUBJECTS), None)
    return Finding(SUBJECTS[known], Support.UNMEASURED if scene.is_own else Support.WORDS_ONLY) if known else None


def _finding(scene: Scene, incident: IncidentView, measured: Sequence[CheckResult]) -> Finding:
    words = scene.words or Words(incident)
    named = named_subjects(words)
    if words.topic is GENERAL and not named:
        trouble = [check for check in measured if check.checker_name not in RECOVERABLE]
        if trouble:
            return Finding(subject_of(trouble[0].checker_name), Support.READINGS_ONLY, trouble[0])
        return Finding(SYMPTOM if is_symptom(words) else ANYTHING[GENERAL], Support.NOTHING)
    meant = NAMED[named[0]] if named else ANYTHING[words.topic]
    if not scene.is_own:
        return _elsewhere(words, incident, meant) or Finding(meant, Support.WORDS_ONLY)
    check, is_named = reading.about(scene, words, named)
    finding = explained(_measured(meant, check, incident, is_named=is_named), named, measured)
    return finding if finding.is_over else _elsewhere(words, incident, meant) or finding


def _elsewhere(words: Words, incident: IncidentView, meant: Subject) -> Finding | None:
    """About a service of others that fails, where the words say no more than that something is down."""
    dependency = failing_dependency(words, incident) if meant is ANYTHING[PROCESS] else ""
    return Finding(DEPENDENCY, Support.WORDS_ONLY, things=(dependency,)) if dependency else None


def _measured(meant: Subject, check: CheckResult | None, incident: IncidentView, *, is_named: bool) -> Finding:
    """About what is meant, by the reading that speaks of it."""
    if check is None:
        return Finding(meant, Support.UNMEASURED)
    if meant.happened and check.status not in OVER:
        return Finding(meant, Support.UNMEASURED, check)
    subject = subject_of(check.checker_name)
    return Finding(subject, _support(check, incident, is_certain=is_named or not subject.has_names), check)


def _support(check: CheckResult, incident: IncidentView, *, is_certain: bool) -> Support:
    if check.status is CheckStatus.UNKNOWN:
        return Support.UNMEASURED
    if check.status in OVER:
        return Support.CONFIRMED if is_certain else Support.RELATED
    # After the end a normal reading is to be expected and speaks neither for nor against the words.
    return Support.WORDS_ONLY if incident.status in ENDED else Support.CONTRADICTED
