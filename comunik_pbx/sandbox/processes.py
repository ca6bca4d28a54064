"""Child processes that never outlive us, and ports that are free or named."""

import asyncio
import ctypes
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from comunik_pbx.sandbox.errors import PortInUse

PR_SET_PDEATHSIG = 1  # prctl(2)
_libc = ctypes.CDLL(None, use_errno=True)


def dies_with_parent(number: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """A preexec_fn after which the kernel sends `number` to the child when the thread that started it ends.

    Also gives the child a process group of its own, so that Ctrl-C reaches us alone and we end it in order.
    """
    parent = os.getpid()

    def preexec() -> None:
        os.setpgid(0, 0)
        _libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return preexec


async def start(
    command: Sequence[str | Path],
    *,
    stdin: int | None = asyncio.subprocess.DEVNULL,
    stdout: int | None = None,
    stderr: int | None = None,
    cwd: Path | None = None,
    environ: dict[str, str] | None = None,
    limit: int = 2**20,
) -> asyncio.subprocess.Process:
    """Start a program that dies with us."""
    return await asyncio.create_subprocess_exec(
        *(str(word) for word in command),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        cwd=cwd,
        env=environ,
        limit=limit,
        preexec_fn=dies_with_parent(),
    )


async def stop(process: asyncio.subprocess.Process, *, seconds: float = 5.0) -> None:
    """SIGTERM, `seconds` of patience, SIGKILL; returns when the process is gone and reaped."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), seconds)
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def require_free(address: str, port: int, kind: socket.SocketKind, what: str) -> None:
    """Raise `PortInUse`, naming the port, who wants it and how to move it, if nothing can listen there now."""
    protocol = "udp" if kind == socket.SOCK_DGRAM else "tcp"
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise PortInUse(
                f"{address}:{port}/{protocol}, needed for {what}, cannot be used ({error.strerror}); "
                "end the program that has it, or set COMUNIK_SANDBOX_OFFSET=1 to use other ports"
            ) from error
