"""What people may be told of a provider that failed: a kind, in words of ours."""

from storage.vocabulary import FailureKind
from tasks.errors import PermanentError, TransientError

KEY_STATUSES = frozenset({401, 403})
NO_CREDIT_STATUS = 402
# A vendor, or a gateway before it, that waited too long.
TIMEOUT_STATUSES = frozenset({408, 504})
# 529: Anthropic's word for overloaded (https://docs.anthropic.com/en/api/errors).
BUSY_STATUSES = frozenset({425, 429, 503, 529})
SERVER_ERRORS = 500


def kind_of(error: BaseException | None) -> FailureKind | None:
    """The kind that was decided where the failure was seen; None for an error that nobody foresaw."""
    return error.kind if isinstance(error, PermanentError | TransientError) else None


def kind_of_status(status: int) -> FailureKind:
    """The kind of an HTTP status that is no success."""
    if status in KEY_STATUSES:
        return FailureKind.KEY_REFUSED
    if status == NO_CREDIT_STATUS:
        return FailureKind.NO_CREDIT
    if status in TIMEOUT_STATUSES:
        return FailureKind.NO_ANSWER
    if status in BUSY_STATUSES:
        return FailureKind.OVERLOADED
    return FailureKind.BROKEN if status >= SERVER_ERRORS else FailureKind.REQUEST_REFUSED
