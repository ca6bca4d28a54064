"""`make bench`: decision time, and cost per call beside plain `Dial()`, measured side by side in one run.

Each round makes the same calls in every way: plain `Dial()` with no service at all, through comunik-pbx with the
service stopped, and through comunik-pbx. What counts is the ratio within a round, and its median over the rounds: a
machine that has other things to do slows both sides of a round.
"""

import asyncio
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial

from comunik_pbx import config as configuration
from comunik_pbx.forwarding.rules import Rule, RuleKind, ToNumber
from comunik_pbx.sandbox import bench_report
from comunik_pbx.sandbox.bench_calls import (
    DIALPLAN,
    FORWARDED,
    MOBILE,
    PHONES,
    Burst,
    Variant,
    burst,
    register_phones,
    resident_mb,
)
from comunik_pbx.sandbox.bench_decision import decision_times
from comunik_pbx.sandbox.errors import SandboxError
from comunik_pbx.sandbox.layout import Addresses, Layout
from comunik_pbx.sandbox.sandbox import Sandbox, running
from comunik_pbx.store import Store

PER_SECOND = 50.0
SPOKEN_PER_SECOND = 10.0
"""Of calls with sound, which are many at a time."""

WARM_UP = 25
"""Calls before each burst that are not measured: what is first done after a start is done once, not for each call."""

GROWN = 900
"""Calls before all: Asterisk grows by 200 MB in its first ones, plain `Dial()` or not, and they cost it less."""

RAMP: tuple[float, ...] = (50.0, 100.0, 150.0)
RAMP_SECONDS = 5.0

DIDS = tuple(f"+33170000{extension}" for extension in PHONES)
PLAIN = Variant("plain Dial()", tuple(f"7{extension}" for extension in PHONES))
PLAIN_FORWARD = Variant("plain Dial() to the carrier", ("7999",), by_carrier=True)
STOPPED = Variant("comunik-pbx, service stopped", DIDS)
LIVE = Variant("comunik-pbx, answered by the phone", DIDS)
LIVE_FORWARD = Variant("comunik-pbx, always to the carrier", (FORWARDED,), by_carrier=True)
BASELINE = {STOPPED: PLAIN, LIVE: PLAIN, LIVE_FORWARD: PLAIN_FORWARD}

LOGGER = "[general]\n[logfiles]\nasterisk.log => notice,warning,error\n"
"""What Asterisk logs by itself. The sandbox also logs every priority of the dialplan, which costs more than it."""


class BenchAddresses(Addresses):
    """The sandbox's, with media ports for 1,000 calls instead of 100."""

    @property
    def rtp(self) -> tuple[int, int]:
        """First and last UDP port of Asterisk's RTP, both included."""
        return 56000, 59999


Calling = Callable[..., Awaitable[Burst]]
"""`burst`, with what all bursts of a run have in common."""


async def bench(layout: Layout, *, quick: bool = False, talk_seconds: float = 1.0, sound: bool = False) -> int:
    """Measure and print; the rounds' calls go on for `talk_seconds`, with `sound` or without.

    Exit status 0, or 1 if a call was lost or not decided by the service.
    """
    own = Layout(layout.home / "bench", layout.root, BenchAddresses(layout.addresses.offset))
    rounds, calls, per_second = (4, 100, SPOKEN_PER_SECOND) if sound else (12, 200, PER_SECOND)
    ramp = () if sound else RAMP
    if quick:
        rounds, calls, ramp = 1, calls // 2, ramp[1:2]
    async with running(own, _say, extra_dialplan=DIALPLAN, fresh=True) as sandbox:
        if sandbox.service is None:
            raise SandboxError("there is no service in this checkout to measure")
        directory = configuration.load(sandbox.config).directory
        for line in bench_report.machine(sandbox):
            _say(line)
        _say("")
        for line in bench_report.decisions(decision_times(directory, seconds=0.2 if quick else 0.5)):
            _say(line)
        await prepare(sandbox)
        memory = _Memory(sandbox)
        if not quick:
            await burst(sandbox, PLAIN, calls=GROWN, per_second=2 * PER_SECOND, talk_seconds=0.1)
        _say(
            f"\n{rounds} rounds of {calls} calls, {per_second:g} a second; they talk {talk_seconds:g} s"
            f"{', with sound' if sound else ''}"
        )
        calling = partial(burst, calls=calls, per_second=per_second, talk_seconds=talk_seconds, sound=sound)
        bursts, all_live = await _rounds(sandbox, rounds, calls, calling)
        for line in bench_report.costs(bursts, BASELINE):
            _say(line)
        if ramp:
            _say("")
            for line in bench_report.ramp(await _ramp(sandbox, ramp)):
                _say(line)
        _say("")
        for line in memory.lines():
            _say(line)
    lost = sum(one.lost for several in bursts.values() for one in several)
    _say(f"load {os.getloadavg()[0]:.1f} at the end")
    _say(f"\ncalls lost: {lost}; decided by the service: {'all that should be' if all_live else 'NOT ALL'}")
    return 0 if lost == 0 and all_live else 1


async def prepare(sandbox: Sandbox) -> None:
    """Typical rules, Asterisk's usual logging, and one small burst each way that is not measured."""
    await set_rules(sandbox)
    (sandbox.layout.etc / "logger.conf").write_text(LOGGER)
    await sandbox.console("logger reload")
    await register_phones(sandbox)
    for variant in (PLAIN, PLAIN_FORWARD, LIVE, LIVE_FORWARD):
        await burst(sandbox, variant, calls=WARM_UP, per_second=PER_SECOND, talk_seconds=0.1)


async def set_rules(sandbox: Sandbox) -> None:
    """The phones' extensions forward outside calls to a mobile after 3 rings, `FORWARDED` always."""
    mobile = ToNumber(MOBILE)
    rules = [Rule(extension=one, kind=RuleKind.EXTERNAL, to=mobile, rings=3) for one in PHONES]
    async with await Store.open(_store_url(sandbox)) as store:
        await store.set_rules([*rules, Rule(extension=FORWARDED, kind=RuleKind.ALWAYS, to=mobile)], by="bench")
    await asyncio.sleep(0.1)  # a running service obeys within 50 ms


async def _rounds(
    sandbox: Sandbox, rounds: int, calls: int, calling: Calling
) -> tuple[dict[Variant, list[Burst]], bool]:
    """All bursts by variant, and whether the service decided every call it should have decided."""
    bursts: dict[Variant, list[Burst]] = defaultdict(list)
    all_live = True
    for number in range(1, rounds + 1):
        for variant in (LIVE_FORWARD, LIVE):  # next to what it is compared with: the machine's speed changes
            began = datetime.now(UTC)
            bursts[variant].append(await _one(sandbox, variant, number, calling))
            all_live &= await decided_live(sandbox, began, WARM_UP + calls) == WARM_UP + calls
        await sandbox.stop_service()
        for variant in (PLAIN, STOPPED, PLAIN_FORWARD):
            bursts[variant].append(await _one(sandbox, variant, number, calling))
        await sandbox.start_service()
    return bursts, all_live


async def _one(sandbox: Sandbox, variant: Variant, number: int, calling: Calling) -> Burst:
    await burst(sandbox, variant, calls=WARM_UP, per_second=PER_SECOND, talk_seconds=0.1)
    one = await calling(sandbox, variant)
    _say(f"  round {number}: {bench_report.burst_line(variant, one)}")
    return one


async def _ramp(sandbox: Sandbox, rates: tuple[float, ...]) -> list[tuple[float, Burst, Burst, int]]:
    """At each rate: plain Dial(), comunik-pbx, and how many of the latter's calls the service decided."""
    found = []
    for rate in rates:
        calls = round(rate * RAMP_SECONDS)
        plain = await burst(sandbox, PLAIN, calls=calls, per_second=rate, talk_seconds=0.3)
        began = datetime.now(UTC)
        live = await burst(sandbox, LIVE, calls=calls, per_second=rate, talk_seconds=0.3)
        found.append((rate, plain, live, await decided_live(sandbox, began, calls)))
    return found


async def decided_live(sandbox: Sandbox, began: datetime, calls: int) -> int:
    """How many calls begun since then the service has decided, by its records: as soon as they are so many.

    Under load they are some seconds behind; after ten it is as many as there are.
    """
    until = asyncio.get_running_loop().time() + 10.0
    async with await Store.open(_store_url(sandbox)) as store:
        while True:
            rows = await store.calls(limit=100_000, after=began)
            live = sum(row.decided == "live" and row.ended_at is not None for row in rows)
            if live >= calls or asyncio.get_running_loop().time() > until:
                return live
            await asyncio.sleep(0.1)


def _store_url(sandbox: Sandbox) -> str:
    return configuration.load(sandbox.config).store_url


class _Memory:
    """How the memory of Asterisk and of one service process grew."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._asterisk = resident_mb(sandbox.asterisk.pid)
        self._service = resident_mb(sandbox.service.pid) if sandbox.service else 0.0

    def lines(self) -> list[str]:
        service = resident_mb(self._sandbox.service.pid) if self._sandbox.service else 0.0
        return [
            f"memory in RAM, MB: Asterisk {self._asterisk:.0f} before, {resident_mb(self._sandbox.asterisk.pid):.0f} "
            f"after; service {self._service:.0f} before, {service:.0f} after"
        ]


def _say(line: str) -> None:
    print(line, flush=True)
