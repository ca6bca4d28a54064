"""What the dialplan reports at the end of a call: the AMI UserEvent ComunikCall."""

import asyncio
from dataclasses import dataclass

from comunik_pbx.sandbox.company import AMI_USER
from comunik_pbx.sandbox.sandbox import Sandbox


@dataclass(frozen=True)
class Outcome:
    """One entry of `Steps`: which step of the plan, how it ended, for how long it rang, who answered."""

    index: int
    status: str
    cause: int
    ring_ms: int
    answered_by: str
    answered_ms: int


@dataclass(frozen=True)
class Reported:
    """The event, with `Steps` taken apart."""

    headers: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.headers[name]

    @property
    def steps(self) -> list[Outcome]:
        entries = [entry.split("~") for entry in self["Steps"].split("|") if entry]
        return [Outcome(int(i), status, int(c), int(r), by, int(a)) for i, status, c, r, by, a in entries]

    @property
    def story(self) -> list[tuple[int, str, int]]:
        return [(step.index, step.status, step.cause) for step in self.steps]


class Events:
    """An AMI connection that collects the events; use as `async with`."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._seen: list[Reported] = []
        self._news = asyncio.Event()

    async def __aenter__(self) -> "Events":
        addresses = self._sandbox.layout.addresses
        self._reader, self._writer = await asyncio.open_connection(addresses.host, addresses.ami)
        login = f"Action: Login\r\nUsername: {AMI_USER}\r\nSecret: {self._sandbox.passwords.ami}\r\n\r\n"
        self._writer.write(login.encode())
        await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 5)
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        self._writer.close()

    async def _read(self) -> None:
        while True:
            block = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            headers = {n: v for n, _, v in (line.partition(": ") for line in block.strip().split("\r\n"))}
            if headers.get("UserEvent") == "ComunikCall":
                self._seen.append(Reported(headers))
                self._news.set()

    async def record(self, called: str, within: float = 15.0) -> Reported:
        """The next report of a call to `called`; each is given once."""
        async with asyncio.timeout(within):
            while True:
                for reported in self._seen:
                    if reported["Called"] == called:
                        self._seen.remove(reported)
                        return reported
                self._news.clear()
                await self._news.wait()
