"""The processes of this host: finding those that are meant, and what they use."""

import os
import re
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Self

import psutil
from pydantic import BaseModel, StringConstraints, field_validator, model_validator

CPU_WINDOW_SECONDS = 0.2
# Of a longer command line the two ends count: a Java program's own name stands last.
MAX_LINE_CHARS = 8192
# Linux keeps so much of a program's name.
MAX_KERNEL_NAME_CHARS = 15

Text = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]

# Commands of ours that hold the names looked for, in whatever they are wrapped (sudo, sh -c, ssh).
_CHECK_COMMAND = re.compile(r"\b(?:watchkeeper|deployments\.cli)\b.*\b(?:run-check|check-health|run-pipeline)\b")
# A repeated group may take for ever to match, with every other thread waiting.
_REPEATED_GROUP = re.compile(r"(?<!\\)\)[*+{]")


class Wanted(BaseModel, extra="forbid", frozen=True):
    """A process that should run: a program's exact name, or a pattern that its command line holds somewhere.

    In a config a plain string stands for a name. Beside a pattern, `name` is what it is called in the result.
    """

    name: Text | None = None
    pattern: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("pattern")
    @classmethod
    def _can_be_used(cls, pattern: str | None) -> str | None:
        try:
            matches_anything = pattern is not None and re.compile(pattern).search("") is not None
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"is no regular expression: {error}") from None
        if matches_anything:
            raise ValueError("would match every command line")
        if pattern is not None and _REPEATED_GROUP.search(pattern):
            raise ValueError("must not repeat a group, as in (a+)+: it might never come to an end")
        return pattern

    @model_validator(mode="after")
    def _is_named(self) -> Self:
        if self.name is None and self.pattern is None:
            raise ValueError("needs a name or a pattern")
        return self

    @property
    def label(self) -> str:
        """What it is called in the result."""
        return self.name or str(self.pattern)


@dataclass(frozen=True)
class Seen:
    """A process of this host. `line` is its command line, or its name where it has none that we may read."""

    pid: int
    names: frozenset[str]
    line: str
    status: str
    is_closed: bool = False

    @property
    def is_running(self) -> bool:
        """Whether it can still do anything: a zombie has ended, and waits for its parent to notice."""
        return self.status not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


def other_processes() -> list[Seen]:
    """All processes but those that only look for processes. Raises PermissionError where they are hidden."""
    seen = []
    for process in psutil.process_iter():
        # Ended since it was listed. (as_dict, since `attrs` would write into objects that all threads share.)
        with suppress(psutil.NoSuchProcess):
            seen.append(read_process(process.as_dict(["pid", "name", "cmdline", "status"])))
    is_hidden = not any(process.pid == 1 and process.names for process in seen)
    if is_hidden and sys.platform == "linux":
        raise PermissionError("this user may not see other users' processes (/proc is mounted with hidepid)")
    return [process for process in seen if not _is_check(process)]


def matching(wanted: Wanted, seen: Iterable[Seen]) -> list[Seen]:
    """The processes that are meant, those that run before those that have ended."""
    if wanted.pattern is None:
        matches = [each for each in seen if wanted.name in each.names]
    else:
        pattern = re.compile(wanted.pattern)
        matches = [each for each in seen if pattern.search(each.line)]
    return sorted(matches, key=lambda each: (not each.is_running, each.pid))


def usage_of(pids: Iterable[int]) -> dict[int, dict[str, float]]:
    """What each process uses, where we may know."""
    watched: dict[int, psutil.Process] = {}
    for pid in pids:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            process.cpu_percent()  # the first call begins the window
            watched[pid] = process
    if watched:
        time.sleep(CPU_WINDOW_SECONDS)
    usage: dict[int, dict[str, float]] = {}
    for pid, process in watched.items():
        with suppress(psutil.Error):
            memory_percent = round(process.memory_percent(), 2)
            usage[pid] = {"cpu_percent": process.cpu_percent(), "memory_percent": memory_percent}
    return usage


def read_process(told: Mapping[str, Any]) -> Seen:
    """A process as psutil tells of it; None is what it may not say."""
    name, words = told["name"] or "", told["cmdline"] or []
    program, script = [word.rpartition("/")[2] for word in [*words, "", ""][:2]]
    names = {name, program}
    if len(name) >= MAX_KERNEL_NAME_CHARS and script.startswith(name):  # cut off, and `program` interprets it
        names.add(script)
    return Seen(
        pid=told["pid"],
        names=frozenset(names - {""}),
        line=_bounded(" ".join(words) or name),
        status=told["status"] or "",
        is_closed=told["cmdline"] is None and told["status"] != psutil.STATUS_ZOMBIE,
    )


def _is_check(process: Seen) -> bool:
    """Whether it only looks for processes, as this one does."""
    return process.pid == os.getpid() or _CHECK_COMMAND.search(process.line) is not None


def _bounded(line: str) -> str:
    half = MAX_LINE_CHARS // 2
    return line if len(line) <= MAX_LINE_CHARS else f"{line[:half]} {line[-half:]}"
