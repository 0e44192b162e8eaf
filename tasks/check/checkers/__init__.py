"""The checkers, in the order in which their results are shown.

To add one: a module with a class that fulfils `base.Checker`, and a line here.
"""

from tasks.check.checkers.base import Checker
from tasks.check.checkers.certificate import Certificate
from tasks.check.checkers.clock_skew import ClockSkew
from tasks.check.checkers.cpu import Cpu
from tasks.check.checkers.cpu_temp import CpuTemp
from tasks.check.checkers.disk import Disk
from tasks.check.checkers.disk_common import DiskCommon
from tasks.check.checkers.disk_inodes import DiskInodes
from tasks.check.checkers.disk_linux import DiskLinux
from tasks.check.checkers.disk_macos import DiskMacOS
from tasks.check.checkers.disk_temp import DiskTemp
from tasks.check.checkers.http import Http
from tasks.check.checkers.io_strain import IoStrain
from tasks.check.checkers.listening_ports import ListeningPorts
from tasks.check.checkers.load import Load
from tasks.check.checkers.memory import Memory
from tasks.check.checkers.network import Network
from tasks.check.checkers.process import Process
from tasks.check.checkers.raid import Raid
from tasks.check.checkers.reboot_required import RebootRequired
from tasks.check.checkers.swap_io import SwapIo
from tasks.check.checkers.systemd_units import SystemdUnits

CHECKERS: dict[str, type[Checker]] = {
    "cpu": Cpu,
    "load": Load,
    "memory": Memory,
    "swap_io": SwapIo,
    "disk": Disk,
    "disk_inodes": DiskInodes,
    "raid": Raid,
    "cpu_temp": CpuTemp,
    "disk_temp": DiskTemp,
    "systemd_units": SystemdUnits,
    "reboot_required": RebootRequired,
    "io_strain": IoStrain,
    "process": Process,
    "network": Network,
    "http": Http,
    "certificate": Certificate,
    "listening_ports": ListeningPorts,
    "clock_skew": ClockSkew,
    "disk_common": DiskCommon,
    "disk_linux": DiskLinux,
    "disk_macos": DiskMacOS,
}
# What is checked where nobody names checkers: what needs no configuration, asks no other machine, and is quick.
DEFAULTS = (
    "cpu",
    "load",
    "memory",
    "swap_io",
    "disk",
    "disk_inodes",
    "raid",
    "cpu_temp",
    "disk_temp",
    "systemd_units",
    "reboot_required",
)
