"""Our commands as a person types them, without a process for each."""

import io
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from unittest.mock import patch

from deployments.cli import main


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout.decode()


def watchkeeper(*arguments: str, stdin: bytes = b"") -> Said:
    """Run a command with this process's settings."""
    stdout, stderr = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    typed = patch.object(sys, "argv", ["watchkeeper", *arguments])
    given = patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    code: object = 0
    with typed, given, redirect_stdout(stdout), redirect_stderr(stderr), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Cyclopts application invoked without tokens")
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    stdout.flush()
    printed = stdout.buffer.getvalue()  # type: ignore[attr-defined]
    return Said(code if isinstance(code, int) else 0, printed, stderr.getvalue())
