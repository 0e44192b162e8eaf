"""What one reading explains of another: the answer is about the first, though the alert speaks of the second."""

from collections.abc import Sequence

from storage.records import CheckResult
from tasks.analyze.rules.finding import Finding, Support
from tasks.analyze.rules.subjects import subject_of

# Linux counts into the load what waits for a disk; a host that swaps is busy with its disk, and so is an array
# that has lost a drive. By effect, what may explain it, the most telling first.
EXPLAINS: dict[str, tuple[str, ...]] = {
    "load": ("swap_io", "io_strain"),
    "io_strain": ("swap_io", "raid"),
}
# Where nobody answers, the network is out, or else what should answer does not run.
REFUSING = ("network", "systemd_units", "process")
REFUSALS = frozenset({"host", "refusal", "http"})


def explained(finding: Finding, named: Sequence[str], measured: Sequence[CheckResult]) -> Finding:
    """The finding that may explain this one, by what is over a threshold on the affected host; else this one."""
    over = {check.checker_name: check for check in measured}
    names: tuple[str, ...] = ()
    # Busy processors are load enough by themselves.
    if finding.is_over and "cpu" not in over:
        names = EXPLAINS.get(finding.checker_name, ())
    elif not finding.is_over and REFUSALS.intersection(named):
        names = REFUSING
    check = next((over[name] for name in names if name in over), None)
    if check is None:
        return finding
    effect = finding.check if finding.is_over else None
    return Finding(subject_of(check.checker_name), Support.RELATED, check, effect)
