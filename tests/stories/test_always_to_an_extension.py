"""All of Alice's calls go to Bruno, who sees that they were for Alice."""

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, Company, told

pytestmark = PBX


async def test_always_to_an_extension(company: Company, phones: Phones) -> None:
    alice, bruno = await phones.register("101"), await phones.register("102")
    customer = (await phones.carrier()).number(CUSTOMER)
    await company.forwards("101", "always", "102")

    call = await customer.dial("+33170000101")
    incoming = await bruno.rings()
    await call.ringing()
    assert (incoming.called, incoming.caller) == ("102", CUSTOMER)
    assert incoming.diversion == ("101", "unconditional")
    await incoming.answer()
    await call.answered()
    await call.hears(bruno)
    await incoming.hears(customer)
    await call.hangup()
    assert (await incoming.ended()).by_far_end
    assert call.statuses == [180, 200]
    assert alice.rang == 0

    record = await company.record()
    assert told(record) == "external live: ring 102 ANSWER/16 -> answered"
    assert (record.caller, record.extension, record.called) == (CUSTOMER, "101", "+33170000101")
