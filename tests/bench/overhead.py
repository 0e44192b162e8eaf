"""What a `direct` run costs above Prefect's own price, and how long a finished run holds its slot."""

import json
import time
from collections.abc import Iterator
from uuid import UUID

from bodies import webhook
from machine import Machine
from probe import Probe, probing
from report import Figure, Section, median, progress
from stack import LiveStack, wait_until

from storage import runs

WARM_UPS = 2
REPETITIONS = 10


def measure(machine: Machine) -> Section:
    """Each kind of run in turn, all on the default stack's server."""
    stack = machine.stack
    with probing(stack.client_env, stack.home) as probe:
        rounds = list(_rounds(stack, probe))[WARM_UPS:]
    return _section({name: [one[name] for one in rounds] for name in rounds[0]})


def _rounds(stack: LiveStack, probe: Probe) -> Iterator[dict[str, float]]:
    for number in range(WARM_UPS + REPETITIONS):
        if number % 5 == 0:
            progress(f"overhead: round {number + 1} of {WARM_UPS + REPETITIONS}")
        direct = _direct(stack, probe, f"Overhead{number}")
        bare = probe.ask("bare")
        ours = probe.ask("ours", payload=json.loads(webhook(f"OverheadSlot{number}", alerts=3)))
        stock = probe.ask("stock")
        yield {
            "direct, claim to final": direct,
            "bare, request to final": bare["to_final_seconds"],
            "ours beyond final": ours["beyond_seconds"],
            "bare beyond final": bare["beyond_seconds"],
            "stock sync beyond final": stock["beyond_seconds"],
        }


def _direct(stack: LiveStack, probe: Probe, group: str) -> float:
    """Seconds from the relay's claim in the worker to the flow run's final state on Prefect's server."""
    accepted = stack.post(webhook(group, alerts=3), source="alertmanager")
    shown = stack.wait_for_run(accepted)
    with stack.database.read() as session:
        run = runs.find_run(session, shown["run_id"])
    assert run is not None
    final = wait_until(lambda: _final(probe, str(UUID(run.flow_run_id))), 30, what="the flow run's final state")
    time.sleep(0.1)
    return final["final_at"] - run.created_at.timestamp()


def _final(probe: Probe, run_id: str) -> dict[str, float] | None:
    state = probe.ask("state_of", flow_run_id=run_id)
    return state if state["is_final"] else None


def _section(seconds: dict[str, list[float]]) -> Section:
    middle = {name: median(values) for name, values in seconds.items()}
    direct, bare = middle["direct, claim to final"], middle["bare, request to final"]
    longest, bare_beyond = max(seconds["ours beyond final"]), middle["bare beyond final"]
    figures = [
        Figure("a `direct` run", direct, "s", "bare flow of two empty tasks", bare),
        Figure("the same as a ratio", direct / bare, "times", at_most=1.5),
        Figure("slot held beyond the final state", middle["ours beyond final"], "s", "stock sync flow",
               middle["stock sync beyond final"], at_most=0.1, is_below=True),
    ]  # fmt: skip
    notes = [
        f"medians of {REPETITIONS} rounds after {WARM_UPS}, each kind in turn, on the default stack's server",
        "direct: from the claim in the stack's worker to the final state's time on the server, sending included",
        "bare: from the request for a pending run to that time, run_flow_async in a warm process",
        "bare uses a client for each run, as Prefect does by itself; our worker shares one",
        "slot: from the final state's time on the server until the slot is free; below 0 it was free before",
        f"slot: longest {longest * 1000:.0f} ms; a bare async flow's median {bare_beyond * 1000:.0f} ms",
    ]
    return Section("overhead", "our cost above Prefect's own", figures, notes, {"seconds": seconds})
