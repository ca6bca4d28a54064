"""A TCP proxy between the service and Asterisk that can fail as networks do.

async with Proxy("127.0.0.1", 8088) as ari:
    …                      # the service connects to ari.port
    ari.cut()              # FIN on every connection; new ones are taken
    ari.silence()          # what stands says nothing more, in either direction; new ones work
    ari.silence(back_only=True)    # half-open: the service is heard, and hears nothing
    await ari.refuse()     # RST for whoever stands and whoever comes, until
    await ari.accept()
"""

import asyncio
import socket
import struct
from contextlib import suppress
from types import TracebackType
from typing import Self

CONNECT_SECONDS = 5.0
CHUNK_BYTES = 65536


class _Pair:
    """One connection and its other half. `forth` and `back`: whether bytes still pass to Asterisk, and back."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.forth = self.back = True

    def close(self, *, reset: bool = False) -> None:
        for writer in (self.client, self.server):
            if reset:
                with suppress(OSError, AttributeError):  # closed already
                    linger = struct.pack("ii", 1, 0)  # RST instead of FIN (socket(7))
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            else:
                writer.close()


class Proxy:
    """Listens on a free port of the same host, `port`, and passes on to `(host, to_port)`."""

    def __init__(self, host: str, to_port: int) -> None:
        self.port = 0
        self._host = host
        self._to_port = to_port
        self._server: asyncio.Server | None = None
        self._pairs: set[_Pair] = set()
        self._passing: set[asyncio.Task[None] | None] = set()

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()

    async def accept(self) -> None:
        """Listen (again), on the same port as before."""
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, self._host, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Nobody is there: connections are reset, new ones refused. Returns when they are gone."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for pair in list(self._pairs):
            pair.close(reset=True)
        await asyncio.gather(*(task for task in self._passing if task), return_exceptions=True)

    def cut(self) -> None:
        """Close all connections in order."""
        for pair in list(self._pairs):
            pair.close()

    def silence(self, *, back_only: bool = False) -> None:
        """Let nothing pass any more on the connections there are, or nothing from Asterisk."""
        for pair in self._pairs:
            pair.back = False
            pair.forth = pair.forth and back_only

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                from_server, to_server = await asyncio.open_connection(self._host, self._to_port)
        except (OSError, TimeoutError):
            writer.transport.abort()
            return
        pair, task = _Pair(writer, to_server), asyncio.current_task()
        if self._server is None:  # refused meanwhile
            pair.close(reset=True)
            return
        self._pairs.add(pair)
        self._passing.add(task)
        try:
            await asyncio.gather(self._pass(pair, reader, forth=True), self._pass(pair, from_server, forth=False))
        finally:
            self._pairs.discard(pair)
            self._passing.discard(task)
            pair.close(reset=True)
            await asyncio.sleep(0)  # the loop closes them in its next round

    async def _pass(self, pair: _Pair, reader: asyncio.StreamReader, *, forth: bool) -> None:
        """Pass bytes one way until that side closes."""
        writer = pair.server if forth else pair.client
        with suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                if pair.forth if forth else pair.back:
                    writer.write(chunk)
                    await writer.drain()
            if pair.forth if forth else pair.back:
                writer.close()
