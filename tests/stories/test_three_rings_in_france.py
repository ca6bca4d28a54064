"""Three rings as France hears them: fifteen seconds, and the fourth never starts. In real time."""

import re

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, MOBILE, Company, rang_seconds, told

pytestmark = PBX

CYCLE_SECONDS = 5.0  # 1.5 s of sound, 3.5 s of silence: `ringcadence` of [fr] in indications.conf


def without_shorter_rings(toml: str) -> str:
    """The sandbox company's own configuration, as `make run` has it: a ring is as long as the country's."""
    return re.sub(r"^include = .*\n", "", toml, flags=re.MULTILINE)


async def test_three_rings_in_france(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    carrier = await phones.carrier()
    mobile, customer = carrier.number(MOBILE), carrier.number(CUSTOMER)
    await company.forwards("101", "external", MOBILE, rings=3)

    async with company.configured(without_shorter_rings):
        call = await customer.dial("+33170000101")
        at_desk = await alice.rings()
        await call.ringing()
        on_mobile = await mobile.rings(within=3 * CYCLE_SECONDS + 2)
    await at_desk.ended()
    assert 14 < rang_seconds(at_desk) <= 3 * CYCLE_SECONDS, "three whole rings, and no fourth"
    assert on_mobile.diversion == ("+33170000101", "no-answer")
    await on_mobile.answer()
    await call.answered()
    await call.hears(mobile)
    await on_mobile.hears(customer)
    await call.hangup()
    await on_mobile.ended()
    assert call.statuses == [180, 200]

    record = await company.record()
    assert told(record) == "external live: ring 101 NOANSWER/19, forward carrier ANSWER/16 -> answered"
    assert record.plan[0]["seconds"] == 3 * CYCLE_SECONDS
