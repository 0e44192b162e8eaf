"""Text of others within a sentence of ours."""

from collections.abc import Sequence

from tasks.analyze.visible import visible

MAX_TITLE_CHARS = 120
MAX_HOSTS_NAMED = 3


def one_line(text: str, max_chars: int = MAX_TITLE_CHARS) -> str:
    """Without line breaks and what nobody sees, and visibly cut where it is too long."""
    line = " ".join(visible(text).split())
    return line if len(line) <= max_chars else line[: max_chars - 1] + "…"


def named(hosts: Sequence[str]) -> str:
    """The first hosts, and how many more there are; empty for none."""
    told = ", ".join(one_line(host) for host in hosts[:MAX_HOSTS_NAMED])
    return f"{told} and {len(hosts) - MAX_HOSTS_NAMED} more" if len(hosts) > MAX_HOSTS_NAMED else told
