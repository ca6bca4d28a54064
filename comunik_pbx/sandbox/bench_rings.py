"""`python -m comunik_pbx.sandbox.bench_rings`: how exactly N rings are N rings, and what that costs.

Calls from a carrier ring a phone that begins to ring a second and a half after its INVITE and never answers. From its
first 180 to the CANCEL it should ring N times the cycle, a tenth of a second less so that ring N+1 never starts.

For the cost, in several rounds, each way of calling in turn: plain `Dial()` with the service stopped, and comunik-pbx.
"""

import asyncio
import statistics
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.bench import LOGGER
from comunik_pbx.sandbox.bench_calls import SETTLE_SECONDS, cpu_seconds, phones_port
from comunik_pbx.sandbox.layout import Layout
from comunik_pbx.sandbox.sandbox import Sandbox, running
from comunik_pbx.sandbox.sip_message import SipMessage

CALLS = 500
PER_SECOND = 10.0

COST_CALLS = 300
COST_PER_SECOND = 20.0
ROUNDS = 2

RINGS = 3
CYCLE_SECONDS = 1.0
START_SECONDS = 1.5
EARLY_SECONDS = 0.1
WITHIN_SECONDS = 0.15

EXTENSION = "111"
"""It has no mailbox: its calls end after the ringing."""

CONFIGURATION = f"""
[ringing]
cycle_seconds = {CYCLE_SECONDS}
"""

DIALPLAN = f"""
; What comunik-pbx is measured against: plain Dial() for as long as the phone needs.
[from-carrier](+)
exten => _71XX,1,Dial(${{PJSIP_DIAL_CONTACTS(${{EXTEN:1}})}},{START_SECONDS + RINGS * CYCLE_SECONDS - EARLY_SECONDS})
 same => n,Hangup(${{HANGUPCAUSE}})
"""

PLAIN, EXACT = "plain Dial()", "comunik-pbx, exact rings"


@dataclass(frozen=True)
class Rang:
    """One run: CPU per call in ms, and for each call the seconds from the phone's first 180 to the CANCEL."""

    calls: int
    asterisk_ms: float
    service_ms: float
    seconds: tuple[float, ...]

    @property
    def cpu_ms(self) -> float:
        """Asterisk and the service together."""
        return self.asterisk_ms + self.service_ms

    def within(self) -> float:
        """The share of the calls that rang N times the cycle within `WITHIN_SECONDS`; a lost call did not."""
        return sum(abs(one - RINGS * CYCLE_SECONDS) <= WITHIN_SECONDS for one in self.seconds) / self.calls


async def bench_rings(layout: Layout) -> int:
    """Measure and print. Exit status 0, or 1 if fewer than 99 % of the calls rang exactly."""
    own = Layout(layout.home / "bench", layout.root, layout.addresses)
    own.home.mkdir(parents=True, exist_ok=True)
    shorter = own.home / "rings.toml"
    shorter.write_text(CONFIGURATION)
    async with running(own, _say, includes=(shorter,), extra_dialplan=DIALPLAN, fresh=True) as sandbox:
        (own.etc / "logger.conf").write_text(LOGGER)
        await sandbox.console("logger reload")
        sandbox.config.write_text(sandbox.config.read_text().replace("default_rings = 6", f"default_rings = {RINGS}"))
        await sandbox.stop_service()
        await sandbox.start_service()
        await sipp.register(sandbox, EXTENSION, phones_port(sandbox), expires=3600)
        await _run(sandbox, EXTENSION, 20, PER_SECOND)
        _say(f"{CALLS} calls, {PER_SECOND:g} a second, {RINGS} rings of {CYCLE_SECONDS:g} s")
        exact = await _run(sandbox, EXTENSION, CALLS, PER_SECOND)
        _say(_line(EXACT, exact))
        _say(f"{ROUNDS} rounds of {COST_CALLS} calls, {COST_PER_SECOND:g} a second")
        found = await _costs(sandbox)
    plain = found[PLAIN]
    for name, several in found.items():
        ratio = statistics.median(one.cpu_ms / its.cpu_ms for one, its in zip(several, plain, strict=True))
        cpu = statistics.median(one.cpu_ms for one in several)
        _say(f"  {name:<44} CPU per call {cpu:.2f} ms, {ratio:.2f} times plain Dial()")
    return 0 if exact.within() >= 0.99 else 1


async def _costs(sandbox: Sandbox) -> dict[str, list[Rang]]:
    found: dict[str, list[Rang]] = {PLAIN: [], EXACT: []}
    for _ in range(ROUNDS):
        for name, several in found.items():
            number = EXTENSION
            await sandbox.stop_service()
            if name == PLAIN:
                number = f"7{EXTENSION}"
            else:
                await sandbox.start_service()
                await _run(sandbox, number, 20, COST_PER_SECOND)
            several.append(await _run(sandbox, number, COST_CALLS, COST_PER_SECOND))
            _say(_line(name, several[-1]))
    return found


async def _run(sandbox: Sandbox, number: str, calls: int, per_second: float) -> Rang:
    host = sandbox.layout.addresses.host
    script = [START_SECONDS, 180]
    async with sipp.station(sandbox, host, phones_port(sandbox), script, who="the phone") as phone:
        before = _cpu(sandbox)
        async with sipp.caller(sandbox, number, calls=calls, per_second=per_second) as caller:
            await caller.finished(within=calls / per_second + 60)
        await asyncio.sleep(SETTLE_SECONDS)
        after = _cpu(sandbox)
        rang = tuple(sorted(_rang(phone.messages)))
    asterisk_ms, service_ms = ((end - start) * 1000 / calls for start, end in zip(before, after, strict=True))
    return Rang(calls, asterisk_ms, service_ms, rang)


def _rang(messages: Iterable[SipMessage]) -> Iterable[float]:
    began: dict[str, float] = {}
    ended: dict[str, float] = {}
    for message in messages:
        if message.sent and message.status == 180:
            began.setdefault(message.call_id, message.at)
        elif message.method == "CANCEL":
            ended.setdefault(message.call_id, message.at)
    return (ended[call] - at for call, at in began.items() if call in ended)


def _cpu(sandbox: Sandbox) -> tuple[float, float]:
    return cpu_seconds(sandbox.asterisk.pid), cpu_seconds(sandbox.service.pid) if sandbox.service else 0.0


def _line(name: str, one: Rang) -> str:
    if not one.seconds:
        return f"  {name:<44} no call rang"
    shares = (one.seconds[int(share * (len(one.seconds) - 1))] for share in (0, 0.5, 0.99, 1))
    least, median, most, worst = (f"{seconds:.3f}" for seconds in shares)
    return (
        f"  {name:<44} {len(one.seconds)}/{one.calls} calls; 180 to CANCEL: least {least}, median {median}, "
        f"p99 {most}, most {worst} s; exact {one.within():.1%}; "
        f"CPU per call {one.asterisk_ms:.2f} + {one.service_ms:.2f} ms"
    )


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(asyncio.run(bench_rings(Layout.from_environment())))
