"""Alice changes her forward while her phone rings: this call goes where it was to go, the next one elsewhere."""

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, MOBILE, Company, told
from tests.stories.talking import talk_and_part

pytestmark = PBX


async def test_the_change_acts_on_the_next_call(company: Company, phones: Phones) -> None:
    alice, bruno = await phones.register("101"), await phones.register("102")
    carrier = await phones.carrier()
    mobile, customer = carrier.number(MOBILE), carrier.number(CUSTOMER)
    await company.forwards("101", "external", MOBILE, rings=1)

    first = await customer.dial("+33170000101")
    at_alice = await alice.rings()
    changed = await company.forwards("101", "external", "102")
    assert at_alice.ending is None, "the change came while her phone rang"
    second = await customer.dial("+33170000101")
    at_bruno = await bruno.rings()
    on_mobile = await mobile.rings()
    await talk_and_part(first, on_mobile)
    await talk_and_part(second, at_bruno)
    assert (alice.rang, bruno.rang, mobile.rang) == (1, 1, 1)

    before, after = await company.records(2)
    assert told(before) == "external live: ring 101 NOANSWER/19, forward carrier ANSWER/16 -> answered"
    assert told(after) == "external live: ring 102 ANSWER/16 -> answered"
    assert (before.trace[0]["version"], after.trace[0]["version"]) == (changed.version - 1, changed.version)
