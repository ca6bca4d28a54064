"""Somebody without any number calls: an outside call, that can be answered and forwarded like any other."""

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import MOBILE, Company, told
from tests.stories.talking import talk_and_part

pytestmark = PBX


async def test_anonymous_call_answered(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    nobody = (await phones.carrier()).anonymous()
    call = await nobody.dial("+33170000101")
    at_alice = await alice.rings()
    assert at_alice.caller == "anonymous"
    await talk_and_part(call, at_alice)
    record = await company.record()
    assert told(record) == "external live: ring 101 ANSWER/16 -> answered"
    assert (record.caller, record.extension) == ("anonymous", "101")


async def test_anonymous_call_forwarded_outside(company: Company, phones: Phones) -> None:
    await phones.register("102")
    carrier = await phones.carrier()
    await company.forwards("101", "external", MOBILE)
    await company.forwards("101", "internal", "102")
    call = await carrier.anonymous().dial("+33170000101")
    on_mobile = await carrier.number(MOBILE).rings()
    assert on_mobile.caller == "anonymous"
    assert on_mobile.diversion == ("+33170000101", "unconditional")
    await talk_and_part(call, on_mobile)
    record = await company.record()
    assert told(record) == "external live: forward carrier ANSWER/16 -> answered"
    assert record.caller == "anonymous"
