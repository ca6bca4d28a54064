"""A supervisor that does with the service what systemd does, by what the unit of `comunik-pbx init` says."""

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from configparser import ConfigParser
from contextlib import asynccontextmanager
from pathlib import Path

from comunik_pbx.sandbox import processes
from tests.service.serving import RUN, Serving

UNIT = Path(__file__).parents[2] / "comunik_pbx" / "cli" / "init_files" / "comunik-pbx.service"


def unit() -> dict[str, str]:
    """The [Service] section of the unit."""
    parser = ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return dict(parser["Service"])


class Supervisor:
    """Starts the service, listens to what it notifies, aborts it when its watchdog is silent, starts it again.

    `told` is all it notified, `starts` its processes, `aborted` how often the watchdog was silent for too long.
    """

    def __init__(self, config: Path, command: Sequence[str], watchdog_seconds: float) -> None:
        self._config, self._command, self._seconds = config, command, watchdog_seconds
        self.told: list[str] = []
        self.starts: list[Serving] = []
        self.aborted = 0
        self._news = asyncio.Event()
        self._address = f"@comunik-test-{secrets.token_hex(8)}"

    @property
    def service(self) -> Serving:
        return self.starts[-1]

    async def heard(self, what: str, *, times: int = 1, seconds: float = 30) -> None:
        """Wait until it has been told so many times."""
        try:
            async with asyncio.timeout(seconds):
                while self.told.count(what) < times:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            lines = [service.lines for service in self.starts]
            raise AssertionError(f"{what} not {times} times but {self.told}; {lines}") from None

    async def run(self) -> None:
        """As Type=notify, Restart=always, WatchdogSec=, RestartSec=0.1; returns if it may not be started again."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as news:
            news.bind("\0" + self._address[1:])
            while True:
                process = await processes.start(
                    self._command,
                    stderr=asyncio.subprocess.PIPE,
                    environ={
                        **os.environ,
                        "COMUNIK_PBX_CONFIG": str(self._config),
                        "NOTIFY_SOCKET": self._address,
                        "WATCHDOG_USEC": str(round(self._seconds * 1e6)),
                    },
                )
                self.starts.append(Serving(process))
                self._news.set()
                watching = asyncio.create_task(self._watch(news, process))
                try:
                    status = await self.service.ended(seconds=300)
                finally:
                    watching.cancel()
                    await asyncio.wait([watching])
                    if process.returncode is None:
                        process.kill()
                        await self.service.ended()
                if str(status) in unit()["RestartPreventExitStatus"].split():
                    return
                await asyncio.sleep(0.1)

    async def _watch(self, news: socket.socket, process: asyncio.subprocess.Process) -> None:
        loop = asyncio.get_running_loop()
        ready = False
        while True:
            try:
                async with asyncio.timeout(self._seconds if ready else None):
                    while True:
                        told = (await loop.sock_recv(news, 4096)).decode()
                        self.told.append(told)
                        self._news.set()
                        ready = ready or told == "READY=1"
                        if told in ("WATCHDOG=1", "READY=1"):
                            break
            except TimeoutError:
                self.aborted += 1
                process.send_signal(signal.SIGABRT)
                return


@asynccontextmanager
async def supervised(
    config: Path, command: Sequence[str] = RUN, *, watchdog_seconds: float = 5.0
) -> AsyncIterator[tuple[Supervisor, "asyncio.Task[None]"]]:
    """A supervised service that is ready, and the supervisor's task."""
    supervisor = Supervisor(config, command, watchdog_seconds)
    running = asyncio.create_task(supervisor.run())
    try:
        await supervisor.heard("READY=1")
        yield supervisor, running
    finally:
        running.cancel()
        await asyncio.wait([running])
