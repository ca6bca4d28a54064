"""Alice declines (603): her rule acts at once, as if she were busy."""

from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.phones import Phones
from comunik_pbx.sandbox.sandbox import Sandbox
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, MOBILE, Company, told

pytestmark = PBX


async def test_declined_goes_to_the_mobile_at_once(company: Company, phones: Phones, sandbox: Sandbox) -> None:
    carrier = await phones.carrier()
    mobile, customer = carrier.number(MOBILE), carrier.number(CUSTOMER)
    await company.forwards("101", "external", MOBILE, rings=12)

    async with sipp.phone(sandbox, "101", [180, 0.2, 603]) as alice:
        call = await customer.dial("+33170000101")
        await call.ringing()
        on_mobile = await mobile.rings(within=3)
        await alice.received("ACK")
        assert len(alice.invites) == 1
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
    assert told(record) == "external live: ring 101 CHANUNAVAIL/21, forward carrier ANSWER/16 -> answered"
    assert (record.caller, record.extension, record.called) == (CUSTOMER, "101", "+33170000101")
