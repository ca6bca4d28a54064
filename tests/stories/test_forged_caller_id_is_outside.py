"""An outside caller claims to be 101, in From and P-Asserted-Identity: the call is an outside call all the same."""

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import MOBILE, Company, told
from tests.stories.talking import talk_and_part

pytestmark = PBX


async def test_a_forged_colleague_follows_the_rule_for_outside_calls(company: Company, phones: Phones) -> None:
    bruno, chloe = await phones.register("102"), await phones.register("103")
    carrier = await phones.carrier()
    await company.forwards("102", "internal", "103")
    await company.forwards("102", "external", MOBILE)

    call = await carrier.forged("101").dial("+33170000102")
    on_mobile = await carrier.number(MOBILE).rings()
    await talk_and_part(call, on_mobile)
    assert (bruno.rang, chloe.rang) == (0, 0)

    record = await company.record()
    assert told(record) == "external live: forward carrier ANSWER/16 -> answered"
    assert record.trace[0]["rule"] == "external"


async def test_who_claims_to_be_the_callee_is_not_taken_for_him(company: Company, phones: Phones) -> None:
    """A call of 101 to 101 would not ring 101; one by a forger must."""
    alice = await phones.register("101")
    carrier = await phones.carrier()
    call = await carrier.forged("101").dial("+33170000101")
    await talk_and_part(call, await alice.rings())
    assert told(await company.record()) == "external live: ring 101 ANSWER/16 -> answered"
