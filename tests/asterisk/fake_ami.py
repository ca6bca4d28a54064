"""An AMI server of raw bytes that does as it is told."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from comunik_pbx.asterisk.ami import AmiClient

BANNER = b"Asterisk Call Manager/11.0.0\r\n"
Reply = Callable[[dict[str, str]], str]


class FakeAmi:
    """Answers `Response: Success` to all but what `replies` says (by action); `frozen` answers nothing at all.

    `actions` holds every action that came in, as its headers; `gone` is set when a client has closed its connection.
    """

    def __init__(self) -> None:
        self.secret = "sesame"
        self.frozen = False
        self.silent: set[str] = set()  # actions that get no answer
        self.replies: dict[str, Reply] = {}
        self.actions: list[dict[str, str]] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.came = asyncio.Event()
        self.gone = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hang_up()
        self._server.close()
        await asyncio.gather(*self._serving)

    def client(self, secret: str = "sesame", **options: Any) -> AmiClient:
        quick: dict[str, Any] = {"action_seconds": 2.0, "linger_seconds": 5.0}
        return AmiClient("127.0.0.1", self.port, "comunik", secret, **(quick | options))

    def hang_up(self) -> None:
        for writer in self.writers:
            writer.close()

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writers[-1].write(piece)
            await self.writers[-1].drain()
            await asyncio.sleep(0.01)  # each piece in a segment of its own

    def names(self) -> list[str]:
        """What was asked for."""
        return [action["Action"] for action in self.actions]

    async def asked(self, name: str, times: int = 1) -> None:
        """Wait until an action has come so many times."""
        async with asyncio.timeout(5):
            while self.names().count(name) < times:
                self.came.clear()
                await self.came.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        serving = asyncio.current_task()
        assert serving is not None
        self._serving.add(serving)
        if not self.frozen:
            writer.write(BANNER)
        try:
            while True:
                text = (await reader.readuntil(b"\r\n\r\n")).decode()
                action = dict(line.split(": ", 1) for line in text.strip().split("\r\n"))
                self.actions.append(action)
                self.came.set()
                if not self.frozen and action["Action"] not in self.silent:
                    writer.write(self._answer(action).encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            self.gone.set()

    def _answer(self, action: dict[str, str]) -> str:
        name, marked = action["Action"], f"ActionID: {action['ActionID']}\r\n"
        if name == "Login":
            if action["Secret"] != self.secret:
                return f"Response: Error\r\n{marked}Message: Authentication failed\r\n\r\n"
            booted = "Event: FullyBooted\r\nPrivilege: system,all\r\nStatus: Fully Booted\r\n\r\n"
            return f"Response: Success\r\n{marked}Message: Authentication accepted\r\n\r\n{booted}"
        if name in self.replies:
            return self.replies[name](action)
        return f"Response: Success\r\n{marked}Message: done\r\n\r\n"
