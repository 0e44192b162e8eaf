"""What people may be told of a provider that failed."""

import pytest

from storage.vocabulary import FailureKind
from tasks.analyze.failure import kind_of, kind_of_status
from tasks.errors import PermanentError, TransientError


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (400, "it refused the request"),
        (401, "it refused the key"),
        (402, "the account there has no credit left"),
        (403, "it refused the key"),
        (404, "it refused the request"),
        (408, "it did not answer in time"),
        (425, "it limits the rate of requests, or is overloaded"),
        (429, "it limits the rate of requests, or is overloaded"),
        (499, "it refused the request"),
        (500, "it answered with an error of its own"),
        (503, "it limits the rate of requests, or is overloaded"),
        (504, "it did not answer in time"),
        (529, "it limits the rate of requests, or is overloaded"),
    ],
)
def test_status_is_told_in_words_of_ours(status: int, told: str) -> None:
    assert kind_of_status(status).told == told


@pytest.mark.parametrize("error", [PermanentError, TransientError])
def test_kind_is_what_was_decided_where_the_failure_was_seen(error: type[PermanentError | TransientError]) -> None:
    assert kind_of(error("no", kind=FailureKind.UNREACHABLE)) is FailureKind.UNREACHABLE
    assert kind_of(error("no")) is None


def test_error_that_nobody_foresaw_has_no_kind() -> None:
    assert kind_of(ValueError("kind")) is None
