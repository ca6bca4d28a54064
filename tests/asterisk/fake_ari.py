"""An ARI server that does as it is told, for what a real Asterisk cannot be made to do on demand."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from aiohttp import WSMsgType, web

from comunik_pbx.asterisk.ari import AriClient
from comunik_pbx.asterisk.reconnect import Backoff

VERSION = "22.10.1"


def channel(channel_id: str, app_data: str = "", app: str = "Stasis", number: str = "") -> dict[str, Any]:
    return {
        "id": channel_id,
        "name": f"PJSIP/{channel_id}",
        "state": "Ring",
        "caller": {"name": "", "number": number},
        "dialplan": {"context": "c", "exten": "e", "priority": 1, "app_name": app, "app_data": app_data},
        "a_field_of_the_future": {"deep": [1, 2, 3]},
    }


def stasis_start(channel_id: str, *args: str, number: str = "") -> dict[str, Any]:
    return {
        "type": "StasisStart",
        "args": list(args),
        "channel": channel(channel_id, number=number),
        "application": "comunik-pbx",
        "timestamp": "2026-11-22T22:26:29.760+0000",
    }


class FakeAri:
    """`commands` holds what was asked: (method, path, body). One about a channel in `answers` gets that status.

    `variables` are those of channels, by (channel, variable), or what gives them; `endpoints` the channels of each. Any
    other is not there.
    """

    def __init__(self) -> None:
        self.version = VERSION
        self.status: int | None = None  # answers everything with it, in the web server's own words
        self.frozen = False  # reads no more, as a process stopped by SIGSTOP
        self.answers: dict[str, int] = {}
        self.slow: dict[str, float] = {}  # seconds until a command about a channel is carried out
        self.channels: list[dict[str, Any]] = []
        self.variables: dict[tuple[str, str], str | Callable[[], str]] = {}
        self.endpoints: dict[str, list[str]] = {}
        self.commands: list[tuple[str, str, Any]] = []
        self.asked = asyncio.Event()
        self.sockets: list[web.WebSocketResponse] = []
        self.opened = asyncio.Event()
        self.on_filter: Callable[[], Awaitable[None]] | None = None
        app = web.Application(middlewares=[self._gate])
        app.router.add_get("/ari/asterisk/info", self._info)
        app.router.add_get("/ari/events", self._events)
        app.router.add_get("/ari/channels", self._list)
        app.router.add_get("/ari/channels/{id}", self._get)
        app.router.add_get("/ari/channels/{id}/variable", self._variable)
        app.router.add_get("/ari/endpoints/PJSIP/{name}", self._endpoint)
        app.router.add_route("*", "/ari/{rest:.*}", self._command)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        self.url = ""

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/ari"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.frozen = False
        await self._runner.cleanup()

    def client(self, **options: Any) -> AriClient:
        quick: dict[str, Any] = {"backoff": Backoff(first=0.01, most=0.02), "command_seconds": 2.0}
        return AriClient(self.url, "comunik", "sesame", **(quick | options))

    async def emit(self, event: dict[str, Any] | str) -> None:
        socket = self.sockets[-1]
        await (socket.send_str(event) if isinstance(event, str) else socket.send_json(event))

    async def until_filtered(self) -> None:
        """Wait until an event filter has been set."""
        async with asyncio.timeout(5):
            while not any("eventFilter" in path for _, path, _ in self.commands):
                self.asked.clear()
                await self.asked.wait()

    async def until_asked(self, number: int) -> None:
        """Wait until so many commands about channels, plans handed over included, have come."""
        async with asyncio.timeout(5):
            while len(self.about_channels()) < number:
                self.asked.clear()
                await self.asked.wait()

    def about_channels(self) -> list[tuple[str, str, Any]]:
        about = ("channels/", "asterisk/variable")
        return [command for command in self.commands if command[1].startswith(about)]

    @web.middleware
    async def _gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        while self.frozen:  # noqa: ASYNC110  a stand-in for a stopped process
            await asyncio.sleep(0.01)
        if self.status is not None:
            return web.Response(status=self.status, text="<html>no</html>", content_type="text/html")
        response: web.StreamResponse = await handler(request)
        return response

    async def _info(self, _: web.Request) -> web.Response:
        return web.json_response({"system": {"version": self.version, "entity_id": "x"}})

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response(self.channels)

    async def _get(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        self.commands.append(("GET", f"channels/{name}", None))
        self.asked.set()
        found = next((one for one in self.channels if one["id"] == name), None)
        if found is None:
            return web.json_response({"message": "Channel not found"}, status=404)
        return web.json_response(found)

    async def _variable(self, request: web.Request) -> web.Response:
        name, variable = request.match_info["id"], request.query["variable"]
        self.commands.append(("GET", f"channels/{name}/variable", variable))
        self.asked.set()
        if (name, variable) not in self.variables:
            return web.json_response({"message": "Provided channel was not found"}, status=404)
        value = self.variables[name, variable]
        return web.json_response({"value": value if isinstance(value, str) else value()})

    async def _endpoint(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self.endpoints:
            return web.json_response({"message": "Endpoint not found"}, status=404)
        state = "online" if self.endpoints[name] else "offline"
        its = {"technology": "PJSIP", "resource": name, "state": state, "channel_ids": self.endpoints[name]}
        return web.json_response(its)

    async def _events(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        self.sockets.append(socket)
        self.opened.set()
        async for message in socket:
            if message.type is WSMsgType.PING and not self.frozen:
                await socket.pong(message.data)
        return socket

    async def _command(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        for channel_id, seconds in self.slow.items():
            if f"channels/{channel_id}/" in f"{request.match_info['rest']}/":
                await asyncio.sleep(seconds)
        path = request.match_info["rest"] + (f"?{request.query_string}" if request.query_string else "")
        self.commands.append((request.method, path, body))
        self.asked.set()
        for channel_id, status in self.answers.items():
            if f"channels/{channel_id}/" in path:
                return web.json_response({"message": "no"}, status=status)
        if "eventFilter" in path and self.on_filter is not None:
            await self.on_filter()
        if "/continue" in path:  # it no longer waits
            self.channels = [one for one in self.channels if f"channels/{one['id']}/" not in path]
        return web.Response(status=204)
