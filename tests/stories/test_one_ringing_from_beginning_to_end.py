"""Alice rings, then Bruno, then her mobile: the caller hears one ringing, and is answered when somebody answers."""

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, CYCLE_SECONDS, MOBILE, Company

pytestmark = PBX


async def test_one_ringing_from_beginning_to_end(company: Company, phones: Phones) -> None:
    alice, bruno = await phones.register("101"), await phones.register("102")
    carrier = await phones.carrier()
    mobile, customer = carrier.number(MOBILE), carrier.number(CUSTOMER)
    await company.forwards("101", "external", "102", rings=2)
    await company.forwards("102", "external", MOBILE, rings=2)
    call = await customer.dial("+33170000101")
    at_alice = await alice.rings()
    first = await call.ringing()
    at_bruno = await bruno.rings()
    on_mobile = await mobile.rings()
    assert first.at - at_alice.started < 0.5, "he hears ringing as soon as a phone rings"
    gap = at_bruno.started - (await at_alice.ended()).at
    assert gap < 0.5, "the next phone rings at once"
    assert on_mobile.started - at_bruno.started < 2 * CYCLE_SECONDS + 0.5
    assert set(call.statuses) == {180}, "one ringing: nothing stops it, nothing rings over it, nobody answers"
    await call.hears_nothing(0.3)  # no early media: his own phone makes the ringing tone
    await on_mobile.answer()
    await call.answered()
    assert call.statuses[-1] == 200
    assert call.statuses.count(200) == 1
    await call.hangup()
    await on_mobile.ended()
