"""Pipelined commands against a server of raw bytes: what no web framework would do."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from yarl import URL

from comunik_pbx.asterisk.ari_pipeline import NotHttp, Pipeline, Response

OK = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def serving(serve: Serve) -> tuple[asyncio.Server, URL]:
    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    return server, URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/ari")


async def head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def test_responses_cut_anywhere_belong_to_their_requests() -> None:
    bodies = [b'{"message":"a"}', b"", b'{"message":"\r\n\r\nHTTP/1.1 200"}']

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in bodies:
            await head(reader)
        for byte in b"".join(
            b"HTTP/1.1 40%d No\r\ncontent-length: %d\r\n\r\n%b" % (n, len(b), b) for n, b in enumerate(bodies)
        ):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        await head(reader)

    server, url = await serving(serve)
    async with server:
        pipeline = Pipeline(url, {})
        responses = await pipeline.send(*[pipeline.request("POST", f"/{n}") for n in range(3)])
        assert [(r.status, r.body) for r in responses] == list(zip((400, 401, 402), bodies, strict=True))
        pipeline.close()


async def test_what_a_closing_connection_left_unanswered_is_sent_once_more() -> None:
    connections = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await head(reader)
        if len(connections) == 1:
            return  # as Asterisk does when a kept-alive connection was idle for too long
        writer.write(OK)
        await head(reader)

    server, url = await serving(serve)
    async with server:
        pipeline = Pipeline(url, {})
        assert [r.status for r in await pipeline.send(pipeline.request("POST", "/x"))] == [204]
        assert len(connections) == 2
        pipeline.close()


async def test_a_server_that_always_closes_is_given_up() -> None:
    connections = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await head(reader)

    server, url = await serving(serve)
    async with server:
        pipeline = Pipeline(url, {})
        with pytest.raises(ConnectionError):
            await pipeline.send(pipeline.request("POST", "/x"))
        assert len(connections) == 2


async def test_something_that_is_no_web_server() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(b"220 mail.example ESMTP\r\n\r\n")
        await head(reader)

    server, url = await serving(serve)
    async with server:
        pipeline = Pipeline(url, {})
        with pytest.raises(NotHttp):
            await pipeline.send(pipeline.request("POST", "/x"))


async def test_a_stuck_connection_delays_only_its_own() -> None:
    connections = []
    connected = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        connected.set()
        stuck = len(connections) == 1
        while True:
            await head(reader)
            if not stuck:
                writer.write(OK)

    server, url = await serving(serve)
    async with server:
        pipeline = Pipeline(url, {}, seconds=0.3, connections=2)
        first = asyncio.create_task(pipeline.send(pipeline.request("POST", "/1")))
        await connected.wait()
        for _ in range(5):
            async with asyncio.timeout(0.2):
                await pipeline.send(pipeline.request("POST", "/2"))
        with pytest.raises(TimeoutError):
            await first
        assert len(connections) == 2
        pipeline.close()


async def test_a_connection_idle_for_too_long_is_not_used_again() -> None:
    connections = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while True:
            await head(reader)
            writer.write(OK)

    server, url = await serving(serve)
    async with server:
        pipeline = Pipeline(url, {}, idle_seconds=0.05)
        for wait in (0.0, 0.0, 0.1):
            await asyncio.sleep(wait)
            await pipeline.send(pipeline.request("POST", "/x"))
        assert len(connections) == 2
        pipeline.close()


@pytest.mark.parametrize(
    ("then", "told"),
    [
        pytest.param("answers", Response, id="answered"),
        pytest.param("closes", ConnectionError, id="the connection is lost"),
        pytest.param("is silent", TimeoutError, id="no answer in time"),
    ],
)
async def test_what_nobody_waits_for_is_told_how_it_went(then: str, told: type) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(OK)
        await head(reader)
        if then == "answers":
            writer.write(OK)
        if then != "closes":
            await head(reader)

    server, url = await serving(serve)
    async with server:
        pipeline = Pipeline(url, {}, seconds=0.2)
        said: asyncio.Future[Response | Exception] = asyncio.get_running_loop().create_future()
        assert not pipeline.begin(pipeline.request("POST", "/1"), said.set_result), "no connection stands yet"
        await pipeline.send(pipeline.request("POST", "/1"))
        assert pipeline.begin(pipeline.request("POST", "/2"), said.set_result)
        async with asyncio.timeout(2):
            assert isinstance(await said, told)
        pipeline.close()
