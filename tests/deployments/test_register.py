"""Taking turns at the registration of the deployments."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from deployments import register
from flows.prefect_link import PrefectLink


def test_registration_that_is_given_up_while_it_waits_keeps_nobody_out_for_ever() -> None:
    nobody: Any = None

    async def give_up() -> None:
        with register._registering:
            async with asyncio.timeout(0.1):
                await register.register(nobody)

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())

    assert register._registering.acquire(timeout=1)
    register._registering.release()


def test_of_many_runs_that_lack_their_deployment_one_registers() -> None:
    nobody: Any = None
    made: list[dict[str, UUID]] = []

    async def make(_client: object) -> dict[str, UUID]:
        await asyncio.sleep(0.01)
        made.append({"mine": uuid4()})
        return made[-1]

    async def look() -> list[dict[str, UUID]]:
        link = PrefectLink(api_url="http://127.0.0.1:9/api", headers={}, register=make)
        known = link._deployments
        return await asyncio.gather(*(link.deployments(nobody, instead_of=known) for _ in range(5)))

    found = asyncio.run(look())

    assert len(made) == 1
    assert found == made * 5
