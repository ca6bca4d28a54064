"""Alice is busy: no ring can be heard, so her rule acts at once and not after twelve rings."""

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, MOBILE, Company, told

pytestmark = PBX


async def test_busy_goes_to_the_mobile_at_once(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    carrier = await phones.carrier()
    mobile, customer = carrier.number(MOBILE), carrier.number(CUSTOMER)
    await company.forwards("101", "external", MOBILE, rings=12)

    call = await customer.dial("+33170000101")
    at_desk = await alice.rings()
    await call.ringing()
    await at_desk.reject()
    on_mobile = await mobile.rings(within=3)
    assert at_desk.statuses == [180, 486]
    assert (on_mobile.called, on_mobile.caller) == (MOBILE, CUSTOMER)
    assert on_mobile.diversion == ("+33170000101", "user-busy")
    await on_mobile.answer()
    await call.answered()
    await call.hears(mobile)
    await on_mobile.hears(customer)
    await call.hangup()
    await on_mobile.ended()
    assert call.statuses == [180, 200]

    record = await company.record()
    assert told(record) == "external live: ring 101 BUSY/17, forward carrier ANSWER/16 -> answered"
    assert (record.caller, record.extension, record.called) == (CUSTOMER, "101", "+33170000101")
