"""Two phones are registered for 101: both ring, the first to answer has the call, the other one knows it."""

import re

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.beside import both_ways, number_of_bruno
from tests.stories.company import CUSTOMER, Company, told
from tests.stories.talking import talk, talk_and_part

pytestmark = PBX

ANSWERED_ELSEWHERE = 26  # Q.850 non-selected user clearing


async def test_the_first_to_answer_has_the_call(company: Company, phones: Phones) -> None:
    desk, cordless = await phones.register("101", name="desk"), await phones.register("101", name="cordless")
    customer = (await phones.carrier()).number(CUSTOMER)

    call = await customer.dial("+33170000101")
    at_desk, at_cordless = await desk.rings(), await cordless.rings()
    await call.ringing()
    assert abs(at_desk.started - at_cordless.started) < 0.5, "at the same time"
    assert (at_desk.caller, at_cordless.caller) == (CUSTOMER, CUSTOMER)

    await at_cordless.answer()
    lost = await at_desk.ended()
    assert (lost.by_far_end, lost.cause) == (True, ANSWERED_ELSEWHERE)
    (cancel,) = [message for message in at_desk.messages if message.method == "CANCEL"]
    assert any("SIP" in reason and "cause=200" in reason for reason in cancel.all("Reason"))
    await call.answered()
    await call.hears(cordless)
    await at_cordless.hears(customer)
    await call.hangup()
    await at_cordless.ended()

    about_us = [m.start_line for m in call.messages if not m.sent and re.search("sip:101@|Alice", m.text)]
    assert about_us == [], "who and which extension answers stays inside"

    record = await company.record()
    assert told(record) == "external live: ring 101 ANSWER/16 -> answered"
    assert record.outcome[0]["answered_by"].startswith("PJSIP/101-")


async def test_one_of_the_two_is_busy(company: Company, phones: Phones) -> None:
    desk, cordless = await phones.register("101", name="desk"), await phones.register("101", name="cordless")
    customer = (await phones.carrier()).number(CUSTOMER)
    call = await customer.dial("+33170000101")
    at_desk, at_cordless = await desk.rings(), await cordless.rings()
    await at_desk.reject()
    await at_desk.ended()
    assert at_cordless.ending is None
    await talk_and_part(call, at_cordless)
    assert told(await company.record()) == "external live: ring 101 ANSWER/16 -> answered"


@both_ways
async def test_also_those_a_call_is_forwarded_to(company: Company, phones: Phones, way: str) -> None:
    desk, cordless = await phones.register("102", name="desk"), await phones.register("102", name="cordless")
    customer = (await phones.carrier()).number(CUSTOMER)
    call = await customer.dial(await number_of_bruno(company, way))
    at_desk, at_cordless = await desk.rings(), await cordless.rings()
    await talk(call, at_cordless)
    assert (await at_desk.ended()).cause == ANSWERED_ELSEWHERE
    await call.hangup()
    await at_cordless.ended()
