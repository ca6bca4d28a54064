"""People talk while the service is killed: RTP goes on, packet by packet, and whoever hangs up is heard."""

import asyncio
import re
import signal
import time
from collections.abc import Callable

from comunik_pbx.forwarding.rules import RuleKind, ToNumber
from comunik_pbx.sandbox.errors import SandboxError
from comunik_pbx.sandbox.faults_load import store_url
from comunik_pbx.sandbox.sandbox import Sandbox
from comunik_pbx.store import Store

PACKETS_PER_SECOND = 50
"""20 ms of audio in each."""

TALK_SECONDS = 5.0
FORWARDING, TARGET = "103", "+33687654321"

_STATS = re.compile(r"(\S+-[0-9a-f]{8})\s+\d\d:\d\d:\d\d\s+\S+\s+(\d+)\s+(\d+)\s+\d+\s+\S+\s+(\d+)\s+(\d+)\s")


async def talking(sandbox: Sandbox, say: Callable[[str], None], *, seconds: float = TALK_SECONDS) -> bool:
    """Two calls, one of them forwarded to outside: kill -9, count, hang up, start the service again."""
    if sandbox.service is None:
        raise SandboxError("there is no service to kill")
    async with await Store.open(store_url(sandbox)) as store, sandbox.phones() as phones:
        await store.set_rule(FORWARDING, RuleKind.ALWAYS, ToNumber(TARGET), rings=0, until=None, by="faults")
        await asyncio.sleep(0.1)  # in force within 50 ms
        alice, bruno, carrier = await phones.register("104"), await phones.register("105"), await phones.carrier()
        first = await carrier.number("+33140000000").dial("104")
        at_alice = await alice.rings()
        await at_alice.answer()
        second = await bruno.dial(FORWARDING)
        at_target = await carrier.number(TARGET).rings()
        await at_target.answer()
        await first.answered()
        await second.answered()
        before, began = await _counts(sandbox), time.monotonic()
        sandbox.service.send_signal(signal.SIGKILL)
        await sandbox.service.wait()
        await asyncio.sleep(seconds)
        after, lasted = await _counts(sandbox), time.monotonic() - began
        await first.hangup()
        await at_alice.ended()
        await at_target.hangup()
        await second.ended()
        await sandbox.start_service()
        await store.clear_rule(FORWARDING, RuleKind.ALWAYS, by="faults")
    good, lines = len(after) == 4, []
    for leg, counts in sorted(after.items()):
        was = before.get(leg, (0, 0, 0, 0))
        heard, said, lost = counts[0] - was[0], counts[2] - was[2], counts[1] + counts[3]
        # Counted a moment apart from the clock: a tenth of a second is five packets.
        good &= min(heard, said) >= (lasted - 0.2) * PACKETS_PER_SECOND and lost == 0
        lines.append(f"  {leg}: {heard} packets heard, {said} said, {lost} lost")
    say(f"talking: two calls across kill -9, {lasted:.1f} s of {PACKETS_PER_SECOND} packets/s; both hung up in order")
    say("\n".join(lines))
    return good


async def _counts(sandbox: Sandbox) -> dict[str, tuple[int, int, int, int]]:
    """By channel: RTP packets received, lost, sent, lost (`pjsip show channelstats`)."""
    shown = await sandbox.console("pjsip show channelstats")
    return {m[1]: (int(m[2]), int(m[3]), int(m[4]), int(m[5])) for m in _STATS.finditer(shown)}
