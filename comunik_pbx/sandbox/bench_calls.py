"""Bursts of real calls for the benchmark: what they cost, how long they took to get through, how many were lost.

SIPp calls as the carrier, and answers as the phones or as the carrier's far end. Every call has a caller's number of
its own, by which the INVITE that came in and the INVITE that went out are matched; nobody has called from it before.
"""

import asyncio
import itertools
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.errors import SandboxError
from comunik_pbx.sandbox.sandbox import Sandbox
from comunik_pbx.sandbox.sip_message import SipMessage

PHONES = ("101", "102", "103", "104")
"""Extensions that are answered by their phone."""

FORWARDED = "111"
"""The extension whose calls always go to `MOBILE`."""

MOBILE = "+33612345678"

DIALPLAN = f"""
; What comunik-pbx is measured against: plain Dial() of an extension's phone (7 and the extension), and of {MOBILE} by
; the carrier (7999).
[from-carrier](+)
exten => _71XX,1,Dial(${{PJSIP_DIAL_CONTACTS(${{EXTEN:1}})}},30)
 same => n,Hangup(${{HANGUPCAUSE}})
exten => 7999,1,Dial(PJSIP/{MOBILE}@carrier,60)
 same => n,Hangup(${{HANGUPCAUSE}})
"""

RING_SECONDS = 0.1
SETTLE_SECONDS = 1.0
"""After the last call: hangup handlers, and the batch of call records."""

_CALLERS = itertools.cycle(range(40_000_000, 50_000_000))

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Variant:
    """One way of calling: the numbers called in turn, and whether the carrier answers (else the phones)."""

    name: str
    numbers: tuple[str, ...]
    by_carrier: bool = False


@dataclass(frozen=True)
class Burst:
    """What a burst of calls came to.

    `asterisk_ms` and `service_ms` are CPU (user and system) per call, `through_ms` from INVITE in to INVITE out of
    each call, sorted; `lost` the calls that were not answered, or not ended by a BYE that was answered.
    """

    calls: int
    lost: int
    asterisk_ms: float
    service_ms: float
    through_ms: tuple[float, ...]

    @property
    def cpu_ms(self) -> float:
        """CPU of Asterisk and the service together, per call."""
        return self.asterisk_ms + self.service_ms

    def through(self, share: float) -> float:
        """The time that this share of the calls needed at most, in ms: 0.5 the median, 0.99 all but the slowest."""
        if not self.through_ms:
            return float("nan")
        return self.through_ms[min(len(self.through_ms) - 1, int(share * len(self.through_ms)))]


async def register_phones(sandbox: Sandbox, *, expires: int = 3600) -> None:
    """Tell Asterisk where the phones of `PHONES` are, for so many seconds (0: no more). SIPp is there in a burst."""
    for extension in PHONES:
        await sipp.register(sandbox, extension, phones_port(sandbox), expires=expires)


def phones_port(sandbox: Sandbox) -> int:
    """The UDP port of all the phones: below those that the system gives out by itself."""
    return sandbox.layout.addresses.sip + 10


async def burst(
    sandbox: Sandbox,
    variant: Variant,
    *,
    calls: int,
    per_second: float,
    talk_seconds: float = 1.0,
    sound: bool = False,
) -> Burst:
    """Make so many calls, so many a second; each is answered after `RING_SECONDS` and ended `talk_seconds` later.

    With `sound` both sides are heard meanwhile: 50 packets a second (G.711) in each direction.
    """
    addresses, script = sandbox.layout.addresses, [180, RING_SECONDS, 200]
    if variant.by_carrier:
        answering = sipp.switch(sandbox, "carrier", script)
    else:
        answering = sipp.station(sandbox, addresses.host, phones_port(sandbox), script, who="the phones")
    async with answering as answerer:
        with tempfile.NamedTemporaryFile("w", prefix="calls-", suffix=".csv") as fields:
            fields.write("SEQUENTIAL\n")
            for number in range(calls):
                fields.write(f"+331{next(_CALLERS)};{variant.numbers[number % len(variant.numbers)]}\n")
            fields.flush()
            before = _cpu(sandbox)
            async with sipp.caller(
                sandbox,
                "[field1]",
                from_uri=f"sip:[field0]@{addresses.carriers['carrier']}",
                talk_seconds=talk_seconds,
                calls=calls,
                per_second=per_second,
                fields=Path(fields.name),
                sound=sound,
            ) as caller:
                await caller.finished(within=calls / per_second + talk_seconds + 60)
                await asyncio.sleep(SETTLE_SECONDS)
                after = _cpu(sandbox)
                called = caller.messages
        taken = answerer.messages
    asterisk_ms, service_ms = ((end - start) * 1000 / calls for start, end in zip(before, after, strict=True))
    went_in = _first_invites(called, sent=True)
    went_out = _first_invites(taken, sent=False)
    through = sorted((went_out[number] - at) * 1000 for number, at in went_in.items() if number in went_out)
    return Burst(calls, calls - _completed(called), asterisk_ms, service_ms, tuple(through))


def _first_invites(messages: Iterable[SipMessage], *, sent: bool) -> dict[str | None, float]:
    """When the first INVITE with each caller's number was sent or received."""
    first: dict[str | None, float] = {}
    for message in messages:
        if message.method == "INVITE" and message.sent is sent:
            first.setdefault(message.user_of("From"), message.at)
    return first


def _completed(messages: Iterable[SipMessage]) -> int:
    """How many calls were answered and ended in order, as the caller saw it."""
    answered: set[str] = set()
    ended: set[str] = set()
    for message in messages:
        if not message.sent and message.status == 200:
            (answered if message.for_method == "INVITE" else ended).add(message.call_id)
    return len(answered & ended)


def _cpu(sandbox: Sandbox) -> tuple[float, float]:
    """Seconds of CPU that Asterisk and the service (0 while it is stopped) have used."""
    return cpu_seconds(sandbox.asterisk.pid), cpu_seconds(sandbox.service.pid) if sandbox.service else 0.0


def cpu_seconds(pid: int) -> float:
    """User and system time of a process with all its threads, ended ones too (proc(5))."""
    fields = _proc(pid, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_mb(pid: int) -> float:
    """Memory of a process that is in RAM, in MB (proc(5))."""
    return int(_proc(pid, "statm").split()[1]) * _PAGE / 1e6


def _proc(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError as error:
        raise SandboxError(f"process {pid} ended during the benchmark ({error.strerror})") from None
