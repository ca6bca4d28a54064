"""Alice's calls go to her mobile: no caller learns its number, nor does anybody he hands the call over to."""

import pytest

from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, MOBILE, Company, told, trunks_say

pytestmark = PBX

ASSERTED = [
    f"P-Asserted-Identity: <sip:{MOBILE}@mobile.example>",
    f"Remote-Party-ID: <sip:{MOBILE}@mobile.example>",
]
"""What the carrier says of the mobile in its answers."""


@pytest.mark.parametrize("script", [[180, 0.3, 200], [183, 0.3, 200]])
async def test_the_caller_never_learns_where_his_call_went(
    company: Company, phones: Phones, script: list[int | float]
) -> None:
    """Also where the trunk's endpoint believes what the carrier says of who is reached."""
    bruno = await phones.register("102")
    await company.forwards("101", "internal", MOBILE)
    async with (
        trunks_say(company.sandbox, "trust_connected_line = yes", "trust_connected_line = no"),
        sipp.switch(company.sandbox, "carrier", script, headers=ASSERTED),
    ):
        call = await bruno.dial("101")
        await call.answered()
        await call.talks(0.5)
        heard_of = [message.start_line for message in call.messages if MOBILE[1:] in message.text]
        assert heard_of == []
        await call.hangup()
    assert told(await company.record()) == "internal live: forward carrier ANSWER/16 -> answered"


@pytest.mark.parametrize("how", ["attended", "blindly"])
async def test_nor_does_whom_he_hands_the_call_to(company: Company, phones: Phones, how: str) -> None:
    """Chloé sees 101, whom Bruno called; the carrier is not told who she is."""
    bruno, chloe = await phones.register("102"), await phones.register("103")
    await company.forwards("101", "internal", MOBILE)
    async with sipp.switch(company.sandbox, "carrier", [180, 0.2, 200], headers=ASSERTED) as carrier:
        call = await bruno.dial("101")
        await call.answered()
        if how == "attended":
            await call.hold()
            asked = await bruno.dial("103")
            at_chloe = await chloe.rings()
            await at_chloe.answer()
            await asked.answered()
            await call.hand_over(asked)
        else:
            await call.transfer("103")
            at_chloe = await chloe.rings()
            await at_chloe.answer()
            assert at_chloe.caller == "101"
        await call.ended()
        await at_chloe.is_told_of("101")
        assert [message.start_line for message in at_chloe.messages if MOBILE[1:] in message.text] == []
        assert [m.start_line for m in carrier.messages if not m.sent and "sip:103@" in m.text] == []
        await at_chloe.hangup()
        await carrier.received("BYE")


@pytest.mark.parametrize("caller", ["inside", "outside"])
async def test_nor_when_the_phone_itself_sends_the_call_there(company: Company, phones: Phones, caller: str) -> None:
    """302: the 181 says that the call is forwarded, and not where to."""
    bruno = await phones.register("102") if caller == "inside" else (await phones.carrier("backup")).number(CUSTOMER)
    to_mobile = [f"Contact: <sip:0612345678@{company.sandbox.layout.addresses.host}>"]
    async with (
        sipp.switch(company.sandbox, "carrier", [180, 0.2, 200], headers=ASSERTED),
        sipp.phone(company.sandbox, "101", [302], headers=to_mobile),
    ):
        call = await bruno.dial("101")
        await call.answered()
        assert call.statuses == [181, 180, 200]
        assert [message.start_line for message in call.messages if "612345678" in message.text] == []
        await call.hangup()
