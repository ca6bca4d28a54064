"""Alice's rule holds until a moment: a call before it is forwarded, a call after it rings her."""

import asyncio
from datetime import UTC, datetime, timedelta

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, MOBILE, Company, told

pytestmark = PBX


async def test_rule_until_a_moment_that_has_passed(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    carrier = await phones.carrier()
    mobile, customer = carrier.number(MOBILE), carrier.number(CUSTOMER)
    until = datetime.now(UTC) + timedelta(seconds=3)
    await company.forwards("101", "always", MOBILE, until=until)

    before = await customer.dial("+33170000101")
    on_mobile = await mobile.rings(within=3)
    await on_mobile.answer()
    await before.answered()
    await before.hears(mobile)
    await on_mobile.hears(customer)
    await before.hangup()
    await on_mobile.ended()
    assert alice.rang == 0

    await asyncio.sleep((until - datetime.now(UTC)).total_seconds())
    after = await customer.dial("+33170000101")
    at_desk = await alice.rings()
    assert at_desk.diversion is None
    await after.ringing()
    await at_desk.answer()
    await after.answered()
    await after.hears(alice)
    await at_desk.hears(customer)
    await after.hangup()
    assert (await at_desk.ended()).by_far_end
    assert after.statuses == [180, 200]
    assert mobile.rang == 1

    first, second = await company.records(2)
    assert told(first) == "external live: forward carrier ANSWER/16 -> answered"
    assert told(second) == "external live: ring 101 ANSWER/16 -> answered"
    assert [(entry["rule"], entry["why"]) for entry in second.trace if not entry["followed"]] == [("always", "expired")]
