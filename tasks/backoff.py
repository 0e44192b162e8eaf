"""How long a run waits before it tries a node again."""

from storage import settings
from tasks.errors import TransientError

# A run waits no longer than this for a next attempt, however long the other side wishes.
MAX_WISH_SECONDS = 300.0


def retry_delay_seconds(attempt: int, error: BaseException | None = None) -> float:
    """How long to wait after this attempt, counted from 1: the backoff, or the other side's wish if longer."""
    wish = error.retry_after_seconds if isinstance(error, TransientError) else None
    backoff: float = settings.load().backoff_factor ** attempt
    return max(backoff, min(wish or 0.0, MAX_WISH_SECONDS))
