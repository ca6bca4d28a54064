"""The clients against the real Asterisk, under an application name of their own so that the service is left alone."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import closing, suppress

import msgspec
import pytest
import pytest_asyncio

from comunik_pbx.asterisk.ami import AmiClient
from comunik_pbx.asterisk.ari import AriClient
from comunik_pbx.asterisk.ari_events import Connected, Disconnected, StasisStart
from comunik_pbx.asterisk.errors import (
    AmiRefused,
    AmiTimeout,
    ApplicationReplaced,
    AriDisabled,
    AriRefused,
    ChannelGone,
    ChannelNotInStasis,
    UnsafeValue,
)
from comunik_pbx.calls.exact_rings import CALLER, LEG
from comunik_pbx.sandbox.company import AMI_USER, ARI_USER
from comunik_pbx.sandbox.sandbox import Sandbox
from tests.asterisk.listening import Told, listening
from tests.pbx import PBX

pytestmark = PBX

APP = "comunik-clients-test"


def ari_of(sandbox: Sandbox, **options: float) -> AriClient:
    return AriClient(sandbox.ari_url, ARI_USER, sandbox.passwords.ari, app=APP, **options)  # type: ignore[arg-type]


def ami_of(sandbox: Sandbox, **options: float) -> AmiClient:
    addresses = sandbox.layout.addresses
    return AmiClient(addresses.host, addresses.ami, AMI_USER, sandbox.passwords.ami, **options)


@pytest_asyncio.fixture(loop_scope="session")
async def ari(sandbox: Sandbox) -> AsyncIterator[AriClient]:
    async with ari_of(sandbox) as client:
        yield client


async def enter(ari: AriClient, told: Told) -> StasisStart:
    """A channel that waits in our application: one half of a Local pair that nobody dials."""
    await ari.request("POST", f"/channels/create?endpoint=Local/nobody@nowhere&app={APP}&appArgs=incoming,101")
    start = await told.following()
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


async def sets(ari: AriClient, channel: str, variable: str, value: str) -> None:
    """Set a channel variable; Asterisk 16 answers before it is there."""
    await ari.request(
        "POST", f"/channels/{channel}/variable", msgspec.json.encode({"variable": variable, "value": value})
    )
    async with asyncio.timeout(5):
        while await ari.channels.variable(channel, variable) != value:
            pass


async def test_a_channel_enters_gets_a_variable_and_goes_on(ari: AriClient) -> None:
    async with listening(ari) as told:
        assert await told.following() == Connected()
        start = await enter(ari, told)
        assert start.args == ["incoming", "101"]
        channel = start.channel.id
        other_half = next(c.id for c in await ari.channels.list() if c.name == start.channel.name[:-1] + "2")
        with pytest.raises(ChannelNotInStasis):
            await ari.channels.continue_with(other_half, "A", "b", context="c", extension="plan", priority=1)
        await sets(ari, channel, "CK_PLAN", "1|ring~101~a&b~3~14.9~next~~~~|end~19")
        value = await ari.request("GET", f"/channels/{channel}/variable?variable=CK_PLAN")
        assert b"1|ring~101~a&b~3~14.9~next~~~~|end~19" in value
        await ari.channels.hangup(channel)
        async with asyncio.timeout(5):
            while channel in {c.id for c in await ari.channels.list()}:
                pass
        with pytest.raises(ChannelGone):
            await ari.channels.continue_with(channel, "A", "b", context="c", extension="plan", priority=1)


async def test_a_second_client_replaces_the_first(sandbox: Sandbox, ari: AriClient) -> None:
    async with listening(ari) as first, ari_of(sandbox) as other:
        assert await first.following() == Connected()
        async with listening(other) as second:
            assert await second.following() == Connected()
            with pytest.raises(ApplicationReplaced):
                await first.following()
            start = await enter(other, second)
            await other.channels.hangup(start.channel.id)


async def test_functions_are_evaluated_on_a_channel_and_phones_have_theirs(ari: AriClient) -> None:
    async with listening(ari) as told:
        assert await told.following() == Connected()
        channel = (await enter(ari, told)).channel.id
        await sets(ari, channel, "CK_PASS", "2")
        assert (
            await ari.channels.evaluated(channel, "EVAL(${CK_PASS}|${CHANNEL(linkedid)}|${NOT_SET})") == f"2|{channel}|"
        )
        decided, passes, *_, now, rang, progressed, linked = (await ari.channels.evaluated(channel, CALLER)).split("|")
        assert (decided, passes, rang, progressed, linked) == ("", "2", "", "", f"{channel}&")
        assert abs(int(now) / 1000 - time.time()) < 5
        assert (await ari.channels.evaluated(channel, LEG)).partition("|")[0] == linked
        assert await ari.endpoints.channels("101") == []
        assert await ari.endpoints.channels("nobody") == []
        await ari.channels.hangup(channel)
        async with asyncio.timeout(5):
            while channel in {c.id for c in await ari.channels.list()}:
                pass
        with pytest.raises(ChannelGone):
            await ari.channels.evaluated(channel, CALLER)


async def test_a_stopped_asterisk_is_noticed_and_found_again(sandbox: Sandbox) -> None:
    with closing(ami_of(sandbox, action_seconds=0.4)) as ami:
        await ami.action("Ping")
        async with ari_of(sandbox, ping_seconds=0.4, command_seconds=0.4) as ari, listening(ari) as told:
            assert await told.following() == Connected()
            os.kill(sandbox.asterisk.pid, signal.SIGSTOP)
            try:
                with pytest.raises(AmiTimeout):  # on the connection that stood
                    await ami.action("Ping")
                with pytest.raises(AmiTimeout):  # on a new one
                    await ami.action("Ping")
                assert not ami.reached
                assert isinstance(await told.following(), Disconnected)
            finally:
                os.kill(sandbox.asterisk.pid, signal.SIGCONT)
            async with asyncio.timeout(20):
                while await told.following() != Connected():
                    pass
                while not ami.reached:
                    with suppress(AmiTimeout):
                        await ami.action("Ping")


async def test_a_manager_is_connected_only_while_there_is_something_to_do(sandbox: Sandbox) -> None:
    """Else Asterisk would write an event for every step of every call."""
    with closing(ami_of(sandbox, linger_seconds=5.0)) as ami:
        await ami.action("Ping")
        assert "0 users connected" not in await sandbox.console("manager show connected")
    async with asyncio.timeout(10):  # the service's own lingers half a second
        while "0 users connected" not in await sandbox.console("manager show connected"):
            pass


async def test_the_database_by_ami(sandbox: Sandbox) -> None:
    with closing(ami_of(sandbox)) as ami:
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
    with closing(ami_of(sandbox)) as ami:
        await ami.db_write("clients-test", [(f"many/{n}", f"1|end~{n}") for n in range(2000)])
        found = await ami.db_get_tree("clients-test")
        assert found == {f"/clients-test/many/{n}": f"1|end~{n}" for n in range(2000)}
        await ami.db_write("clients-test", [("many/0", "later"), ("never/there", None), ("many/0", None)])
        await ami.db_write("clients-test", [(f"many/{n}", None) for n in range(2000)])
        assert await ami.db_get_tree("clients-test") == {}
