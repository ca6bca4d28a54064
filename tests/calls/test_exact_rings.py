"""The task that ends the ringing, on a fake ARI."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import capture_logs

from comunik_pbx.asterisk.ami_dial import LegEvent, LegNews
from comunik_pbx.calls.exact_rings import EARLY_SECONDS, STALE_SECONDS, ExactRings
from comunik_pbx.forwarding.steps import Ring
from tests.asterisk.fake_ari import FakeAri

SECONDS = {"101": 0.05, "102": 60.0, "103": 0.2}
RINGS = {("call", one): Ring(one, (one,), 1, EARLY_SECONDS + seconds) for one, seconds in SECONDS.items()}


@pytest.fixture
async def ari() -> AsyncIterator[FakeAri]:
    async with FakeAri() as fake:
        yield fake


@contextlib.asynccontextmanager
async def watching(ari: FakeAri, clock: Callable[[], float] = time.monotonic) -> AsyncIterator[ExactRings]:
    async with ari.client() as client:
        rings = ExactRings(client, lambda call, extension: RINGS.get((call, extension)), clock=clock)
        running = asyncio.create_task(rings.run())
        try:
            yield rings
            assert not running.done()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def leg(name: str, news: LegNews, extension: str = "101") -> LegEvent:
    return LegEvent("call", extension, name, news)


def hung_up(ari: FakeAri) -> list[str]:
    return [path for method, path, _ in ari.commands if method == "DELETE"]


async def test_all_legs_are_ended_once_it_has_rung_enough(ari: FakeAri) -> None:
    ari.legs = {"a": "Ringing", "b": "Down"}
    async with watching(ari) as rings:
        for name in "abc":  # c is gone by then
            rings.heard(leg(name, LegNews.BEGUN))
        rings.heard(leg("a", LegNews.RINGING))
        await ari.until_asked(5)
    assert sorted(hung_up(ari)) == ["channels/a?reason=no_answer", "channels/b?reason=no_answer"]


async def test_nothing_is_ended_when_a_leg_has_just_been_answered(ari: FakeAri) -> None:
    ari.legs = {"a": "Ringing", "b": "Up"}
    async with watching(ari) as rings:
        rings.heard(leg("b", LegNews.BEGUN))
        rings.heard(leg("a", LegNews.RINGING))
        await ari.until_asked(2)
        await asyncio.sleep(0.05)
    assert hung_up(ari) == []


async def test_nothing_is_ended_by_a_look_that_took_too_long(ari: FakeAri, monkeypatch: pytest.MonkeyPatch) -> None:
    """We were stopped between the look and its answer: somebody may be talking by now."""
    look, loop, stopped = ExactRings._state, asyncio.get_running_loop(), 0.0

    async def late(self: ExactRings, leg: str) -> str | None:
        nonlocal stopped
        state = await look(self, leg)
        stopped = STALE_SECONDS
        return state

    monkeypatch.setattr(ExactRings, "_state", late)
    ari.legs = {"a": "Ringing"}
    with capture_logs() as logs:
        async with watching(ari, lambda: loop.time() + stopped) as rings:
            rings.heard(leg("a", LegNews.RINGING))
            await ari.until_asked(1)
            while not logs:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert hung_up(ari) == []


async def test_a_plan_that_turns_out_not_to_be_carried_out_ends_no_ringing(ari: FakeAri) -> None:
    ari.legs = {"a": "Ringing", "b": "Ringing"}
    carried_out = dict(RINGS)
    async with ari.client() as client:
        rings = ExactRings(client, lambda call, extension: carried_out.get((call, extension)))
        running = asyncio.create_task(rings.run())
        rings.heard(leg("b", LegNews.RINGING))
        rings.heard(LegEvent("another", "101", "a", LegNews.RINGING))
        carried_out.clear()
        await asyncio.sleep(0.1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert ari.commands == []


async def test_the_one_due_first_is_ended_first(ari: FakeAri) -> None:
    ari.legs = {"a": "Ringing", "b": "Ringing"}
    async with watching(ari) as rings:
        rings.heard(LegEvent("call", "102", "b", LegNews.RINGING))
        await asyncio.sleep(0.01)  # it waits for that one, a minute
        rings.heard(leg("a", LegNews.RINGING))
        await ari.until_asked(2)
    assert hung_up(ari) == ["channels/a?reason=no_answer"]


async def test_a_leg_in_progress_that_rings_after_all_counts_from_then(ari: FakeAri) -> None:
    """A 180 with SDP after a 183: AMI says PROGRESS twice, and the leg's state is the only sign."""
    ari.legs = {"a": "Down"}
    async with watching(ari) as rings:
        rings.heard(leg("a", LegNews.PROGRESS, "103"))
        await asyncio.sleep(0.1)
        ari.legs["a"] = "Ringing"
        rings.heard(leg("a", LegNews.PROGRESS, "103"))
        rang_at = asyncio.get_running_loop().time()
        await ari.until_asked(4)
        assert asyncio.get_running_loop().time() - rang_at >= SECONDS["103"]
    assert hung_up(ari) == ["channels/a?reason=no_answer"]


async def test_asterisk_refusing_disturbs_no_other_call(ari: FakeAri) -> None:
    async with watching(ari) as rings:
        ari.status = 500
        with capture_logs() as logs:
            rings.heard(leg("a", LegNews.RINGING))
            while not logs:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        ari.status = None
        ari.legs = {"b": "Ringing"}
        rings.heard(leg("b", LegNews.RINGING))
        await ari.until_asked(2)
    assert [entry["event"] for entry in logs] == ["ringing could not be ended: left to the dialplan"]
    assert hung_up(ari) == ["channels/b?reason=no_answer"]


async def test_no_right_to_hear_is_said_once_and_rings_are_counted_by_the_dialplan(ari: FakeAri) -> None:
    async with watching(ari) as rings:
        rings.connected()
        with capture_logs() as logs:
            rings.call_rang()
            rings.call_rang()
        assert not rings.hearing
        assert ["`read`" in entry["event"] for entry in logs] == [True]
        rings.heard(leg("a", LegNews.BEGUN))
        rings.call_rang()
        assert rings.hearing
