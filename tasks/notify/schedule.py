"""When a message is tried again. Pure.

The first tries are made within the flow run; what then is still unsent goes on in the background.
"""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta

from tasks.errors import TransientError, is_retryable

# Longer than this no flow run waits for a next try.
IN_RUN_SECONDS = 60.0
# So much longer than scheduled a wait may be: those that failed together must not come back together.
JITTER = 0.1


def next_try_at(error: BaseException, *, attempts: int, now: datetime, delays: Sequence[float]) -> datetime | None:
    """When a message is due again after its try number `attempts` failed so; None where that was the last.

    `delays` are seconds, one for each try after the first. A destination's own wish holds where it is longer.
    """
    if not is_retryable(error) or attempts > len(delays):
        return None
    wish = error.retry_after_seconds if isinstance(error, TransientError) else None
    jitter = 1 + random.random() * JITTER  # noqa: S311  (no secret hangs on it)
    return now + timedelta(seconds=max(delays[attempts - 1] * jitter, wish or 0.0))


def given_up_before(now: datetime, *, delays: Sequence[float]) -> datetime:
    """A message from before then that could not even be tried has waited as long as all its tries would take."""
    return now - timedelta(seconds=sum(delays) * (1 + JITTER))


def is_within_run(due_at: datetime, *, now: datetime) -> bool:
    """Whether a flow run waits for the next try."""
    return due_at <= now + timedelta(seconds=IN_RUN_SECONDS)
