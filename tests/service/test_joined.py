"""Work that many ask for at once."""

import asyncio

import pytest

from comunik_pbx.joined import Joined


class Work:
    def __init__(self) -> None:
        self.begun = 0
        self.at_once = 0
        self.first = asyncio.Event()
        self.gate = asyncio.Event()
        self.wrong: Exception | None = None

    async def __call__(self) -> None:
        self.begun += 1
        self.first.set()
        self.at_once += 1
        assert self.at_once == 1
        await self.gate.wait()
        self.at_once -= 1
        if self.wrong is not None:
            raise self.wrong


async def test_who_asks_while_it_is_done_shares_the_next() -> None:
    work = Work()
    joined = Joined(work)
    first = asyncio.create_task(joined())
    await work.first.wait()
    others = [asyncio.create_task(joined()) for _ in range(50)]
    await asyncio.sleep(0)
    others[0].cancel()
    work.gate.set()
    await first
    done = await asyncio.gather(*others, return_exceptions=True)
    assert [type(one) for one in done] == [asyncio.CancelledError] + [type(None)] * 49
    assert work.begun == 2
    await joined()
    assert work.begun == 3


async def test_all_are_told_what_went_wrong_and_the_next_goes_on() -> None:
    work = Work()
    work.gate.set()
    work.wrong = ValueError("away")
    joined = Joined(work)
    for error in await asyncio.gather(joined(), joined(), return_exceptions=True):
        assert isinstance(error, ValueError)
    with pytest.raises(ValueError, match="away"):
        await joined()
    work.wrong = None
    await joined()


async def test_nothing_goes_on_after_it() -> None:
    work = Work()
    async with Joined(work) as joined:
        asked = [asyncio.create_task(joined()) for _ in range(2)]
        await work.first.wait()
        asked.append(asyncio.create_task(joined()))
        await asyncio.sleep(0)
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one) for one in done] == [asyncio.CancelledError] * 3
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert work.begun == 1
