"""Alice's inside calls go to Chloé, her outside calls to her mobile, both at the same time."""

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, CYCLE_SECONDS, MOBILE, Company, rang_seconds, told

pytestmark = PBX


async def test_inside_and_outside_rules_at_once(company: Company, phones: Phones) -> None:
    alice, bruno, chloe = [await phones.register(extension) for extension in ("101", "102", "103")]
    carrier = await phones.carrier()
    mobile, customer = carrier.number(MOBILE), carrier.number(CUSTOMER)
    await company.forwards("101", "internal", "103", rings=3)
    await company.forwards("101", "external", MOBILE, rings=1)

    inside = await bruno.dial("101")
    for_bruno = await alice.rings()
    outside = await customer.dial("+33170000101")
    for_customer = await alice.rings()

    on_mobile = await mobile.rings(within=1 * CYCLE_SECONDS + 2)
    assert (on_mobile.caller, on_mobile.diversion) == (CUSTOMER, ("+33170000101", "no-answer"))
    await on_mobile.answer()
    at_chloe = await chloe.rings(within=3 * CYCLE_SECONDS + 2)
    assert (at_chloe.caller, at_chloe.diversion) == ("102", ("101", "no-answer"))
    await at_chloe.answer()
    await for_customer.ended()
    await for_bruno.ended()
    assert 0.5 * CYCLE_SECONDS < rang_seconds(for_customer) <= 1 * CYCLE_SECONDS, "one ring for calls from outside"
    assert 2.5 * CYCLE_SECONDS < rang_seconds(for_bruno) <= 3 * CYCLE_SECONDS, "three for those from inside"

    await outside.hears(mobile)
    await on_mobile.hears(customer)
    await inside.hears(chloe)
    await at_chloe.hears(bruno)
    await outside.hangup()
    await inside.hangup()
    await on_mobile.ended()
    await at_chloe.ended()
    assert (alice.rang, chloe.rang, mobile.rang) == (2, 1, 1)

    assert {record.caller: told(record) for record in await company.records(2)} == {
        "102": "internal live: ring 101 NOANSWER/19, ring 103 ANSWER/16 -> answered",
        CUSTOMER: "external live: ring 101 NOANSWER/19, forward carrier ANSWER/16 -> answered",
    }
