"""`make demo`: real calls by real SIP phones through every kind of forward.

Each scene sets rules by the command line, as an admin would, places a call, and checks where it went and what both
sides heard. Every tone is one telephone's own, so "heard" is measured, not assumed.
"""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from comunik_pbx.sandbox import processes
from comunik_pbx.sandbox.errors import AsteriskFailed, PhoneError, SandboxError
from comunik_pbx.sandbox.layout import Layout
from comunik_pbx.sandbox.phones import IncomingCall, Line, OutgoingCall, Phones
from comunik_pbx.sandbox.sandbox import Sandbox, running

COMMAND_SECONDS = 20.0
FOLLOW_SECONDS = 0.2  # the service follows a change within 50 ms; four times that
ONE_RING_SECONDS = 5.0  # France's cadence
CLIENT, MOBILE = "+33140000000", "+33612345678"


@dataclass(frozen=True)
class Scene:
    """What is told, the rules it needs (`rules set` arguments), and the story; its answer is what is printed."""

    title: str
    rules: tuple[str, ...]
    story: Callable[[Phones], Awaitable[str]]


async def demo(layout: Layout) -> int:
    """Play every scene; 0 if all went where they should, else 1."""
    failed = 0
    async with running(layout, _say, service=True, database="demo.db", fresh=True) as sandbox:
        for number, scene in enumerate(SCENES, start=1):
            _say(f"\n{number}. {scene.title}")
            for rule in scene.rules:
                _say(f"   $ comunik-pbx rules set {rule}")
            started = time.monotonic()
            try:
                await _set(sandbox, scene.rules)
                async with sandbox.phones() as phones:
                    told = await scene.story(phones)
                _say(f"   right: {told} ({time.monotonic() - started:.1f} s)")
            except (PhoneError, AssertionError) as error:
                failed += 1
                _say(f"   WRONG: {error}")
            await _clear(sandbox, scene.rules)
            if sandbox.asterisk.ended.done():
                raise AsteriskFailed(f"Asterisk ended during the demo; see {layout.full_log}")
        if complaints := sandbox.asterisk.complaints():
            failed += 1
            _say(f"\nWRONG: Asterisk complained: {complaints[0]}")
        log = sandbox.layout.full_log
    right = len(SCENES) - min(failed, len(SCENES))
    _say(
        f"\n{right} of {len(SCENES)} calls went where the rules sent them"
        + (f"; Asterisk's log: {log}" if failed else "")
    )
    return 1 if failed else 0


async def _set(sandbox: Sandbox, rules: tuple[str, ...]) -> None:
    for rule in rules:
        await _cli(sandbox, "rules", "set", *rule.split())
    await asyncio.sleep(FOLLOW_SECONDS)


async def _clear(sandbox: Sandbox, rules: tuple[str, ...]) -> None:
    for rule in rules:
        await _cli(sandbox, "rules", "clear", *rule.split()[:2])


async def _cli(sandbox: Sandbox, *words: str) -> None:
    process = await processes.start(
        [sys.executable, "-m", "comunik_pbx.cli", *words],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        environ={**os.environ, "COMUNIK_PBX_CONFIG": str(sandbox.config)},
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), COMMAND_SECONDS)
    except TimeoutError:
        raise SandboxError(f"`comunik-pbx {' '.join(words)}` did not end within {COMMAND_SECONDS:g} s") from None
    finally:
        await processes.stop(process, seconds=1)
    if process.returncode:
        raise SandboxError(f"`comunik-pbx {' '.join(words)}`: {output.decode().strip()}")


async def _talk(call: OutgoingCall, incoming: IncomingCall) -> str:
    """Answer, make sure each side hears the other, hang up; what the caller heard."""
    await incoming.answer()
    await call.answered()
    await asyncio.gather(call.hears(incoming.line), incoming.hears(call.line))
    await call.hangup()
    await asyncio.gather(call.ended(), incoming.ended())
    return f"{call.line.name} and {incoming.line.name} heard each other"


async def _to_voicemail(call: OutgoingCall, within: float) -> str:
    await call.answered(within)
    await call.hears_speech()
    await call.press("#")
    await call.hears_beep()
    await call.talks(2)
    await call.hangup()
    await call.ended()
    return f"{call.line.name} heard the greeting and the beep, and left a message"


def _diverted(incoming: IncomingCall, by: str, reason: str) -> str:
    if incoming.diversion is None or (incoming.diversion[0][-3:], incoming.diversion[1]) != (by, reason):
        raise PhoneError(
            f"{incoming.line.name} should see a call diverted by {by} ({reason}), and sees {incoming.diversion}"
        )
    return f"diverted by {by}, {reason}"


async def _outside(phones: Phones, number: str) -> Line:
    return (await phones.carrier()).number(number)


async def answered_by_its_owner(phones: Phones) -> str:
    """No rule in the way."""
    alice, client = await phones.register("101"), await _outside(phones, CLIENT)
    call = await client.dial("+33170000101")
    return await _talk(call, await alice.rings())


async def always_to_a_mobile(phones: Phones) -> str:
    """Always, to an outside number: the extension stays quiet."""
    alice, client, mobile = await phones.register("101"), await _outside(phones, CLIENT), await _outside(phones, MOBILE)
    call = await client.dial("+33170000101")
    incoming = await mobile.rings()
    seen = _diverted(incoming, "101", "unconditional")
    told = await _talk(call, incoming)
    if alice.rang:
        raise PhoneError("phone 101 rang, which `always` forbids")
    return f"101 stayed quiet; {told}; {seen}"


async def always_to_a_colleague(phones: Phones) -> str:
    """Always, to another extension."""
    emma, bruno = await phones.register("105"), await phones.register("102")
    call = await emma.dial("101")
    incoming = await bruno.rings()
    return f"{_diverted(incoming, '101', 'unconditional')}; {await _talk(call, incoming)}"


async def outside_after_one_ring(phones: Phones) -> str:
    """The external rule, after a ring."""
    alice, client, mobile = await phones.register("101"), await _outside(phones, CLIENT), await _outside(phones, MOBILE)
    call = await client.dial("+33170000101")
    ringing = await alice.rings()
    incoming = await mobile.rings(ONE_RING_SECONDS + 2)
    rang = incoming.started - ringing.started
    if abs(rang - ONE_RING_SECONDS) > 0.5:
        raise PhoneError(f"phone 101 rang for {rang:.1f} s; one ring is {ONE_RING_SECONDS:g} s")
    return f"101 rang {rang:.1f} s; {_diverted(incoming, '101', 'no-answer')}; {await _talk(call, incoming)}"


async def inside_after_one_ring(phones: Phones) -> str:
    """The internal rule, while there is an external one too."""
    alice, bruno, emma = await phones.register("101"), await phones.register("102"), await phones.register("105")
    call = await emma.dial("101")
    await alice.rings()
    incoming = await bruno.rings(ONE_RING_SECONDS + 2)
    return f"{_diverted(incoming, '101', 'no-answer')}; {await _talk(call, incoming)}"


async def to_voicemail(phones: Phones) -> str:
    """After a ring to one's own mailbox; the lamp lights."""
    alice, client = await phones.register("101"), await _outside(phones, CLIENT)
    call = await client.dial("+33170000101")
    await alice.rings()
    told = await _to_voicemail(call, ONE_RING_SECONDS + 3)
    await alice.lamp(lit=True)
    return f"{told}; the lamp of 101 is lit"


async def busy_forwards_at_once(phones: Phones) -> str:
    """A declined call does not wait for rings."""
    alice, client, mobile = await phones.register("101"), await _outside(phones, CLIENT), await _outside(phones, MOBILE)
    call = await client.dial("+33170000101")
    await (await alice.rings()).reject()
    incoming = await mobile.rings(2)
    return f"101 declined; {_diverted(incoming, '101', 'user-busy')}; {await _talk(call, incoming)}"


async def first_carrier_dead(phones: Phones) -> str:
    """Nobody registered, and only the second carrier is alive."""
    emma, backup = await phones.register("105"), await phones.carrier("backup")
    call = await emma.dial("101")
    incoming = await backup.number(MOBILE).rings(15)
    return f"the carrier is dead, the backup took the call; {await _talk(call, incoming)}"


async def forged_caller_id(phones: Phones) -> str:
    """From outside as `102`: still an outside call."""
    alice, mobile = await phones.register("101"), await _outside(phones, MOBILE)
    call = await (await phones.carrier()).forged("102").dial("+33170000101")
    incoming = await mobile.rings()
    told = await _talk(call, incoming)
    if alice.rang:
        raise PhoneError("phone 101 rang: a forged caller id was believed")
    return f"taken for an outside call; {told}"


SCENES = (
    Scene("A client calls Alice's DID; she answers", (), answered_by_its_owner),
    Scene("Always, to her mobile", (f"101 always --to {MOBILE}",), always_to_a_mobile),
    Scene("Always, to a colleague", ("101 always --to 102",), always_to_a_colleague),
    Scene(
        "From outside: after 1 ring, to her mobile", (f"101 external --to {MOBILE} --rings 1",), outside_after_one_ring
    ),
    Scene(
        "From inside: after 1 ring, to a colleague, whatever the outside rule is",
        ("101 internal --to 102 --rings 1", f"101 external --to {MOBILE} --rings 0"),
        inside_after_one_ring,
    ),
    Scene("After 1 ring, to her voicemail", ("101 external --to voicemail --rings 1",), to_voicemail),
    Scene("Declined: forwarded at once", (f"101 external --to {MOBILE} --rings 3",), busy_forwards_at_once),
    Scene("Outside caller with a forged caller id", (f"101 external --to {MOBILE} --rings 0",), forged_caller_id),
    Scene("First carrier dead, second used", (f"101 always --to {MOBILE}",), first_carrier_dead),
)


def _say(line: str) -> None:
    print(line, flush=True)
