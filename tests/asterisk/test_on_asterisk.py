"""The clients against the real Asterisk, under an application name of their own so that the service is left alone."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

import pytest
import pytest_asyncio

from comunik_pbx.asterisk.ami import AmiClient, AmiConnected, AmiDisconnected, FullyBooted, Reloaded
from comunik_pbx.asterisk.ari import AriClient
from comunik_pbx.asterisk.ari_events import Connected, Disconnected, StasisStart
from comunik_pbx.asterisk.errors import (
    AmiRefused,
    ApplicationReplaced,
    AriDisabled,
    AriRefused,
    ChannelGone,
    ChannelNotInStasis,
    UnsafeValue,
)
from comunik_pbx.sandbox.company import AMI_USER, ARI_USER
from comunik_pbx.sandbox.sandbox import Sandbox
from tests.pbx import PBX

pytestmark = PBX

APP = "comunik-clients-test"
T = TypeVar("T")


def ari_of(sandbox: Sandbox, **options: float) -> AriClient:
    return AriClient(sandbox.ari_url, ARI_USER, sandbox.passwords.ari, app=APP, **options)  # type: ignore[arg-type]


def ami_of(sandbox: Sandbox, **options: float) -> AmiClient:
    addresses = sandbox.layout.addresses
    return AmiClient(addresses.host, addresses.ami, AMI_USER, sandbox.passwords.ami, **options)  # type: ignore[arg-type]


@pytest_asyncio.fixture(loop_scope="session")
async def ari(sandbox: Sandbox) -> AsyncIterator[AriClient]:
    async with ari_of(sandbox) as client:
        yield client


async def following(events: AsyncGenerator[T, None]) -> T:
    async with asyncio.timeout(10):
        return await anext(events)


async def enter(ari: AriClient, events: AsyncGenerator[object, None]) -> StasisStart:
    """A channel that waits in our application: one half of a Local pair that nobody dials."""
    await ari.request("POST", f"/channels/create?endpoint=Local/nobody@nowhere&app={APP}&appArgs=incoming,101")
    start = await following(events)
    assert isinstance(start, StasisStart)
    return start


async def test_what_is_wrong_is_said_at_once(sandbox: Sandbox, ari: AriClient) -> None:
    assert sandbox.asterisk.program.version in await ari.check()
    async with AriClient(sandbox.ari_url, ARI_USER, "guess") as client:
        with pytest.raises(AriRefused):
            await client.check()
    async with AriClient(sandbox.ari_url + "/not-here", ARI_USER, sandbox.passwords.ari) as client:
        with pytest.raises(AriDisabled):
            await client.check()
    await ami_of(sandbox).check()
    addresses = sandbox.layout.addresses
    with pytest.raises(AmiRefused):
        await AmiClient(addresses.host, addresses.ami, AMI_USER, "guess").check()


async def test_a_channel_enters_gets_a_variable_and_goes_on(ari: AriClient) -> None:
    async with contextlib.aclosing(ari.events()) as events:
        assert await following(events) == Connected()
        start = await enter(ari, events)
        assert start.args == ["incoming", "101"]
        channel = start.channel.id
        other_half = next(c.id for c in await ari.channels.list() if c.name == start.channel.name[:-1] + "2")
        with pytest.raises(ChannelNotInStasis):
            await ari.channels.continue_with(other_half, "A", "b", context="c", extension="plan", priority=1)
        await ari.channels.set_variable(channel, "CK_PLAN", "1|ring~101~a&b~3~14.9~next~~~~|end~19")
        value = await ari.request("GET", f"/channels/{channel}/variable?variable=CK_PLAN")
        assert b"1|ring~101~a&b~3~14.9~next~~~~|end~19" in value
        await ari.channels.hangup(channel)
        async with asyncio.timeout(5):
            while channel in {c.id for c in await ari.channels.list()}:
                pass
        with pytest.raises(ChannelGone):
            await ari.channels.continue_with(channel, "A", "b", context="c", extension="plan", priority=1)


async def test_a_second_client_replaces_the_first(sandbox: Sandbox, ari: AriClient) -> None:
    async with contextlib.aclosing(ari.events()) as first, ari_of(sandbox) as other:
        assert await following(first) == Connected()
        async with contextlib.aclosing(other.events()) as second:
            assert await following(second) == Connected()
            with pytest.raises(ApplicationReplaced):
                await following(first)
            start = await enter(other, second)
            await other.channels.hangup(start.channel.id)


async def test_a_stopped_asterisk_is_noticed_and_found_again(sandbox: Sandbox) -> None:
    ami = ami_of(sandbox, ping_seconds=0.4, action_seconds=0.4)
    async with (
        ari_of(sandbox, ping_seconds=0.4, command_seconds=0.4) as ari,
        contextlib.aclosing(ari.events()) as ari_events,
        contextlib.aclosing(ami.events()) as ami_events,
    ):
        assert await following(ari_events) == Connected()
        assert await following(ami_events) == AmiConnected()
        assert await following(ami_events) == FullyBooted()
        os.kill(sandbox.asterisk.pid, signal.SIGSTOP)
        try:
            assert isinstance(await following(ari_events), Disconnected)
            assert isinstance(await following(ami_events), AmiDisconnected)
            assert not ami.connected
        finally:
            os.kill(sandbox.asterisk.pid, signal.SIGCONT)
        async with asyncio.timeout(20):
            while await anext(ari_events) != Connected():
                pass
            while await anext(ami_events) != AmiConnected():
                pass


async def test_the_database_by_ami(sandbox: Sandbox) -> None:
    ami = ami_of(sandbox)
    async with contextlib.aclosing(ami.events()) as events:
        assert await following(events) == AmiConnected()
        await ami.db_put("clients-test/external", "101", "1|ring~101~a&b~3~14.9~next~~~~|end~19 é")
        await ami.db_put("clients-test/internal", "101", "x" * 900)
        found = await ami.db_get_tree("clients-test")
        assert found["/clients-test/external/101"] == "1|ring~101~a&b~3~14.9~next~~~~|end~19 é"
        assert len(found["/clients-test/internal/101"]) == 900
        # A line of AMI has at most 1024 bytes: a longer plan is published in several values.
        with pytest.raises(UnsafeValue, match="at most 1000"):
            await ami.db_put("clients-test/external", "101", "x" * 1100)
        assert await ami.db_del("clients-test/external", "101") is True
        assert await ami.db_del("clients-test/internal", "101") is True
        assert await ami.db_del("clients-test/internal", "101") is False
        assert await ami.db_get_tree("clients-test") == {}


async def test_many_entries_at_a_time(sandbox: Sandbox) -> None:
    ami = ami_of(sandbox)
    async with contextlib.aclosing(ami.events()) as events:
        assert await following(events) == AmiConnected()
        await ami.db_write("clients-test", [(f"many/{n}", f"1|end~{n}") for n in range(2000)])
        found = await ami.db_get_tree("clients-test")
        assert found == {f"/clients-test/many/{n}": f"1|end~{n}" for n in range(2000)}
        await ami.db_write("clients-test", [("many/0", "later"), ("never/there", None), ("many/0", None)])
        await ami.db_write("clients-test", [(f"many/{n}", None) for n in range(2000)])
        assert await ami.db_get_tree("clients-test") == {}


async def test_a_reload_is_told(sandbox: Sandbox) -> None:
    ami = ami_of(sandbox)
    async with contextlib.aclosing(ami.events()) as events:
        assert await following(events) == AmiConnected()
        await sandbox.console("module reload res_musiconhold.so")
        async with asyncio.timeout(5):
            while await anext(events) != Reloaded():
                pass
