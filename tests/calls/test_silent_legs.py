"""What gives up legs without a sign of life, on a fake ARI."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from comunik_pbx.asterisk.ami_dial import LegEvent, LegNews
from comunik_pbx.calls.silent_legs import SilentLegs
from tests.asterisk.fake_ari import FakeAri

SECONDS = {"101": 0.05, "102": 0.2}
BEGUN, RINGING, PROGRESS, ANSWERED, OVER = (
    LegNews.BEGUN, LegNews.RINGING, LegNews.PROGRESS, LegNews.ANSWERED, LegNews.OVER,
)  # fmt: skip


@pytest.fixture
async def ari() -> AsyncIterator[FakeAri]:
    async with FakeAri() as fake:
        yield fake


@contextlib.asynccontextmanager
async def watching(ari: FakeAri) -> AsyncIterator[SilentLegs]:
    async with ari.client() as client:
        silent = SilentLegs(client, lambda event: SECONDS.get(event.extension))
        running = asyncio.create_task(silent.run())
        try:
            yield silent
            assert not running.done()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def leg(name: str, news: LegNews, extension: str = "101", call: str = "call") -> LegEvent:
    return LegEvent(call, extension, name, news)


def hung_up(ari: FakeAri) -> list[str]:
    return [path for method, path, _ in ari.commands if method == "DELETE"]


async def all_given_up(ari: FakeAri, silent: SilentLegs) -> list[str]:
    """What was hung up by the time a leg that begins now is."""
    ari.legs["last"] = "Down"
    silent.heard(leg("last", BEGUN, "102", "the last call"))
    async with asyncio.timeout(5):
        while not any("last" in path for path in hung_up(ari)):
            ari.asked.clear()
            await ari.asked.wait()
    return [path for path in hung_up(ari) if "last" not in path]


async def test_all_legs_of_a_silent_dial_are_given_up(ari: FakeAri) -> None:
    ari.legs = {"a": "Down", "b": "Down"}
    async with watching(ari) as silent:
        for name in "abc":  # c is gone by then
            silent.heard(leg(name, BEGUN))
        gone = await all_given_up(ari, silent)
    assert gone == ["channels/a?reason=timeout", "channels/b?reason=timeout"]


@pytest.mark.parametrize("news", [RINGING, PROGRESS, ANSWERED])
async def test_a_sign_of_life_of_one_is_one_of_all(ari: FakeAri, news: LegNews) -> None:
    ari.legs = {"a": "Down", "b": "Down"}
    async with watching(ari) as silent:
        silent.heard(leg("a", BEGUN))
        silent.heard(leg("b", BEGUN))
        silent.heard(leg("b", news))
        assert await all_given_up(ari, silent) == []


async def test_what_is_over_is_left_alone_and_the_next_step_has_its_own_time(ari: FakeAri) -> None:
    ari.legs = {"a": "Down", "b": "Down"}
    async with watching(ari) as silent:
        silent.heard(leg("a", BEGUN))
        silent.heard(leg("a", OVER))
        silent.heard(leg("b", BEGUN))
        assert await all_given_up(ari, silent) == ["channels/b?reason=timeout"]


async def test_a_leg_that_has_just_begun_to_ring_is_left_alone(ari: FakeAri) -> None:
    ari.legs = {"a": "Down", "b": "Ringing"}
    async with watching(ari) as silent:
        silent.heard(leg("a", BEGUN))
        silent.heard(leg("b", BEGUN))
        assert await all_given_up(ari, silent) == []


async def test_calls_that_are_not_ours_are_left_alone(ari: FakeAri) -> None:
    ari.legs = {"a": "Down"}
    async with watching(ari) as silent:
        silent.heard(leg("a", BEGUN, "999"))
        silent.heard(leg("a", OVER, "999"))
        assert await all_given_up(ari, silent) == []


async def test_news_missed_while_ami_was_away_give_nothing_up(ari: FakeAri) -> None:
    ari.legs = {"a": "Down"}
    async with watching(ari) as silent:
        silent.heard(leg("a", BEGUN))
        silent.connected()
        assert await all_given_up(ari, silent) == []
