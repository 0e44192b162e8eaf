"""The kernel's hardware monitors under /sys/class/hwmon, as far as drives are concerned.

Each hwmonN has a `name` (its kernel module), a link `device` to what it belongs to, and readings in thousandths
of a degree. Kernel: Documentation/hwmon/sysfs-interface.rst.
"""

from pathlib import Path

from tasks.check.readings.text import kernel_text, printable

HWMON = Path("/sys/class/hwmon")
DRIVE_MODULES = {"nvme", "drivetemp"}
# A dead sensor says 0, -128 or thousands of degrees; no machine that runs is at its freezing point.
COLDEST_CELSIUS = 0.0
HOTTEST_CELSIUS = 150.0
MAX_NAME_CHARS = 60


def is_plausible(celsius: float) -> bool:
    """Whether a running machine can be that warm."""
    return COLDEST_CELSIUS < celsius <= HOTTEST_CELSIUS


def drive_monitors(hwmon: Path) -> dict[str, Path]:
    """The monitors of drives by the drive's name: `sda`, and `nvme0` for an NVMe controller. Asks no drive."""
    monitors = {}
    for monitor in sorted(hwmon.glob("hwmon*")):
        if kernel_text(monitor / "name") in DRIVE_MODULES:
            monitors[_drive_name((monitor / "device").resolve())] = monitor
    return monitors


def drive_celsius(monitor: Path) -> float:
    """How warm a drive is. Asks the drive, so it may hang with it; raises OSError where it does not answer.

    temp1 is the drive as a whole. Further ones are of single chips, which their makers let run far hotter.
    """
    return float((monitor / "temp1_input").read_text()) / 1000


def drive_limit_celsius(monitor: Path) -> float | None:
    """What the drive itself calls critical, where it says so."""
    text = kernel_text(monitor / "temp1_crit")
    if not text.lstrip("-").isdigit():
        return None
    return limit if is_plausible(limit := int(text) / 1000) else None


def drive_model(monitor: Path) -> str:
    """The drive's model, or nothing."""
    return printable(" ".join(kernel_text(monitor / "device" / "model").split()), MAX_NAME_CHARS)


def _drive_name(device: Path) -> str:
    """A SATA drive's device has `block/sda`; an NVMe one's is `nvme0`, in older kernels its PCI parent."""
    children = [*sorted((device / "block").glob("*")), *sorted((device / "nvme").glob("*")), device]
    return children[0].name[:MAX_NAME_CHARS]
