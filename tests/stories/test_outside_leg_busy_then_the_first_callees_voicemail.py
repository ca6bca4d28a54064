"""Alice's calls are forwarded, but the mobile is busy: the caller reaches the mailbox of whom he called first."""

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, MOBILE, Company, told

pytestmark = PBX


async def test_mobile_busy_then_alices_voicemail(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    carrier, backup = await phones.carrier(), await phones.carrier("backup")
    await company.forwards("101", "external", MOBILE, rings=1)

    call = await carrier.number(CUSTOMER).dial("+33170000101")
    at_desk = await alice.rings()
    on_mobile = await carrier.number(MOBILE).rings()
    assert (await at_desk.ended()).by_far_end
    assert on_mobile.diversion == ("+33170000101", "no-answer")
    await on_mobile.reject()

    await call.answered()
    await call.hears_speech()
    assert call.statuses == [180, 200]
    assert len(carrier.calls) == 1
    assert backup.calls == [], "busy is the number's answer, not the trunk's"
    await call.hangup()

    record = await company.record()
    assert told(record) == (
        "external live: ring 101 NOANSWER/19, forward carrier BUSY/17, forward backup SKIPPED/0, "
        "voicemail 101@default VOICEMAIL/16 -> voicemail"
    )


async def test_after_a_chain_it_is_not_the_last_ones_voicemail(company: Company, phones: Phones) -> None:
    bruno = await phones.register("102")
    carrier = await phones.carrier()
    await company.forwards("101", "always", "102")
    await company.forwards("102", "external", MOBILE, rings=1)

    call = await carrier.number(CUSTOMER).dial("+33170000101")
    at_bruno = await bruno.rings()
    assert at_bruno.diversion == ("101", "unconditional")
    await (await carrier.number(MOBILE).rings()).reject()
    await call.answered()
    await call.hears_speech()
    await call.hangup()

    record = await company.record()
    assert told(record).endswith("forward backup SKIPPED/0, voicemail 101@default VOICEMAIL/16 -> voicemail")
    assert record.extension == "101"
