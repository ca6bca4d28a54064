"""The customer gives up while Alice's mobile rings: the mobile stops ringing."""

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, CYCLE_SECONDS, MOBILE, Company, told

pytestmark = PBX


async def test_caller_hangs_up_while_forwarding(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    carrier = await phones.carrier()
    mobile, customer = carrier.number(MOBILE), carrier.number(CUSTOMER)
    await company.forwards("101", "external", MOBILE, rings=1)

    call = await customer.dial("+33170000101")
    at_desk = await alice.rings()
    on_mobile = await mobile.rings(within=1 * CYCLE_SECONDS + 2)
    await at_desk.ended()
    await call.hangup()
    ending = await on_mobile.ended()
    assert [message.method for message in on_mobile.messages if message.method == "CANCEL"] == ["CANCEL"]
    assert (ending.by_far_end, on_mobile.statuses) == (True, [180, 487])
    await call.ended()
    await call.receives(487)

    record = await company.record()
    assert told(record) == "external live: ring 101 NOANSWER/19, forward carrier CANCEL/16 -> abandoned"
    assert (record.caller, record.extension, record.cause) == (CUSTOMER, "101", 16)
    assert (alice.rang, mobile.rang) == (1, 1)
