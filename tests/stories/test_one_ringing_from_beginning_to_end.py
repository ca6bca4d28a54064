"""Alice rings, then Bruno, then her mobile: the caller hears one ringing, and is answered when somebody answers."""

from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, CYCLE_SECONDS, MOBILE, Company
from tests.stories.talking import talk_and_part

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
    assert call.statuses == [180], "one ringing: nothing stops it, nothing rings over it, nobody answers"
    told = [message.status for message in call.messages if message.for_method == "INVITE" and not message.sent]
    assert told.count(180) <= 3, "at most once for each phone that rings"
    await call.hears_nothing(0.3)  # no early media: his own phone makes the ringing tone
    await on_mobile.answer()
    await call.answered()
    assert call.statuses[-1] == 200
    assert call.statuses.count(200) == 1
    await call.hangup()
    await on_mobile.ended()


async def test_after_early_media_he_hears_a_ringing_tone(company: Company, phones: Phones) -> None:
    """His phone plays what comes and makes no tone of its own any more: Asterisk makes one, else there were silence."""
    carrier = await phones.carrier()
    await company.forwards("101", "external", MOBILE, rings=1)
    async with sipp.phone(company.sandbox, "101", [183]):
        call = await carrier.number(CUSTOMER).dial("+33170000101")
        await call.progress()
        on_mobile = await carrier.number(MOBILE).rings()
        await call.hears_ringback()
        assert 200 not in call.statuses
        await talk_and_part(call, on_mobile)
