"""An extension has only so many forwarded calls to outside, at a time and a day: what is beyond rings at its desk."""

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, MOBILE, Company, setting

pytestmark = PBX

DID = "+33170000105"
BRUNO = "+33612345670"


async def test_at_a_time(company: Company, phones: Phones) -> None:
    desk = await phones.register("105")
    carrier = await phones.carrier()
    customer, mobile = carrier.number(CUSTOMER), carrier.number(MOBILE)
    async with company.configured(setting("extensions.105", "max_outside_calls", "1")):
        await company.forwards("105", "always", MOBILE)
        first = await customer.dial(DID)
        await (await mobile.rings()).answer()
        await first.answered()
        second = await carrier.number("+33140000001").dial(DID)
        at_desk = await desk.rings()
        await second.hangup()
        await at_desk.ended()
        refused = await company.record()
        assert refused.trace[0]["why"] == (
            "refused: extension 105 has as many forwarded calls to outside as it may have at a time"
        )
        await first.hangup()
        await company.record(number=2)
        third = await customer.dial(DID)  # one is free again
        await (await mobile.rings()).answer()
        await third.answered()
        await third.hangup()
        await company.record(number=3)
    assert mobile.rang == 2


async def test_a_day(company: Company, phones: Phones) -> None:
    """Of another extension: what 105 has used of today is not forgotten."""
    desk = await phones.register("106")
    carrier = await phones.carrier()
    customer, mobile = carrier.number(CUSTOMER), carrier.number(BRUNO)
    async with company.configured(setting("extensions.106", "max_outside_calls_per_day", "1")):
        await company.forwards("106", "always", BRUNO)
        first = await customer.dial("+33170000106")
        await (await mobile.rings()).answer()
        await first.answered()
        await first.hangup()
        await company.record()
        second = await customer.dial("+33170000106")
        at_desk = await desk.rings()
        await second.hangup()
        await at_desk.ended()
        refused = await company.record(number=2)
        assert refused.trace[0]["why"] == ("refused: extension 106 has used up its forwarded calls to outside of today")
    assert mobile.rang == 1
