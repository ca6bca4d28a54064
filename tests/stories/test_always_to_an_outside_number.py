"""All of Alice's calls go to her mobile: her own phone stays silent, whoever calls."""

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, MOBILE, Company, told

pytestmark = PBX


async def test_outside_call_always_to_an_outside_number(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    carrier = await phones.carrier()
    mobile, customer = carrier.number(MOBILE), carrier.number(CUSTOMER)
    await company.forwards("101", "always", MOBILE)

    call = await customer.dial("+33170000101")
    on_mobile = await mobile.rings()
    await call.ringing()
    assert (on_mobile.called, on_mobile.caller) == (MOBILE, CUSTOMER)
    assert on_mobile.diversion == ("+33170000101", "unconditional")
    await on_mobile.answer()
    await call.answered()
    await call.hears(mobile)
    await on_mobile.hears(customer)
    await on_mobile.hangup()
    assert (await call.ended()).by_far_end
    assert call.statuses == [180, 200]
    assert (alice.rang, mobile.rang) == (0, 1)

    record = await company.record()
    assert told(record) == "external live: forward carrier ANSWER/16 -> answered"
    assert (record.caller, record.extension, record.called) == (CUSTOMER, "101", "+33170000101")


async def test_inside_call_always_to_an_outside_number(company: Company, phones: Phones) -> None:
    alice, bruno = await phones.register("101"), await phones.register("102")
    mobile = (await phones.carrier()).number(MOBILE)
    await company.forwards("101", "always", MOBILE)

    call = await bruno.dial("101")
    on_mobile = await mobile.rings()
    assert on_mobile.diversion == ("+33170000101", "unconditional")
    await on_mobile.answer()
    await call.answered()
    await call.hears(mobile)
    await on_mobile.hears(bruno)
    await call.hangup()
    await on_mobile.ended()
    assert (alice.rang, mobile.rang) == (0, 1)

    record = await company.record()
    assert told(record) == "internal live: forward carrier ANSWER/16 -> answered"
    assert (record.caller, record.extension, record.called) == ("102", "101", "101")
