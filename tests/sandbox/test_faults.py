"""The fault commands, small, and the proxy that fails as networks do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from comunik_pbx.sandbox import faults, faults_load
from comunik_pbx.sandbox.faults_talking import talking
from comunik_pbx.sandbox.proxy import Proxy
from comunik_pbx.sandbox.sandbox import Sandbox
from tests.stories.company import company_of

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def echo_through_proxy() -> AsyncIterator[tuple[Proxy, Streams]]:
    """A server that echoes, behind a proxy, and a connection through it."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(100):
                writer.write(data)
        writer.transport.abort()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, Proxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        try:
            yield proxy, (reader, writer)
        finally:
            writer.transport.abort()
            await proxy.refuse()
            await asyncio.sleep(0.01)  # the server's own connections end


async def echoed(streams: Streams, seconds: float = 5.0) -> bytes:
    streams[1].write(b"hello")
    async with asyncio.timeout(seconds):
        return await streams[0].read(100)


async def test_the_proxy_passes_on_and_cuts() -> None:
    async with echo_through_proxy() as (proxy, streams):
        assert await echoed(streams) == b"hello"
        proxy.cut()
        assert await streams[0].read(100) == b""


@pytest.mark.parametrize("back_only", [False, True])
async def test_the_proxy_falls_silent(back_only: bool) -> None:
    async with echo_through_proxy() as (proxy, streams):
        assert await echoed(streams) == b"hello"
        proxy.silence(back_only=back_only)
        with pytest.raises(TimeoutError):
            await echoed(streams, 0.1)
        another = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await echoed(another) == b"hello"
        another[1].transport.abort()


async def test_the_proxy_refuses_and_accepts_again() -> None:
    async with echo_through_proxy() as (proxy, streams):
        assert await echoed(streams) == b"hello"
        await proxy.refuse()
        with pytest.raises(ConnectionError):
            await streams[0].read(100)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
        await proxy.accept()
        another = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await echoed(another) == b"hello"
        another[1].transport.abort()


@pytest.mark.pbx
@pytest.mark.asyncio(loop_scope="session")
async def test_no_call_is_lost_whatever_fails(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """A few seconds of each kind; `make faults` does it in earnest."""
    await sandbox.console("database deltree comunik-ended")  # what other tests, without the service, have left
    async with company_of(sandbox), faults.instrumented(sandbox):
        await faults_load.prepare(sandbox)
        try:
            for name in ("kill", "upgrade", "cut"):
                assert await faults.tried(sandbox, name, 6.0, 5.0), capsys.readouterr().out
            assert await talking(sandbox, print, seconds=1.0), capsys.readouterr().out
            assert await faults.soak(sandbox, 5.0, 5.0), capsys.readouterr().out
        finally:
            await faults_load.register(sandbox, expires=0)
    said = capsys.readouterr().out
    assert "published" in said  # the killed service decided some, Asterisk's database the others
    assert "live" in said


@pytest.mark.pbx
@pytest.mark.asyncio(loop_scope="session")
async def test_a_call_that_goes_astray_is_noticed(sandbox: Sandbox) -> None:
    """The rules are changed behind the account's back."""
    async with company_of(sandbox) as company:
        await faults_load.prepare(sandbox)
        try:
            await company.forwards(faults_load.TO_COLLEAGUE, "always", "101")
            account = await faults_load.load(sandbox, _nothing, seconds=1.0, per_second=6.0)
        finally:
            await faults_load.register(sandbox, expires=0)
    assert (account.placed, account.lost, account.misled, account.good) == (6, 0, 2, False)


async def _nothing() -> list[faults_load.Window]:
    return []
