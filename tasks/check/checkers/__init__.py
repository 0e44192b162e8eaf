"""The checkers, in the order in which their results are shown.

To add one: a module with a class that fulfils `base.Checker`, and a line here.
"""

from tasks.check.checkers.base import Checker
from tasks.check.checkers.cpu import Cpu
from tasks.check.checkers.disk import Disk
from tasks.check.checkers.memory import Memory

CHECKERS: dict[str, type[Checker]] = {
    "cpu": Cpu,
    "memory": Memory,
    "disk": Disk,
}
