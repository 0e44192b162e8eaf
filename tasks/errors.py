"""Whether a failure is worth another try. Decided where the failure is seen, never later (style.md 17)."""

from pydantic import ValidationError

from storage.vocabulary import FailureKind


class PermanentError(Exception):
    """Trying again cannot help: a wrong address, a refused credential, a body that cannot be read.

    `kind` is what people may be told of a failed AI provider.
    """

    def __init__(self, message: str = "", *, kind: FailureKind | None = None) -> None:
        super().__init__(message)
        self.kind = kind


class TransientError(Exception):
    """Trying again may help: a timeout, an answer of 503.

    `retry_after_seconds` is the other side's wish, where it named one; `kind` as in PermanentError.
    """

    def __init__(
        self, message: str, *, retry_after_seconds: float | None = None, kind: FailureKind | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after_seconds = retry_after_seconds


def is_retryable(error: BaseException) -> bool:
    """Whether another try may help; every error that nobody judged counts as passing."""
    return not isinstance(error, PermanentError)


def faults_of(error: ValidationError) -> str:
    """The wrong fields and what is wrong with each, without the values."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    texts = ((".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, ")) for fault in faults)
    return "; ".join(f"{path}: {said}" if path else said for path, said in texts)
