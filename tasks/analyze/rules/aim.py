"""What a recommendation is given for: what neither summary nor cause says yet."""

from tasks.analyze.rules.finding import Finding, Support
from tasks.analyze.rules.scene import Scene
from tasks.analyze.rules.symptoms import ADVICE, SYMPTOM
from tasks.analyze.rules.wording import measured

# Of the first recommendation, where it does not rest on a reading over its threshold.
BASIS = {
    Support.UNMEASURED: "No check tells more about it.",
    Support.WORDS_ONLY: "By the alert's words alone.",
    Support.CONTRADICTED: "If this shows nothing either, the alert should soon end; else it has other limits.",
    Support.NOTHING: "Where to begin, as nothing tells what kind of problem it is.",
}


def description(scene: Scene, finding: Finding, *, is_first: bool) -> str:
    """Of the first one, what it rests on or what to look for; of others what was read."""
    if finding.subject is SYMPTOM:
        return ADVICE
    is_silent = scene.incident is None and not finding.is_over
    if not is_first or is_silent:
        return measured(scene, finding)
    return BASIS.get(finding.support) or _by_thresholds(finding)


def _by_thresholds(finding: Finding) -> str:
    check = finding.check
    if check is None:
        return ""
    limits = {"warning": check.warning_threshold, "critical": check.critical_threshold}
    told = " and ".join(f"{word} at {limit:g}" for word, limit in limits.items() if limit is not None)
    return f"The check {check.checker_name} is {check.status}{f', with {told}' if told else ''}."
