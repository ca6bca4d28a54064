"""Calls begun from the portal: who watches them."""

import asyncio
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any

import pytest

from comunik_pbx.asterisk.errors import ChannelGone
from comunik_pbx.calls import dialling
from comunik_pbx.calls.dialling import MOST_WATCHING, Dialling
from comunik_pbx.forwarding.directory import Extension

ALICE = Extension(number="101", name="Alice", endpoints=("101",))


class Channels:
    """A channel that is `Ring`, `Up`, or gone; and how often somebody has asked."""

    def __init__(self) -> None:
        self.state: str | None = "Ring"
        self.peer = ""
        self.asked = 0

    async def originate(self, *_: object, **__: object) -> None:
        pass

    async def get(self, call_id: str) -> Any:
        self.asked += 1
        if self.state is None:
            raise ChannelGone("gone")
        return SimpleNamespace(state=self.state)

    async def variable(self, call_id: str, name: str) -> str:
        return self.peer


class Endpoints:
    async def online(self, endpoint: str) -> bool:
        return True


@pytest.fixture
def channels(monkeypatch: pytest.MonkeyPatch) -> Channels:
    monkeypatch.setattr(dialling, "LOOK_SECONDS", 0.001)
    return Channels()


async def begun(channels: Channels) -> Dialling:
    made = Dialling(SimpleNamespace(channels=channels, endpoints=Endpoints()), "from-phones")  # type: ignore[arg-type]
    await made.call(ALICE, "102")
    return made


async def test_how_a_call_goes(channels: Channels) -> None:
    calls, told = await begun(channels), []
    async for state in calls.progress("101"):
        told.append(state)
        if state == "phone":
            channels.state = "Up"
        elif state == "dialling":
            channels.peer = "PJSIP/102-1"
        elif state == "talking":
            channels.state = None
    assert told == ["phone", "dialling", "talking", "ended"]
    assert [state async for state in calls.progress("101")] == ["ended"]


async def test_only_the_newest_watch(channels: Channels) -> None:
    """So that a hundred open pages of one user ask Asterisk no more than three do."""
    calls = await begun(channels)
    told: list[list[str]] = [[] for _ in range(20)]

    async def watch(place: int) -> None:
        async with aclosing(calls.progress("101")) as states:
            async for state in states:
                told[place].append(state)

    watchers = [asyncio.create_task(watch(place)) for place in range(20)]
    async with asyncio.timeout(5):
        await asyncio.wait(watchers[:-MOST_WATCHING])
    assert not any(watcher.done() for watcher in watchers[-MOST_WATCHING:])
    channels.state = None
    async with asyncio.timeout(5):
        await asyncio.gather(*watchers)
    assert told[-MOST_WATCHING:] == [["phone", "unanswered"]] * MOST_WATCHING
    assert all(states in ([], ["phone"]) for states in told[:-MOST_WATCHING])
    assert calls._watching == {}


async def test_who_leaves_makes_room(channels: Channels) -> None:
    calls = await begun(channels)
    for _ in range(10):
        async with aclosing(calls.progress("101")) as states:
            assert await anext(states) == "phone"
    assert calls._watching == {}
