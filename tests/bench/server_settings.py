"""What prefect.toml and PostgreSQL do for a plain flow: the figures that stand in prefect.toml."""

from collections.abc import Mapping
from pathlib import Path

from databases import open_folder
from machine import Machine
from probe import probing
from report import Figure, Section, median, progress
from stack import live_stack

REPETITIONS = 8
STOCK, OURS_SQLITE, OURS = "stock on SQLite", "prefect.toml on SQLite", "prefect.toml on PostgreSQL"


def measure(machine: Machine) -> Section:
    """Prefect's server three ways."""
    seconds = {
        OURS: _runs(OURS, machine.stack.client_env, machine.stack.home),
        STOCK: _runs(STOCK, machine.stock.env, machine.stock.folder),
    }
    progress("server-settings: starting the light mode's Prefect server")
    with open_folder() as folder:
        url = f"sqlite:///{folder / 'watchkeeper.db'}"
        with live_stack("--no-web", "--no-worker", WATCHKEEPER_DATABASE_URL=url) as light:
            seconds[OURS_SQLITE] = _runs(OURS_SQLITE, light.client_env, light.home)
    return _section(seconds)


def _runs(name: str, env: Mapping[str, str], cwd: Path) -> list[dict[str, float]]:
    progress(f"server-settings: {name}")
    with probing(env, cwd) as probe:
        return [probe.ask("four_tasks") for _ in range(1 + REPETITIONS)][1:]


def _section(seconds: dict[str, list[dict[str, float]]]) -> Section:
    walls = {name: median([one["wall_seconds"] for one in several]) for name, several in seconds.items()}
    slowest = {name: max(one["wall_seconds"] for one in several) for name, several in seconds.items()}
    figures = [
        Figure(f"4-task flow, {OURS}", walls[OURS], "s", STOCK, walls[STOCK]),
        Figure(f"4-task flow, {OURS_SQLITE}", walls[OURS_SQLITE], "s", STOCK, walls[STOCK]),
        Figure(f"slowest, {OURS}", slowest[OURS], "s", STOCK, slowest[STOCK]),
        Figure(f"slowest, {OURS_SQLITE}", slowest[OURS_SQLITE], "s", STOCK, slowest[STOCK]),
    ]
    notes = [f"medians of {REPETITIONS} calls of an async flow of four empty tasks, one after another, after one"]
    return Section("server-settings", "prefect.toml against Prefect's defaults", figures, notes, {"runs": seconds})
