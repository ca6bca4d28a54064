"""When the supervisor hears that the service is well, and when it does not, on a fake ARI."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from comunik_pbx import watchdog
from comunik_pbx.asterisk.ari import AriClient
from comunik_pbx.readiness import watchdog_seconds
from comunik_pbx.service import _for_ever
from comunik_pbx.watchdog import STUCK_SECONDS, Watchdog
from tests.asterisk.fake_ari import FakeAri

SECONDS = 0.3


class Told:
    """What the supervisor was told."""

    def __init__(self) -> None:
        self.connected, self.since = True, 0.0
        self.count = 0
        self._again = asyncio.Event()

    def tell(self, state: str) -> None:
        assert state == "WATCHDOG=1"
        self.count += 1
        self._again.set()

    async def again(self) -> None:
        """Told once more before the supervisor loses its patience."""
        for _ in range(2):
            self._again.clear()
            async with asyncio.timeout(5):
                await self._again.wait()

    async def not_again(self) -> None:
        await asyncio.sleep(SECONDS)  # what was under way
        before = self.count
        await asyncio.sleep(2 * SECONDS)
        assert self.count == before


@asynccontextmanager
async def watching(ari: FakeAri) -> AsyncIterator[tuple[Told, AriClient]]:
    told = Told()
    async with ari.client() as client:
        clock = asyncio.get_running_loop().time
        watchdog = Watchdog(
            SECONDS, client, ari.client, lambda: (clock() - told.since, told.connected), tell=told.tell, clock=clock
        )
        running = asyncio.create_task(watchdog.run())
        try:
            yield told, client
            assert not running.done()
        finally:
            running.cancel()
            await asyncio.wait([running])


@pytest.fixture
async def ari() -> AsyncIterator[FakeAri]:
    async with FakeAri() as fake:
        yield fake


async def test_told_by_round_trips_to_ari(ari: FakeAri) -> None:
    async with watching(ari) as (told, _):
        await told.again()
    assert {command[:2] for command in ari.commands} == {("GET", "asterisk/ping")}
    assert len(ari.commands) >= told.count


@pytest.mark.parametrize("status", [401, 404, 500, 503])
async def test_an_asterisk_that_refuses_is_not_our_fault(ari: FakeAri, status: int) -> None:
    ari.status = status
    async with watching(ari) as (told, _):
        await told.again()


async def test_an_asterisk_that_answers_nobody_is_not_our_fault(ari: FakeAri) -> None:
    async with watching(ari) as (told, _):
        await told.again()
        ari.frozen = True
        await told.again()


async def test_a_client_that_no_longer_gets_through_is(ari: FakeAri) -> None:
    async with watching(ari) as (told, client):
        await told.again()

        async def hang(*_: object) -> None:
            await asyncio.Event().wait()

        client._pipeline.send = hang  # type: ignore[method-assign,assignment]
        await told.not_again()


async def test_without_a_connection_what_counts_is_that_it_is_tried(ari: FakeAri) -> None:
    ari.frozen = True
    async with watching(ari) as (told, _):
        told.connected, told.since = False, STUCK_SECONDS - 1
        await told.again()
        told.since = STUCK_SECONDS + 1
        await told.not_again()


@pytest.mark.parametrize("pid", ["", "0", "1"])
def test_a_watchdog_meant_for_another_process(pid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "1500000")
    monkeypatch.setenv("WATCHDOG_PID", pid or str(os.getpid()))
    assert watchdog_seconds() == (None if pid else 1.5)
    monkeypatch.setenv("WATCHDOG_USEC", "soon")
    assert watchdog_seconds() is None


async def test_a_task_that_ends_by_itself_is_a_fault() -> None:
    with pytest.raises(RuntimeError, match="'rules' ended by itself"):
        await _for_ever("rules", asyncio.sleep(0))


async def test_without_ari_told_while_the_loop_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()
    monkeypatch.setattr(watchdog, "notify", told.tell)
    running = asyncio.create_task(watchdog.still_turning(SECONDS))
    await told.again()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
