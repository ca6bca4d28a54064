"""Alice answers while her own phone rings; the mobile of her rule is left alone."""

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, CYCLE_SECONDS, MOBILE, Company, told

pytestmark = PBX


async def test_answered_before_any_forward(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    carrier = await phones.carrier()
    mobile, customer = carrier.number(MOBILE), carrier.number(CUSTOMER)
    await company.forwards("101", "external", MOBILE, rings=2)

    call = await customer.dial("+33170000101")
    at_desk = await alice.rings()
    await call.ringing()
    assert (at_desk.caller, at_desk.called, at_desk.diversion) == (CUSTOMER, "101", None)
    await at_desk.answer()
    await call.answered()
    await call.hears(alice)
    await at_desk.hears(customer)

    await mobile.stays_quiet(2 * CYCLE_SECONDS + 0.5)  # the rings of the rule are over, and nothing comes of it
    await call.hears(alice)
    await at_desk.hangup()
    ending = await call.ended()
    assert (ending.cause, ending.by_far_end) == (16, True)
    assert call.statuses == [180, 200]

    record = await company.record()
    assert told(record) == "external live: ring 101 ANSWER/16 -> answered"
    assert (record.caller, record.extension, record.called) == (CUSTOMER, "101", "+33170000101")
    assert (record.plan[0]["rings"], record.plan[1]["to"]) == (2, MOBILE), "the rule was in force"
    assert record.outcome[0]["answered_by"].startswith("PJSIP/101-")
    assert record.outcome[0]["answered_ms"] >= 2000 * CYCLE_SECONDS
