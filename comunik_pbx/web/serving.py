"""Serve the portal with uvicorn, in the service's own event loop."""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

log = structlog.get_logger(__name__)

LISTEN_AGAIN_SECONDS = 2.0
"""The port may still be that of the service which this one replaces."""

STOP_SECONDS = 2


MOST_CONNECTIONS = 300
MOST_OF_ONE_ADDRESS = 100
"""Connections at a time: the service needs its file descriptors for calls. Behind a proxy all come from one address."""

IDLE_SECONDS = 20.0
"""A connection is closed that brings no whole request for so long, or does not take what was written to it."""


class Connection(H11Protocol):
    """uvicorn's own, with the limits that it leaves to a proxy: it would wait for ever for a request's head."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take it, or close it at once."""
        super().connection_made(transport)
        self._idle_since = self.loop.time()
        self._look = self.loop.call_later(IDLE_SECONDS / 4, self._look_at_it)
        if len(self.connections) > MOST_CONNECTIONS or self._of_this_address() > MOST_OF_ONE_ADDRESS:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._look.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """It may bring another request."""
        self._idle_since = self.loop.time()
        super().on_response_complete()

    def _of_this_address(self) -> int:
        if self.config.proxy_headers or self.client is None:
            return 0
        others = [one.client for one in self.connections if isinstance(one, Connection)]
        return sum(other is not None and other[0] == self.client[0] for other in others)

    def _look_at_it(self) -> None:
        idle = self.cycle is None or self.cycle.response_complete
        late = self.loop.time() - self._idle_since > IDLE_SECONDS
        if self.transport.is_closing() or (idle and late):
            self.transport.abort()
            return
        self._look = self.loop.call_later(IDLE_SECONDS / 4, self._look_at_it)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        self.should_exit = True
        self._leaving.set()

    async def main_loop(self) -> None:
        """Once a second, for the Date header; uvicorn's own looks ten times a second whether to leave."""
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._leaving.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the service's own."""
        yield


async def serve(app: ASGIApp, address: tuple[str, int], trusted_proxies: Sequence[str] = ()) -> None:
    """Answer at a host and port until cancelled. A port that is taken is tried again."""
    host, port = address
    bound = await _bound(host, port)
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=list(trusted_proxies),
        timeout_keep_alive=20,
        timeout_graceful_shutdown=STOP_SECONDS,
        h11_max_incomplete_event_size=32 * 1024,
    )
    server = _Server(config)
    log.info("portal", url=f"http://{host}:{port}")
    serving = asyncio.create_task(server.serve(sockets=[bound]), name="portal's server")
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.leave()
        await asyncio.wait([serving], timeout=STOP_SECONDS + 1)
        raise
    finally:
        serving.cancel()
        bound.close()
    raise RuntimeError("the portal ended by itself")


async def _bound(host: str, port: int) -> socket.socket:
    told = False
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((host, port))
            made.listen(256)
        except OSError as error:
            made.close()
            if not told:
                log.warning("the portal cannot be offered for now", listen=f"{host}:{port}", why=error.strerror)
            told = True
            await asyncio.sleep(LISTEN_AGAIN_SECONDS)
        else:
            made.setblocking(False)
            return made
