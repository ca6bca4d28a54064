"""The sandbox's Asterisk: start (returns when it is fully booted), console commands, clean end."""

import asyncio
import re
import socket
from pathlib import Path

from comunik_pbx.sandbox import processes
from comunik_pbx.sandbox.errors import AsteriskFailed
from comunik_pbx.sandbox.layout import Layout
from comunik_pbx.sandbox.programs import Program

BOOT_SECONDS = 60.0
CONSOLE_SECONDS = 15.0
STRAY = "noendpoint:127.0.0.1: There were no auth ids available"
"""A 401 that belongs to no call, from one of the test's own programs on loopback; seen once in many runs."""

UNREGISTERED = "Stasis app 'comunik-pbx' not registered"
"""Newer ones do not call it an error when an application is not there."""

STOP_SECONDS = 8.0


class AsteriskProcess:
    """A running Asterisk. Made by `start`; `ended` is done when it dies, whoever ended it."""

    def __init__(self, layout: Layout, program: Program, process: asyncio.subprocess.Process) -> None:
        self.layout = layout
        self.program = program
        self._process = process
        self.ended: asyncio.Task[int] = asyncio.create_task(process.wait(), name="asterisk")

    @classmethod
    async def start(cls, layout: Layout, program: Program) -> "AsteriskProcess":
        """Start Asterisk on the configuration in `layout.etc` and wait until it is fully booted.

        Raises `PortInUse` before anything is started, `AsteriskFailed` with Asterisk's last words if it does
        not come up within `BOOT_SECONDS`.
        """
        check_ports(layout)
        layout.full_log.unlink(missing_ok=True)
        with (layout.log / "asterisk.out").open("wb") as output:
            process = await processes.start(
                [*program.command, "-f", "-C", layout.etc / "asterisk.conf"],
                stdout=output.fileno(),
                stderr=output.fileno(),
                cwd=layout.home,
            )
        asterisk = cls(layout, program, process)
        try:
            await asyncio.wait_for(asterisk._booted(), BOOT_SECONDS)
        except BaseException as error:
            await asterisk.stop()
            if isinstance(error, TimeoutError):
                raise AsteriskFailed(
                    f"Asterisk was not ready after {BOOT_SECONDS:g} s; see {layout.full_log}"
                ) from None
            raise
        return asterisk

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def console_command(self) -> list[str]:
        """The command that sends its last argument to Asterisk's console: `[…, "-rx"]`."""
        return [*self.program.command, "-C", str(self.layout.etc / "asterisk.conf"), "-rx"]

    async def console(self, command: str, *, seconds: float = CONSOLE_SECONDS) -> str:
        """What Asterisk's console answers to `command`; raises `AsteriskFailed` if it does not answer."""
        process = await processes.start(
            [*self.console_command, command], stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), seconds)
        except TimeoutError:
            raise AsteriskFailed(f"Asterisk's console did not answer {command!r} within {seconds:g} s") from None
        finally:
            await processes.stop(process, seconds=1)
        text = output.decode(errors="replace")
        if process.returncode:
            raise AsteriskFailed(f"Asterisk's console refused {command!r}: {text.strip()}")
        return text

    async def stop(self) -> None:
        """End Asterisk and wait until it is gone."""
        await processes.stop(self._process, seconds=STOP_SECONDS)
        await self.ended

    def complaints(self) -> list[str]:
        """The lines of the log that are warnings or errors, but for `STRAY` and what 16.28 says without a service."""
        lines = (line for line in self.log_lines() if re.search(r"\] (WARNING|ERROR)\[", line))
        usual = (STRAY, UNREGISTERED) if self.program.version.startswith("16.") else (STRAY,)
        return [line for line in lines if not any(text in line for text in usual)]

    def log_lines(self) -> list[str]:
        """The whole log so far."""
        try:
            return self.layout.full_log.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []

    async def _booted(self) -> None:
        control = self.layout.run / "asterisk.ctl"
        while True:
            if self.ended.done():
                raise AsteriskFailed(f"Asterisk ended with status {self.ended.result()}: {self._last_words()}")
            if await _accepts(control):
                # The console's own way to wait: returns once all modules are loaded.
                output = await self.console("core waitfullybooted", seconds=BOOT_SECONDS)
                if "fully booted" in output:
                    return
            await asyncio.sleep(0.02)  # until the control socket is there nothing tells us that it is

    def _last_words(self) -> str:
        output = self.layout.log / "asterisk.out"
        lines = output.read_text(errors="replace").splitlines() if output.exists() else []
        said = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in [*lines, *self.complaints()[-1:]] if line.strip()]
        return said[-1] if said else f"it said nothing; see {self.layout.log}"


async def _accepts(path: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    writer.close()
    return True


def check_ports(layout: Layout) -> None:
    """Raise `PortInUse` if one of Asterisk's ports is taken."""
    addresses = layout.addresses
    processes.require_free(addresses.host, addresses.sip, socket.SOCK_DGRAM, "Asterisk's SIP")
    processes.require_free(addresses.host, addresses.ari, socket.SOCK_STREAM, "Asterisk's HTTP server (ARI)")
    processes.require_free(addresses.host, addresses.ami, socket.SOCK_STREAM, "Asterisk's manager interface (AMI)")
