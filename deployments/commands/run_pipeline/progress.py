"""What a run does, said while it does it: a line for each attempt that ended, and on a terminal what goes on."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status

from deployments.commands.check_output import abandon, plain
from deployments.commands.run_pipeline.text import seconds, sign
from storage.tables import PipelineRun, StageExecution
from storage.tables.base import utc_now
from storage.vocabulary import StageStatus
from tasks.backoff import retry_delay_seconds
from tasks.notify.text import bounded_line

COLOURS = {
    StageStatus.SUCCEEDED: "green",
    StageStatus.FAILED: "red",
    StageStatus.RETRYING: "yellow",
    StageStatus.SKIPPED: "dim",
}


class StandardError(Console):
    """Standard error. Where nobody reads it any more, the run goes on unseen."""

    def __init__(self) -> None:
        super().__init__(stderr=True, highlight=False)

    def on_broken_pipe(self) -> None:
        """Write no more, in place of ending the command."""
        self.quiet = True
        abandon(self.file)


class Progress:
    """Says it on standard error; `is_quiet` leaves the lines out and shows only what goes on, on a terminal.

    Without a console it says nothing at all.
    """

    def __init__(self, console: Console | None, *, is_quiet: bool = False) -> None:
        self._console = console
        self._is_quiet = is_quiet
        self._known: set[int] = set()
        self._status: Status | None = None
        self._dots = sign("…")  # asked now: what goes on takes standard output's place

    def __enter__(self) -> Self:
        """Begin."""
        if self._console is not None and self._console.is_terminal:
            self._status = self._console.status("", spinner="dots" if self._dots == "…" else "line")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; what went on is taken off the terminal."""
        if self._status is not None:
            self._status.stop()

    def say(self, line: str, style: str = "") -> None:
        """One line."""
        if self._console is not None and not self._is_quiet:
            self._console.print(plain(line, style), soft_wrap=True)

    def know(self, attempts: Sequence[StageExecution]) -> None:
        """Attempts of before, which are no news."""
        self._known |= {row.id for row in attempts}

    def show(self, run: PipelineRun, attempts: Sequence[StageExecution], *, is_here: bool) -> None:
        """What is new since the last time."""
        for row in attempts:
            if row.id not in self._known and row.status is not StageStatus.RUNNING:
                self._known.add(row.id)
                self.say(self._ended(row, is_here=is_here), COLOURS.get(row.status, ""))
        if self._status is not None:
            running = next((row for row in attempts if row.status is StageStatus.RUNNING), None)
            self._status.update(plain(self._goes_on(running) if running else run.status.lower()))

    def _goes_on(self, row: StageExecution) -> str:
        since = (utc_now() - row.started_at).total_seconds() * 1000 if row.started_at else 0.0
        again = f", attempt {row.attempt}" if row.attempt > 1 else ""
        return f"{row.node_id} {self._dots} {seconds(since)}{again}"

    def _ended(self, row: StageExecution, *, is_here: bool) -> str:
        line = f"{row.node_id} {self._dots} {seconds(row.duration_ms)} {row.status.lower()}"
        if row.status is StageStatus.RETRYING:
            line = f"{row.node_id} {self._dots} {seconds(row.duration_ms)} failed, is tried again"
        if row.error_message:
            line += f": {bounded_line(row.error_message)}"
        # Whoever executes it here says when the next try is, to the second.
        if row.status is StageStatus.RETRYING and not is_here:
            line += f"; next try in about {retry_delay_seconds(row.attempt):.0f} s"
        return line


def progress_of(*, is_silent: bool, is_quiet: bool = False) -> Progress:
    """A command's progress on standard error."""
    return Progress(None if is_silent else StandardError(), is_quiet=is_quiet)
