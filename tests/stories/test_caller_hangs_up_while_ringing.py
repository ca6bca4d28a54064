"""The customer gives up while Alice's phone rings: it stops, and nobody else is called."""

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, CYCLE_SECONDS, MOBILE, Company, told

pytestmark = PBX


async def test_caller_hangs_up_while_ringing(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    carrier = await phones.carrier()
    mobile, customer = carrier.number(MOBILE), carrier.number(CUSTOMER)
    await company.forwards("101", "external", MOBILE, rings=2)

    call = await customer.dial("+33170000101")
    at_desk = await alice.rings()
    await call.ringing()
    await call.hangup()
    ending = await at_desk.ended()
    assert [message.method for message in at_desk.messages if message.method == "CANCEL"] == ["CANCEL"]
    assert (ending.by_far_end, at_desk.statuses) == (True, [180, 487])
    await call.ended()
    await call.receives(487)

    record = await company.record()
    assert told(record) == "external live: ring 101 CANCEL/16 -> abandoned"
    assert (record.plan[0]["rings"], record.plan[1]["to"]) == (2, MOBILE), "the rule was in force"
    assert (record.caller, record.extension, record.cause) == (CUSTOMER, "101", 16)
    await mobile.stays_quiet(2 * CYCLE_SECONDS)
