"""Messages of kernels, databases and the like that name a cause by themselves, when an alert quotes them."""

import re

# Each with a sentence for it. They are these programs' own words, so that what stands for another thing is rare.
MESSAGES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), sentence)
    for pattern, sentence in (
        (
            r"killed process (?P<pid>\d{1,10}) \((?P<name>[\w.:/@-]{1,64})\)",
            "The kernel killed {name} (pid {pid}) since memory ran out.",
        ),
        (r"\boomkilled\b", "A container was killed at its limit of memory."),
        (r"\bcrashloopbackoff\b", "A container crashes each time that it is started."),
        (r"\b(?:imagepullbackoff|errimagepull)\b", "The image of a container cannot be had."),
        (
            r"remount\w* (?:the )?file ?system read-only|read-only file system",
            "A file system is read-only, which the kernel makes it after errors of a drive.",
        ),
        (
            r"(?P<count>\d{1,10}) (?:currently unreadable \(pending\)|offline uncorrectable) sectors",
            "A drive has {count} sectors that it cannot read.",
        ),
        (r"no space left on device", "A file system has no space or no inodes left."),
        (r"too many open files", "A process has as many files open as it may."),
        (r"nf_conntrack: table full", "The table of tracked connections (conntrack) is full."),
        (
            r"authentication failed|access denied for user|login incorrect|permission denied \(publickey",
            "A login is refused: a password or key is wrong.",
        ),
        (r"connection refused|\beconnrefused\b", "A connection is refused: nothing listens there."),
        (
            r"too many (?:clients already|connections)|remaining connection slots|\bpool (?:is )?exhausted",
            "No connection is left: those of a pool or of a server are all in use.",
        ),
        (
            r"name or service not known|temporary failure in name resolution|\bnxdomain\b|\bservfail\b",
            "A name cannot be resolved.",
        ),
        (r"certificate (?:has expired|verify failed|is not yet valid)|\bx509: ", "A certificate is not accepted."),
        (r"\bsegfault\b|\bsigsegv\b|core dumped", "A program crashed by an error of its own."),
        (r"deadlock detected|deadlock found", "Transactions of a database wait for each other."),
    )
)
MAX_TOLD = 3


def known(text: str) -> list[str]:
    """What the messages in a text say, in our words."""
    found = ((pattern.search(text), sentence) for pattern, sentence in MESSAGES)
    return [sentence.format(**match.groupdict()) for match, sentence in found if match][:MAX_TOLD]
