"""The sandbox itself: a clean Asterisk, phones that register, call, hear each other and hang up; carriers; SIPp."""

import json
import re

import pytest
import pytest_asyncio

from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.errors import NotHeard, PhoneError
from comunik_pbx.sandbox.phones import Phones
from comunik_pbx.sandbox.sandbox import Sandbox
from tests.pbx import PBX

pytestmark = PBX


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def nobody_registered(sandbox: Sandbox) -> None:
    """On a busy machine a phone of the test before may not have got to leaving, and would be rung too."""
    await sandbox.console("database deltree registrar")


async def test_asterisk_starts_without_warnings(sandbox: Sandbox) -> None:
    booted = next(n for n, line in enumerate(sandbox.asterisk.log_lines()) if "Asterisk Ready" in line)
    before = sandbox.asterisk.log_lines()[:booted]
    assert [line for line in before if "WARNING" in line or "ERROR" in line] == []


async def test_sandbox_json_says_where_everything_is(sandbox: Sandbox) -> None:
    description = json.loads(sandbox.layout.description.read_text())
    assert description["asterisk"]["pid"] == sandbox.asterisk.pid
    assert [phone["extension"] for phone in description["phones"]] == [str(n) for n in range(101, 116)]
    assert [carrier["trunk"] for carrier in description["carriers"]] == ["carrier", "backup"]


async def test_two_phones_call_and_hear_each_other(phones: Phones) -> None:
    alice = await phones.register("101")
    bruno = await phones.register("102")

    call = await alice.dial("9102")
    incoming = await bruno.rings()
    assert incoming.caller == "101"
    await call.ringing()
    await incoming.answer()
    await call.answered()
    await call.hears(bruno)
    await incoming.hears(alice)

    await call.hangup()
    ending = await incoming.ended()
    assert (ending.cause, ending.by_far_end) == (16, True)
    assert not (await call.ended()).by_far_end
    assert call.statuses == [180, 200]


async def test_a_phone_that_is_silent_is_not_heard(phones: Phones) -> None:
    alice = await phones.register("101")
    bruno = await phones.register("102")
    carol = await phones.register("103")
    call = await alice.dial("9102")
    await (await bruno.rings()).answer()
    await call.answered()
    with pytest.raises(NotHeard, match="phone 103"):
        await call.hears(carol, within=1)


async def test_caller_gives_up(phones: Phones) -> None:
    alice = await phones.register("101")
    bruno = await phones.register("102")
    call = await alice.dial("9102")
    incoming = await bruno.rings()
    await call.hangup()
    ending = await incoming.ended()
    assert ending.by_far_end
    assert ending.status is None


async def test_busy_phone(phones: Phones) -> None:
    alice = await phones.register("101")
    bruno = await phones.register("102")
    call = await alice.dial("9102")
    await (await bruno.rings()).reject()
    ending = await call.refused()
    assert (ending.status, ending.cause) == (486, 17)


async def test_two_phones_on_one_extension_ring_together(phones: Phones) -> None:
    alice = await phones.register("101")
    desk, cordless = await phones.register("102", name="desk"), await phones.register("102", name="cordless")
    call = await alice.dial("9102")
    at_desk, at_cordless = await desk.rings(), await cordless.rings()
    await at_cordless.answer()
    await call.answered()
    await call.hears(cordless)
    assert (await at_desk.ended()).cause == 26  # answered elsewhere (Q.850 non-selected user clearing)


async def test_a_call_to_outside_and_back(phones: Phones) -> None:
    alice = await phones.register("101")
    carrier = await phones.carrier()
    mobile = carrier.number("+33612345678")

    call = await alice.dial("0612345678")
    incoming = await mobile.rings()
    assert (incoming.called, incoming.caller) == ("+33612345678", "+33170000101")
    await incoming.answer()
    await call.answered()
    await call.hears(mobile)
    await incoming.hears(alice)
    await incoming.hangup()
    assert (await call.ended()).by_far_end

    back = await mobile.dial("9101")
    ringing = await alice.rings()
    assert ringing.caller == "+33612345678"
    await ringing.answer()
    await back.answered()
    await ringing.hears(mobile)
    await back.hears(alice)


async def test_dead_carrier_then_backup(sandbox: Sandbox, phones: Phones) -> None:
    alice = await phones.register("101")
    backup = await phones.carrier("backup")
    async with sipp.switch(sandbox, "carrier", [503]) as dead:
        call = await alice.dial("0612345678")
        incoming = await backup.number("+33612345678").rings()
        assert len(dead.invites) == 1
        await incoming.answer()
        await call.answered()


@pytest.mark.parametrize("status", [404, 480, 486, 500, 603])
async def test_sipp_answers_exactly(sandbox: Sandbox, phones: Phones, status: int) -> None:
    alice = await phones.register("101")
    async with sipp.phone(sandbox, "102", [180, 0.1, status]) as bruno:
        call = await alice.dial("9102")
        await call.ringing()
        ending = await call.refused()
        ack = await bruno.received("ACK")
        assert ack.at - (await bruno.received("INVITE")).at >= 0.1
        assert (ending.status or 0) >= 400


async def test_sipp_sees_the_cancel(sandbox: Sandbox, phones: Phones) -> None:
    alice = await phones.register("101")
    async with sipp.phone(sandbox, "102", [180]) as bruno:
        call = await alice.dial("9102")
        await call.ringing()
        await call.hangup()
        await bruno.received("CANCEL")
        await bruno.received("ACK")


async def test_sipp_calls_with_a_forged_identity(sandbox: Sandbox, phones: Phones) -> None:
    alice = await phones.register("101")
    forged = ["P-Asserted-Identity: <sip:102@sandbox.example>"]
    async with sipp.caller(sandbox, "9101", from_uri="sip:102@sandbox.example", headers=forged) as caller:
        incoming = await alice.rings()
        assert incoming.caller == "102"
        await incoming.answer()
        assert (await caller.final()).status == 200
        assert await caller.finished() == 0


async def test_sipp_gives_up(sandbox: Sandbox, phones: Phones) -> None:
    alice = await phones.register("101")
    async with sipp.caller(sandbox, "9101", cancel_after=0.2) as caller:
        incoming = await alice.rings()
        ending = await incoming.ended()
        assert ending.by_far_end
        assert await caller.finished() == 0
        assert caller.statuses == [180, 487]


async def test_unknown_address_is_refused(sandbox: Sandbox) -> None:
    async with sipp.caller(sandbox, "101", trunk=None) as caller:
        assert (await caller.received(401)).status == 401


async def test_voicemail_speaks_french_and_lights_the_lamp(phones: Phones) -> None:
    alice = await phones.register("101")
    call = await alice.dial("*97")
    await call.answered()
    await call.hears_speech()


async def test_a_message_lights_the_lamp(phones: Phones) -> None:
    alice, bruno = await phones.register("101"), await phones.register("102")
    call = await alice.dial("8102")
    await call.hears_speech()
    await call.press("#")
    await call.hears_beep()
    await call.talks(2)  # messages under a second are not kept
    await call.hangup()
    await bruno.lamp(lit=True)


async def test_each_number_of_a_carrier_says_its_own_tone(phones: Phones) -> None:
    alice, bruno, carrier = await phones.register("101"), await phones.register("102"), await phones.carrier()
    first, second = carrier.number("+33612345678"), carrier.number("+33687654321")
    to_first, to_second = await alice.dial(first.number), await bruno.dial(second.number)
    await (await first.rings()).answer()
    await (await second.rings()).answer()
    await to_first.hears(first)
    await to_second.hears(second)


async def test_withheld_and_anonymous_callers(phones: Phones) -> None:
    alice, carrier = await phones.register("101"), await phones.carrier()
    for caller in (carrier.anonymous(), carrier.withheld("+33612345678")):
        call = await caller.dial("9101")
        incoming = await alice.rings()
        assert incoming.caller == "anonymous"
        await call.hangup()
        await incoming.ended()


async def test_a_refused_password_is_said(phones: Phones) -> None:
    phones._passwords.phones["101"], kept = "wrong", phones._passwords.phones["101"]
    try:
        with pytest.raises(PhoneError, match="401"):
            await phones.register("101")
    finally:
        phones._passwords.phones["101"] = kept


@pytest.mark.parametrize("sound", [True, False])
async def test_sipp_is_heard_and_echoed_if_it_is_to_speak(sandbox: Sandbox, sound: bool) -> None:
    async with (
        sipp.phone(sandbox, "101", [180, 200]),
        sipp.caller(sandbox, "+33170000101", talk_seconds=1.5, sound=sound) as caller,
    ):
        assert (await caller.final()).status == 200
        received: list[int] = []  # packets of each channel; once one has gone, what it was before
        while len(now := await _received(sandbox)) == 2:
            received = now
        await caller.finished()
    assert [50 < packets < 90 for packets in received] == [sound, sound]


async def _received(sandbox: Sandbox) -> list[int]:
    return [int(n) for n in re.findall(r"[ua]law +(\d+)", await sandbox.console("pjsip show channelstats"))]
