"""Whether a failure is worth another try. Decided where the failure is seen, never later (style.md 17)."""


class PermanentError(Exception):
    """Trying again cannot help: a wrong address, a refused credential, a body that cannot be read."""


class TransientError(Exception):
    """Trying again may help: a timeout, an answer of 503.

    `retry_after_seconds` is the other side's wish, where it named one.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


def is_retryable(error: BaseException) -> bool:
    """Whether another try may help; every error that nobody judged counts as passing."""
    return not isinstance(error, PermanentError)
