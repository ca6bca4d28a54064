"""`make faults`: everything that can fail around a call fails while calls come, on the real Asterisk.

Each fault is a command of its own (`make faults ONLY=kill`), says what it did and what became of the calls, and has
exit status 1 if one was lost, went astray, or is not recorded, or if anything is left over when all is done.
"""

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from comunik_pbx.sandbox.asterisk_process import AsteriskProcess
from comunik_pbx.sandbox.bench import BenchAddresses
from comunik_pbx.sandbox.bench_calls import resident_mb
from comunik_pbx.sandbox.bench_report import machine
from comunik_pbx.sandbox.errors import SandboxError
from comunik_pbx.sandbox.faults_load import Window, load, prepare
from comunik_pbx.sandbox.faults_talking import talking
from comunik_pbx.sandbox.instrumented_service import BLOCKED_SECONDS
from comunik_pbx.sandbox.layout import Layout
from comunik_pbx.sandbox.proxy import Proxy
from comunik_pbx.sandbox.sandbox import Sandbox, running

RESTART_SECONDS = 0.2
"""The pause of the supervisor (`make run`, and RestartSec= of the unit)."""

AFTER_SECONDS = 8.0
"""A fault comes so long after the calls have begun."""

BATCH_SECONDS = 60.0
"""Calls of the soak between two looks at what the processes hold."""

LEFT_WITHIN = 30.0

Fail = Callable[["Stage"], Awaitable[list[Window]]]


@dataclass
class Stage:
    """What a fault has to do with: `ari` and `ami` are proxies if it needs them, calls come for `seconds`."""

    sandbox: Sandbox
    seconds: float
    ari: Proxy | None = None
    ami: Proxy | None = None

    async def restart_service(self) -> None:
        """As a supervisor does."""
        await asyncio.sleep(RESTART_SECONDS)
        await self.sandbox.start_service()

    def signal(self, number: signal.Signals) -> None:
        """Send the service a signal."""
        if self.sandbox.service is None:
            raise SandboxError("there is no service to send a signal to")
        self.sandbox.service.send_signal(number)


async def kill(stage: Stage) -> list[Window]:
    """Kill -9 every 4 s, started again by its supervisor."""
    ends = time.monotonic() + stage.seconds - 4.0
    while time.monotonic() < ends:
        await asyncio.sleep(4.0)
        stage.signal(signal.SIGKILL)
        if stage.sandbox.service is not None:
            await stage.sandbox.service.wait()
        await stage.restart_service()
    return []


async def stop(stage: Stage) -> list[Window]:
    """The service stopped for 10 s (SIGSTOP)."""
    await asyncio.sleep(AFTER_SECONDS)
    stage.signal(signal.SIGSTOP)
    await asyncio.sleep(10.0)
    stage.signal(signal.SIGCONT)
    return []


async def block(stage: Stage) -> list[Window]:
    """The service's event loop blocked for 5 s."""
    await asyncio.sleep(AFTER_SECONDS)
    stage.signal(signal.SIGUSR2)
    await asyncio.sleep(BLOCKED_SECONDS)
    return []


async def absent(stage: Stage) -> list[Window]:
    """No service at all; it comes when the calls are over."""
    await stage.sandbox.stop_service()
    await asyncio.sleep(stage.seconds + 3.0)
    await stage.sandbox.start_service()
    return []


async def asterisk(stage: Stage) -> list[Window]:
    """Asterisk killed and started again, five times."""
    away = []
    for _ in range(5):
        await asyncio.sleep(max(2.0, stage.seconds / 5 - 6.0))
        began, before = time.time(), stage.sandbox.asterisk
        os.kill(before.pid, signal.SIGKILL)
        await before.ended
        stage.sandbox.asterisk = await AsteriskProcess.start(before.layout, before.program)
        away.append((began, time.time()))
    return away


async def ami_down(stage: Stage) -> list[Window]:
    """AMI away for 15 s while ARI is there."""
    return await _down(stage.ami)


async def ari_down(stage: Stage) -> list[Window]:
    """ARI away for 15 s while AMI is there."""
    return await _down(stage.ari)


async def cut(stage: Stage) -> list[Window]:
    """ARI's and AMI's connections closed by the network, five times."""
    for _ in range(5):
        await asyncio.sleep(max(1.0, stage.seconds / 6))
        for proxy in _both(stage):
            proxy.cut()
    return []


async def silent(stage: Stage) -> list[Window]:
    """ARI's and AMI's connections dead, and nobody says so."""
    await asyncio.sleep(AFTER_SECONDS)
    for proxy in _both(stage):
        proxy.silence()
    return []


async def half_open(stage: Stage) -> list[Window]:
    """Asterisk hears the service, which hears nothing."""
    await asyncio.sleep(AFTER_SECONDS)
    for proxy in _both(stage):
        proxy.silence(back_only=True)
    return []


async def upgrade(stage: Stage) -> list[Window]:
    """A new service started beside the old one, which gives way, three times."""
    for _ in range(3):
        await asyncio.sleep(max(1.0, stage.seconds / 4))
        old = stage.sandbox.service
        await stage.sandbox.start_service()
        if old is not None:
            async with asyncio.timeout(20):
                await old.wait()
    return []


async def nothing(_: Stage) -> list[Window]:
    """No fault at all."""
    return []


async def _down(proxy: Proxy | None) -> list[Window]:
    if proxy is None:
        raise SandboxError("this fault needs a proxy")
    await asyncio.sleep(AFTER_SECONDS)
    await proxy.refuse()
    await asyncio.sleep(15.0)
    await proxy.accept()
    return []


def _both(stage: Stage) -> list[Proxy]:
    return [proxy for proxy in (stage.ari, stage.ami) if proxy is not None]


@dataclass(frozen=True)
class Trial:
    """A fault, and for how many seconds calls come meanwhile."""

    fail: Fail
    seconds: float
    proxied: bool = False


TRIALS = {
    "kill": Trial(kill, 300.0),
    "stop": Trial(stop, 40.0),
    "block": Trial(block, 30.0),
    "absent": Trial(absent, 30.0),
    "asterisk": Trial(asterisk, 100.0),
    "ami-down": Trial(ami_down, 45.0, proxied=True),
    "ari-down": Trial(ari_down, 45.0, proxied=True),
    "cut": Trial(cut, 45.0, proxied=True),
    "silent": Trial(silent, 75.0, proxied=True),
    "half-open": Trial(half_open, 75.0, proxied=True),
    "upgrade": Trial(upgrade, 40.0),
}


async def faults(layout: Layout, names: list[str], *, seconds: float | None, per_second: float, minutes: float) -> int:
    """Try these (`all`: every one but the soak); exit status 0, or 1 if any went wrong."""
    wanted = [*TRIALS, "talking"] if names == ["all"] else names
    if unknown := set(wanted) - {*TRIALS, "talking", "soak"}:
        raise SandboxError(
            f"there is no fault {', '.join(sorted(unknown))}; there are {', '.join(TRIALS)}, talking, soak"
        )
    own, good = Layout(layout.home / "faults", layout.root, BenchAddresses(layout.addresses.offset)), True
    async with running(own, print, fresh=True) as sandbox:
        for line in machine(sandbox):
            _say(line)
        async with instrumented(sandbox):
            await prepare(sandbox)
            for name in wanted:
                if name == "talking":
                    good &= await talking(sandbox, _say)
                elif name == "soak":
                    good &= await soak(sandbox, minutes * 60, per_second)
                else:
                    good &= await tried(sandbox, name, seconds, per_second)
    return 0 if good else 1


@asynccontextmanager
async def instrumented(sandbox: Sandbox) -> AsyncIterator[None]:
    """The service runs so that its loop can be blocked and its tasks counted (`instrumented_service`)."""
    usual = sandbox.service_command
    sandbox.service_command = (*usual[:2], "comunik_pbx.sandbox.instrumented_service", *usual[3:])
    await sandbox.stop_service()
    await sandbox.start_service()
    try:
        yield
    finally:
        sandbox.service_command = usual
        await sandbox.stop_service()
        await sandbox.start_service()


async def tried(sandbox: Sandbox, name: str, seconds: float | None, per_second: float) -> bool:
    """Place calls while one of `TRIALS` happens: says what became of them, and whether all is well."""
    trial = TRIALS[name]
    lasts = seconds or trial.seconds
    async with _stage(sandbox, trial, lasts) as stage:
        account = await load(sandbox, lambda: trial.fail(stage), seconds=lasts, per_second=per_second)
        left = await left_over(sandbox)
    said = (trial.fail.__doc__ or name).strip()
    _say(f"{name}: {said}; {per_second:g} calls/s for {lasts:g} s\n  {account}")
    if left:
        _say(f"  LEFT OVER: {'; '.join(left)}")
    return account.good and not left


@asynccontextmanager
async def _stage(sandbox: Sandbox, trial: Trial, seconds: float) -> AsyncIterator[Stage]:
    if not trial.proxied:
        yield Stage(sandbox, seconds)
        return
    addresses = sandbox.layout.addresses
    usual = sandbox.config.read_text()
    async with Proxy(addresses.host, addresses.ari) as ari, Proxy(addresses.host, addresses.ami) as ami:
        through = usual.replace(f":{addresses.ari}/ari", f":{ari.port}/ari")
        sandbox.config.write_text(through.replace(f"ami_port = {addresses.ami}", f"ami_port = {ami.port}"))
        await sandbox.stop_service()
        await sandbox.start_service()
        try:
            yield Stage(sandbox, seconds, ari, ami)
        finally:
            sandbox.config.write_text(usual)
            await sandbox.stop_service()
            await sandbox.start_service()


async def left_over(sandbox: Sandbox) -> list[str]:
    """What should not be there when no call is: Asterisk's channels and bridges, kept ends of calls."""
    found: list[str] = []
    for _ in range(int(LEFT_WITHIN)):
        found = []
        count = await sandbox.console("core show channels count")
        if not re.search(r"^0 active channels", count, re.MULTILINE):
            found.append(count.splitlines()[0])
        bridges = (await sandbox.console("bridge show all")).strip().splitlines()[1:]
        if bridges:
            found.append(f"{len(bridges)} bridges")
        kept = await sandbox.console("database show comunik-ended")
        if not re.search(r"^0 results found", kept, re.MULTILINE):
            found.append(f"ends of calls in AstDB: {kept.splitlines()[-1]}")
        if not found:
            break
        await asyncio.sleep(1)  # Asterisk tells nobody when the last is gone
    return found


# The soak


@dataclass(frozen=True)
class Held:
    """What the two processes hold while no call is there: MB in RAM, file descriptors, tasks of the service."""

    service_mb: float
    service_fds: int
    tasks: int
    asterisk_mb: float
    asterisk_fds: int

    def __str__(self) -> str:
        return (
            f"service {self.service_mb:.1f} MB, {self.service_fds} descriptors, {self.tasks} tasks; "
            f"Asterisk {self.asterisk_mb:.1f} MB, {self.asterisk_fds} descriptors"
        )


async def soak(sandbox: Sandbox, seconds: float, per_second: float) -> bool:
    """Calls for so long, a look at what is held after each minute of them."""
    _say(f"soak: {per_second:g} calls/s for {seconds / 60:g} minutes")
    looks, good, ends = [], True, time.monotonic() + seconds
    stage = Stage(sandbox, BATCH_SECONDS)
    while time.monotonic() < ends:
        lasts = min(BATCH_SECONDS, max(5.0, ends - time.monotonic()))
        account = await load(sandbox, lambda: nothing(stage), seconds=lasts, per_second=per_second)
        left = await left_over(sandbox)
        looks.append(await held(sandbox))
        good &= account.good and not left and set(account.decided) <= {"live"}
        _say(f"  {account}; {looks[-1]}{' LEFT OVER: ' + '; '.join(left) if left else ''}")
    first, last = looks[len(looks) // 4], looks[-1]
    _say(f"  after the first quarter: {first}\n  at the end: {last}")
    return good and last.service_fds <= first.service_fds + 2 and last.tasks <= first.tasks


async def held(sandbox: Sandbox) -> Held:
    """Look at both processes."""
    if sandbox.service is None:
        raise SandboxError("there is no service to look at")
    log = sandbox.layout.log / "service.log"
    size = log.stat().st_size
    sandbox.service.send_signal(signal.SIGUSR1)
    tasks = None
    with suppress(TimeoutError):
        async with asyncio.timeout(5):
            while not (tasks := re.findall(rb"^tasks=(\d+)$", log.read_bytes()[size:], re.MULTILINE)):  # noqa: ASYNC110
                await asyncio.sleep(0.02)  # a file tells nobody when it grows
    pid, its = sandbox.service.pid, sandbox.asterisk.pid
    return Held(resident_mb(pid), _fds(pid), int(tasks[-1]) if tasks else 0, resident_mb(its), _fds(its))


def _fds(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _say(line: str) -> None:
    print(line, flush=True)
