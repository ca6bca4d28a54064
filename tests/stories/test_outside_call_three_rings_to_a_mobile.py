"""An outside call rings Alice's phone three times, then her mobile, where she answers."""

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, CYCLE_SECONDS, MOBILE, Company, told

pytestmark = PBX


async def test_outside_call_three_rings_to_a_mobile(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    carrier = await phones.carrier()
    mobile, customer = carrier.number(MOBILE), carrier.number(CUSTOMER)
    await company.forwards("101", "external", MOBILE, rings=3)

    call = await customer.dial("+33170000101")
    at_desk = await alice.rings()
    await call.ringing()
    assert at_desk.caller == CUSTOMER

    on_mobile = await mobile.rings(within=3 * CYCLE_SECONDS + 2)
    given_up = await at_desk.ended()
    rang = given_up.at - at_desk.started
    assert 2 * CYCLE_SECONDS < rang <= 3 * CYCLE_SECONDS, "three rings, and not the beginning of a fourth"
    assert on_mobile.called == MOBILE
    assert on_mobile.caller == CUSTOMER
    assert on_mobile.diversion == ("+33170000101", "no-answer")

    await on_mobile.answer()
    await call.answered()
    await call.hears(mobile)
    await on_mobile.hears(customer)
    assert call.statuses[-1] == 200
    await call.hangup()
    assert (await on_mobile.ended()).by_far_end

    record = await company.record()
    assert told(record) == "external live: ring 101 NOANSWER/19, forward carrier ANSWER/16 -> answered"
    assert (record.caller, record.extension, record.called) == (CUSTOMER, "101", "+33170000101")
