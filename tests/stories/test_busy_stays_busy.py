"""Alice's busy setting is busy: whoever calls while she is busy hears busy, whatever her rule."""

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, MOBILE, Company, told

pytestmark = PBX


def alice_stays_busy(toml: str) -> str:
    """The sandbox company's configuration with one setting more."""
    return toml.replace("[extensions.101]\n", '[extensions.101]\nbusy = "busy"\n')


async def test_busy_stays_busy(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    carrier = await phones.carrier()
    mobile, customer = carrier.number(MOBILE), carrier.number(CUSTOMER)
    await company.forwards("101", "external", MOBILE, rings=12)

    async with company.configured(alice_stays_busy):
        call = await customer.dial("+33170000101")
        at_desk = await alice.rings()
        await call.ringing()
        await at_desk.reject()
        ending = await call.refused()
    assert (ending.status, ending.cause) == (486, 17)
    assert call.statuses == [180, 486]
    assert mobile.rang == 0

    record = await company.record()
    assert told(record) == "external live: ring 101 BUSY/17, ring 101 END/17 -> ended", "the ring step itself ends it"
    assert record.cause == 17
