"""What an answer is about, and what it rests on."""

from dataclasses import dataclass
from enum import Enum

from storage.records import CheckResult
from storage.vocabulary import CheckStatus, IncidentStatus, RecommendationType
from tasks.analyze.rules.subject import Subject

OVER = (CheckStatus.WARNING, CheckStatus.CRITICAL)
ENDED = (IncidentStatus.RESOLVED, IncidentStatus.CLOSED)


class Support(Enum):
    """What an answer rests on; the value is its confidence."""

    CONFIRMED = 0.8  # the affected host itself is over a threshold in what the words are about
    RELATED = 0.6  # it is over a threshold in such a thing, but the words do not name that very one
    READINGS_ONLY = 0.5  # the words say nothing, but the affected host is over a threshold
    UNMEASURED = 0.4  # the words, about a host that was measured, though not in this
    WORDS_ONLY = 0.3  # the words, without a reading of the affected host
    CONTRADICTED = 0.2  # the words, against what the affected host reads now
    NOTHING = 0.1
    # Nothing is wrong, and there is no cause to be sure of.
    TIDYING = 0.0


@dataclass(frozen=True)
class Finding:
    """What seems to be wrong, what that rests on, and the reading about it, if there is one."""

    subject: Subject
    support: Support
    check: CheckResult | None = None
    # Another reading over its threshold, of which the alert speaks, and which `check` explains.
    effect: CheckResult | None = None
    # What it is about, where the words name it and neither a label nor a reading does.
    things: tuple[str, ...] = ()

    @property
    def topic(self) -> RecommendationType:
        """The kind of problem."""
        return self.subject.topic

    @property
    def checker_name(self) -> str:
        """Whose reading it is; empty without one."""
        return self.check.checker_name if self.check else ""

    @property
    def is_over(self) -> bool:
        """Whether a reading is over its threshold."""
        return self.check is not None and self.check.status in OVER
