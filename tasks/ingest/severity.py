"""One scale of severity for every source (sources.md, "Normalised")."""

from storage.vocabulary import Severity

WORDS: dict[Severity, frozenset[str]] = {
    Severity.CRITICAL: frozenset(
        [
            "critical",
            "crit",
            "fatal",
            "emergency",
            "emerg",
            "page",
            "disaster",
            "p0",
            "p1",
            "p2",
            "sev0",
            "sev1",
            "sev2",
            "error",
            "high",
            "major",
        ]
    ),
    Severity.WARNING: frozenset(["warning", "warn", "average", "minor", "medium", "p3", "sev3"]),
    Severity.INFO: frozenset(
        [
            "informational",
            "information",
            "not classified",
            *["info", "notice", "low", "p4", "p5", "none", "ok", "debug"],
        ]
    ),
}
BY_WORD = {word: severity for severity, words in WORDS.items() for word in words}


def normalise_severity(word: str) -> Severity | None:
    """The severity a source's word stands for; unknown words are warnings, and no word says nothing."""
    word = word.strip().casefold()
    return BY_WORD.get(word, Severity.WARNING) if word else None
