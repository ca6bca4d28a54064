"""Serve the portal with uvicorn, in the service's own event loop."""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog
import uvicorn
from starlette.types import ASGIApp

log = structlog.get_logger(__name__)

LISTEN_AGAIN_SECONDS = 2.0
"""The port may still be that of the service which this one replaces."""

STOP_SECONDS = 2


class _Server(uvicorn.Server):
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
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=list(trusted_proxies),
        timeout_keep_alive=20,
        timeout_graceful_shutdown=STOP_SECONDS,
        limit_concurrency=500,
        h11_max_incomplete_event_size=32 * 1024,
    )
    server = _Server(config)
    log.info("portal", url=f"http://{host}:{port}")
    serving = asyncio.create_task(server.serve(sockets=[bound]), name="portal's server")
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
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
