"""`comunik-pbx run` as an admin or systemd starts it: a process, what it says, and how it ends."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from comunik_pbx.sandbox import processes
from comunik_pbx.sandbox.sandbox import Sandbox

RUN = (sys.executable, "-m", "comunik_pbx.cli", "run")


class Serving:
    """A running service; `lines` is what it has said so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._news = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def said(self, text: str, *, times: int = 1, seconds: float = 40) -> None:
        """Wait until so many of its lines hold a text; fails if it ends before."""
        async with asyncio.timeout(seconds):
            while sum(text in line for line in self.lines) < times:
                assert not self._reading.done(), f"it ended without {text!r}: {self.lines}"
                self._news.clear()
                await self._news.wait()

    async def ready(self) -> None:
        await self.said("event=ready")

    async def ended(self, seconds: float = 40) -> int:
        """Its exit status, once it has ended and all it said is in `lines`."""
        async with asyncio.timeout(seconds):
            await self._reading
            return await self.process.wait()

    async def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return await self.ended()

    @property
    def words(self) -> list[str]:
        """What it said to people: all lines that are not of its log."""
        return [line for line in self.lines if not line.startswith("timestamp=")]

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode().rstrip("\n"))
            self._news.set()
        self._news.set()


@asynccontextmanager
async def serving(config: Path, command: Sequence[str] = RUN) -> AsyncIterator[Serving]:
    """The service with this configuration; killed at the end if it still runs."""
    environ = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
    process = await processes.start(
        command, stderr=asyncio.subprocess.PIPE, environ={**environ, "COMUNIK_PBX_CONFIG": str(config)}
    )
    service = Serving(process)
    try:
        yield service
    finally:
        if process.returncode is None:
            process.kill()
        await service.ended()


def company_in(sandbox: Sandbox, directory: Path, *changes: tuple[str, str]) -> Path:
    """The company's configuration, secrets included, in a directory of its own with a store of its own; changed."""
    text = sandbox.config.read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    for name in ("ari.secret", "ami.secret"):
        (directory / name).write_bytes((sandbox.config.parent / name).read_bytes())
    config = directory / "comunik.toml"
    config.write_text(text)
    return config


async def applications(sandbox: Sandbox) -> str:
    """Asterisk's list of Stasis applications."""
    return await sandbox.console("ari show apps")
