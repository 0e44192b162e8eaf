"""All subjects, and which of them an incident's words mean."""

from storage.vocabulary import RecommendationType
from tasks.analyze.rules import commands, naming
from tasks.analyze.rules.checked import CPU_TITLE, DISK_TITLE, MEMORY_TITLE, SUBJECTS
from tasks.analyze.rules.commands import COMMANDS
from tasks.analyze.rules.subject import Subject
from tasks.analyze.rules.unchecked import UNCHECKED
from tasks.analyze.topic import CPU, DISK, GENERAL, MEMORY, NETWORK, PROCESS, Lexicon, Words

# By kind of problem, where none of these is meant.
ANYTHING: dict[RecommendationType, Subject] = {
    MEMORY: Subject(MEMORY, "memory", MEMORY_TITLE, COMMANDS[MEMORY]),
    DISK: Subject(
        DISK, "a disk", DISK_TITLE, COMMANDS[DISK], look_at=commands.about_file_system, names=naming.mount_points
    ),
    CPU: Subject(CPU, "the processors", CPU_TITLE, COMMANDS[CPU]),
    PROCESS: Subject(
        PROCESS,
        "a process",
        "Find out why a process stopped",
        COMMANDS[PROCESS],
        look_at=commands.about_unit,
        names=naming.typed_units,
    ),
    NETWORK: Subject(NETWORK, "the network", "Find out what can still be reached", COMMANDS[NETWORK]),
    GENERAL: Subject(GENERAL, "the host", "Look at the host as a whole", COMMANDS[GENERAL]),
}
NAMED = {**SUBJECTS, **UNCHECKED}


def _lexicon(topic: RecommendationType) -> Lexicon[list[str]]:
    """The terms for the subjects of a kind; several may share one."""
    names: dict[str, list[str]] = {}
    for name, subject in NAMED.items():
        if subject.topic is topic and subject.terms:
            for term in subject.terms.split(", "):
                names.setdefault(term, []).append(name)
    return Lexicon(names)


TERMS = {topic: _lexicon(topic) for topic in RecommendationType}


def subject_of(checker_name: str) -> Subject:
    """What a checker looks at; one that is not known here is about the host."""
    return SUBJECTS.get(checker_name, ANYTHING[GENERAL])


def named_subjects(words: Words) -> list[str]:
    """The subjects that the words mean, by name: those told in names, else in descriptions; often none.

    A description that mentions a login or a container is seldom about those: there only checkers' subjects count,
    unless it is by the description that the kind of problem is known at all.
    """
    is_told_late = words.topics[:2] == [None, words.topic]
    for tier, known in zip(words.tiers, (NAMED, NAMED if is_told_late else SUBJECTS), strict=False):
        terms = (names for text in tier for _, names in TERMS[words.topic].terms_in(text))
        told = {name for names in terms for name in names if name in known}
        if told:
            in_order = [name for name in NAMED if name in told]
            return [name for name in in_order if NAMED[name].is_apart] or in_order
    return []
