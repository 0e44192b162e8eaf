"""Places for runs: who holds one, who rests, and how many more may begin."""

import asyncio
from collections.abc import Mapping

import pytest

from flows.executor import Executor
from flows.slots import RunSlot, Slots
from storage.log_fields import run_fields
from tasks.attempt import current_slot


async def go_on_soon(slot: RunSlot) -> bool:
    """Whether a run gets its place within a moment."""
    try:
        await asyncio.wait_for(slot.take(), 0.05)
    except TimeoutError:
        return False
    return True


def test_a_run_that_rests_lets_another_begin_and_still_counts_as_in_flight() -> None:
    async def three_runs() -> list[int]:
        slots = Slots(1)
        first, second = slots.place("full"), slots.place("full")
        await first.take()
        free = [slots.free("full")]
        first.rest()
        free.append(slots.free("full"))
        await second.take()
        second.rest()
        free.append(slots.free("full"))  # two in flight are enough, though nobody holds the place
        second.give_back()
        return [*free, slots.free("full")]

    assert asyncio.run(three_runs()) == [0, 1, 0, 1]


def test_a_run_that_has_rested_waits_for_its_place() -> None:
    async def two_runs() -> list[str]:
        slots = Slots(1)
        rested, other = slots.place("full"), slots.place("full")
        await rested.take()
        rested.rest()
        await other.take()
        order = []

        async def go_on() -> None:
            await rested.take()
            order.append("rested goes on")

        waiting = asyncio.create_task(go_on())
        await asyncio.sleep(0.01)
        order.append("other ends")
        other.give_back()
        await waiting
        return [*order, str(slots.free("full"))]

    assert asyncio.run(two_runs()) == ["other ends", "rested goes on", "0"]


def test_a_run_that_ends_while_it_rests_leaves_nothing_behind() -> None:
    async def one_run() -> tuple[int, int]:
        slots = Slots(2)
        place = slots.place("full")
        await place.take()
        place.rest()
        place.rest()
        place.give_back()
        place.give_back()
        return slots.free("full"), slots._in_flight["full"]

    assert asyncio.run(one_run()) == (2, 0)


def test_a_pipelines_rest_is_no_other_pipelines() -> None:
    async def rest() -> int:
        slots = Slots(1)
        for _ in range(2):
            place = slots.place("full")
            await place.take()
            place.rest()
        return slots.free("direct")

    assert asyncio.run(rest()) == 1


@pytest.mark.parametrize("per_pipeline", [1, 3])
def test_many_runs_spawned_at_once_are_in_flight_only_twice_as_many_as_there_are_places(per_pipeline: int) -> None:
    async def spawn_thirty() -> tuple[int, int, int]:
        slots = Slots(per_pipeline)
        executor = Executor(slots)
        in_flight: set[int] = set()
        counts: list[int] = []

        async def measure(number: int) -> None:
            slot = current_slot.get()
            assert slot
            in_flight.add(number)
            counts.append(len(in_flight))
            for _ in range(2):  # two nodes that wait, and then one that works
                await slot.take()
                slot.rest()
                await asyncio.sleep(0.001)
            await slot.take()
            in_flight.remove(number)

        runs = [executor.spawn(str(number), slots.place("full"), measure(number)) for number in range(30)]
        await asyncio.wait_for(asyncio.gather(*runs), 10)
        return max(counts), len(counts), slots.free("full")

    assert asyncio.run(spawn_thirty()) == (2 * per_pipeline, 30, per_pipeline)


def test_a_run_in_backoff_is_not_in_flight() -> None:
    async def three_runs() -> list[bool]:
        slots = Slots(1)
        backing_off, resting, third = (slots.place("full") for _ in range(3))
        for place in (backing_off, resting):
            await place.take()
            place.rest()
        begins = [await go_on_soon(third)]
        backing_off.give_back()
        begins.append(await go_on_soon(third))
        third.rest()
        begins.append(await go_on_soon(backing_off))  # it waits like any other
        resting.give_back()
        begins.append(await go_on_soon(backing_off))
        return begins

    assert asyncio.run(three_runs()) == [False, True, False, True]


def test_lines_of_a_run_name_it_before_it_has_begun() -> None:
    async def first_words() -> list[Mapping[str, str] | None]:
        said: list[Mapping[str, str] | None] = []

        async def begin() -> None:
            said.append(run_fields.get())

        executor = Executor(Slots(1))
        await executor.spawn("run-1", executor.slots.place("mine"), begin())
        return said

    assert asyncio.run(first_words()) == [{"run_id": "run-1"}]


def test_a_run_that_is_cut_off_while_it_waits_for_its_place_leaves_nothing_behind() -> None:
    async def cut_off() -> tuple[int, int]:
        slots = Slots(1)
        holder, cut = slots.place("full"), slots.place("full")
        await holder.take()
        assert not await go_on_soon(cut)
        cut.give_back()
        holder.rest()
        after_rest = slots.free("full")  # one in flight, so another may begin
        holder.give_back()
        return after_rest, slots._in_flight["full"]

    assert asyncio.run(cut_off()) == (1, 0)


def test_no_more_may_begin_while_others_wait_to() -> None:
    async def wait() -> list[int]:
        slots = Slots(1)
        holder, second, third = (slots.place("full") for _ in range(3))
        await holder.take()
        waiting = [asyncio.create_task(place.take()) for place in (second, third)]
        await asyncio.sleep(0)
        free = [slots.free("full")]
        holder.give_back()
        free.append(slots.free("full"))
        await waiting[0]
        second.rest()
        free.append(slots.free("full"))
        await waiting[1]
        return free

    assert asyncio.run(wait()) == [0, 0, 0]


def test_what_a_run_that_ends_leaves_goes_to_those_who_wait_to_begin() -> None:
    async def wait() -> int:
        slots = Slots(1)
        first, second, third = (slots.place("full") for _ in range(3))
        for place in (first, second):
            await place.take()
            place.rest()
        waiting = asyncio.create_task(third.take())
        await asyncio.sleep(0)
        first.give_back()
        free = slots.free("full")
        await waiting
        return free

    assert asyncio.run(wait()) == 0


@pytest.mark.parametrize("is_resting", [True, False])
def test_whoever_waits_for_a_place_hears_of_a_run_that_ended(is_resting: bool) -> None:
    async def end() -> int:
        heard: list[int] = []
        slots = Slots(1, on_free=lambda: heard.append(slots.free("full")))
        first, second = slots.place("full"), slots.place("full")
        await first.take()
        first.rest()
        await second.take()
        second.rest()
        heard.clear()
        if not is_resting:
            await first.take()
        first.give_back()
        return heard[-1]

    assert asyncio.run(end()) == 1
