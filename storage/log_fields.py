"""What every log line of a run says of it: its trace_id and its run_id.

`asyncio.to_thread` and tasks take the context along; threads of a stage's own are given it.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar, copy_context
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

run_fields: ContextVar[Mapping[str, str] | None] = ContextVar("run_fields", default=None)


def speak_of_run(*, trace_id: str, run_id: str) -> None:
    """From here on this asyncio task or thread works for a run.

    It is never taken back, since a run has a task of its own: so what Prefect says of its end carries it too.
    """
    run_fields.set({"trace_id": trace_id, "run_id": run_id})


def in_context(function: Callable[P, R]) -> Callable[P, R]:
    """The function for a thread of a pool, where it knows the run that it works for."""
    context = copy_context()

    def with_context(*args: P.args, **kwargs: P.kwargs) -> R:
        # A context runs one thing at a time, so each call has its own copy.
        return context.copy().run(function, *args, **kwargs)

    return with_context
