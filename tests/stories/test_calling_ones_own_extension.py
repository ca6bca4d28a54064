"""101 calls 101, as people do to hear their mailbox: the phone does not ring itself."""

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import Company, told
from tests.stories.talking import talk_and_part

pytestmark = PBX

BUSY = 17  # Q.850


async def test_it_reaches_ones_mailbox(company: Company, phones: Phones) -> None:
    desk, cordless = await phones.register("101", name="desk"), await phones.register("101", name="cordless")
    call = await desk.dial("101")
    await call.answered()
    await call.hears_speech()
    assert call.statuses == [200], "nothing rang"
    await call.hangup()
    assert (desk.rang, cordless.rang) == (0, 0)
    assert told(await company.record()) == "internal live: voicemail 101@default VOICEMAIL/16 -> voicemail"


async def test_without_a_mailbox_one_is_busy(company: Company, phones: Phones) -> None:
    desk = await phones.register("111")
    refused = await (await desk.dial("111")).refused()
    assert (refused.status, refused.cause) == (486, BUSY)
    assert desk.rang == 0
    assert told(await company.record()) == "internal live: end 17 END/17 -> ended"


async def test_ones_own_forward_is_obeyed_at_once(company: Company, phones: Phones) -> None:
    alice, bruno = await phones.register("101"), await phones.register("102")
    await company.forwards("101", "internal", "102", rings=3)
    call = await alice.dial("101")
    at_bruno = await bruno.rings(within=1)
    await talk_and_part(call, at_bruno)
    assert alice.rang == 0
    assert told(await company.record()) == "internal live: ring 102 ANSWER/16 -> answered"
