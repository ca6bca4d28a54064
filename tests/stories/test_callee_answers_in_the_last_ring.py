"""Alice answers in the last ring of her rule: she has the call and keeps it."""

import asyncio

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, CYCLE_SECONDS, MOBILE, Company, told

pytestmark = PBX


async def test_callee_answers_in_the_last_ring(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    carrier = await phones.carrier()
    mobile, customer = carrier.number(MOBILE), carrier.number(CUSTOMER)
    await company.forwards("101", "external", MOBILE, rings=3)

    call = await customer.dial("+33170000101")
    at_desk = await alice.rings()
    await asyncio.sleep(2.3 * CYCLE_SECONDS)  # the third of three rings has begun
    assert mobile.rang == 0
    await at_desk.answer()
    await call.answered()
    assert at_desk.established_at is not None
    assert 2 * CYCLE_SECONDS < at_desk.established_at - at_desk.started < 3 * CYCLE_SECONDS
    await call.hears(alice)
    await at_desk.hears(customer)
    await mobile.stays_quiet(1 * CYCLE_SECONDS)
    await call.hears(alice)
    await call.hangup()
    assert (await at_desk.ended()).by_far_end
    assert call.statuses == [180, 200]

    record = await company.record()
    assert told(record) == "external live: ring 101 ANSWER/16 -> answered"
    assert (record.plan[0]["rings"], record.plan[1]["to"]) == (3, MOBILE), "the rule was in force"
    assert 2000 * CYCLE_SECONDS < record.outcome[0]["ring_ms"] < 3000 * CYCLE_SECONDS
