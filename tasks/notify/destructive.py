"""Which commands destroy something, so that nobody runs an AI's proposal half asleep. Pure.

The list is short on purpose and knows the common forms only: a command without the mark is not thereby harmless.
"""

import re

MARK = " (destructive: think first)"

_PATTERNS = (
    r"\brm\s+(?:-\S+\s+)*(?:-\w*[rf]|--recursive|--force|--no-preserve-root)",
    r"\b(?:mkfs|wipefs|shred|fdisk|sfdisk|parted|lvremove|vgremove|pvremove|userdel|blkdiscard)\b",
    r"\bdd\b.*\bof=",
    r"\bfind\b.*\s-(?:delete|exec\s+rm)\b",
    r"\bz(?:pool|fs)\s+destroy\b",
    r"\bdrop\s+(?:table|database|schema|user|index|keyspace)\b",
    r"\b(?:truncate|flushall|flushdb)\b",
    r"\bdelete\s+from\b",
    r"\bkill\s+(?:-9|-kill|-sigkill|-s\s+(?:9|kill|sigkill))\b",
    r"\b(?:killall|pkill)\b",
    r"\bsystemctl\s+(?:-\S+\s+)*(?:stop|disable|mask|kill|reboot|poweroff|halt|isolate|rescue|emergency)\b",
    r"\bservice\s+\S+\s+stop\b",
    r"(?:^|[;&|]\s*|\bsudo\s+)(?:reboot|shutdown|poweroff|halt|init\s+[06])\b",
    r"\bkubectl\s+(?:\S+\s+)*(?:delete|drain)\b",
    r"\b(?:docker|podman)\s+(?:\S+\s+)*(?:rm|rmi|prune|down|kill)\b",
    r"\bterraform\s+destroy\b",
    r"\biptables\s+(?:-F|--flush)(?:\s|$)",
    r"\bgit\s+(?:reset\s+--hard|clean\s+-\w*f|push\s+.*(?:--force\b|-f\b))",
    r"\bch(?:mod|own)\s+(?:\S+\s+)*(?:-\w*R|--recursive)\b",
    r"(?:^|[;&|]\s*):?\s*>\s*/",
    r">\s*/dev/(?!null\b|std|tty|fd/)\w",
)
_DESTRUCTIVE = re.compile("|".join(_PATTERNS), re.IGNORECASE)
MAX_CHARS = 2_000


def is_destructive(command: str) -> bool:
    """Whether a command is of a kind that deletes, overwrites, or stops something."""
    return _DESTRUCTIVE.search(command[:MAX_CHARS]) is not None
