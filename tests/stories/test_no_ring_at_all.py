"""With 0 rings Alice's outside calls go to her mobile at once; her colleagues still ring her."""

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, MOBILE, Company, told

pytestmark = PBX


async def test_no_ring_at_all(company: Company, phones: Phones) -> None:
    alice, bruno = await phones.register("101"), await phones.register("102")
    carrier = await phones.carrier()
    mobile, customer = carrier.number(MOBILE), carrier.number(CUSTOMER)
    await company.forwards("101", "external", MOBILE, rings=0)

    call = await customer.dial("+33170000101")
    on_mobile = await mobile.rings()
    assert (on_mobile.called, on_mobile.caller) == (MOBILE, CUSTOMER)
    assert on_mobile.diversion == ("+33170000101", "unconditional")
    await call.ringing()
    await on_mobile.answer()
    await call.answered()
    await call.hears(mobile)
    await on_mobile.hears(customer)
    await call.hangup()
    assert (await on_mobile.ended()).by_far_end
    assert call.statuses == [180, 200]
    assert alice.rang == 0

    from_inside = await bruno.dial("101")
    at_desk = await alice.rings()
    await at_desk.answer()
    await from_inside.answered()
    await from_inside.hears(alice)
    await at_desk.hears(bruno)
    await from_inside.hangup()
    assert mobile.rang == 1

    assert [told(record) for record in await company.records(2)] == [
        "external live: forward carrier ANSWER/16 -> answered",
        "internal live: ring 101 ANSWER/16 -> answered",
    ]
