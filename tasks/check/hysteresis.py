"""From single results to what people are told: nobody is woken by one sample. Pure."""

from dataclasses import dataclass, replace

from storage.records import Reading
from storage.vocabulary import CheckStatus
from tasks.check.checkers.base import BAD

# So many checks in a row that could not be made are news themselves: a monitor that sees nothing must say so.
UNKNOWN_CONFIRMATIONS = 3


@dataclass(frozen=True)
class Belief:
    """What is believed of one thing, and how many of the latest results speak for something worse.

    An unknown result neither adds to the other counts nor ends them.
    """

    status: CheckStatus = CheckStatus.OK
    bad_in_a_row: int = 0
    critical_in_a_row: int = 0
    unknown_in_a_row: int = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing speaks for anything bad."""
        return self == Belief()


def settle(before: Belief, reading: Reading, *, confirmations: int) -> Belief:
    """What is believed after a reading.

    Warning and critical are each believed after `confirmations` results in a row that are at least as bad. What
    is believed stays until the value is back beyond the recovery margin; then one result ends it. More
    confirmations asked for later take nothing back.
    """
    if reading.status is CheckStatus.UNKNOWN:
        return _unmeasured(before, confirmations)
    level = max(reading.status, _kept(before, reading), key=lambda status: status.rank)
    if level not in BAD:
        return Belief()
    after = Belief(
        status=before.status,
        bad_in_a_row=before.bad_in_a_row + 1,
        critical_in_a_row=before.critical_in_a_row + 1 if level is CheckStatus.CRITICAL else 0,
    )
    is_known = level is CheckStatus.CRITICAL and before.status is CheckStatus.CRITICAL
    if is_known or after.critical_in_a_row >= confirmations:
        return replace(after, status=CheckStatus.CRITICAL)
    if after.bad_in_a_row >= confirmations or before.status in BAD:
        return replace(after, status=CheckStatus.WARNING)
    return after


def _kept(before: Belief, reading: Reading) -> CheckStatus:
    """What the recovery margin keeps of what was believed; it never makes that worse."""
    if before.status not in BAD:
        return CheckStatus.OK
    return min(before.status, reading.held, key=lambda status: status.rank)


def _unmeasured(before: Belief, confirmations: int) -> Belief:
    count = before.unknown_in_a_row + 1
    is_news = before.status is CheckStatus.OK and count >= max(confirmations, UNKNOWN_CONFIRMATIONS)
    status = CheckStatus.UNKNOWN if is_news else before.status
    return replace(before, status=status, unknown_in_a_row=count)
