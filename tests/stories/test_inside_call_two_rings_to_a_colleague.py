"""Bruno calls Alice; after two rings Chloé's phone rings in her place."""

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CYCLE_SECONDS, Company, rang_seconds, told

pytestmark = PBX


async def test_inside_call_two_rings_to_a_colleague(company: Company, phones: Phones) -> None:
    alice, bruno, chloe = [await phones.register(extension) for extension in ("101", "102", "103")]
    await company.forwards("101", "internal", "103", rings=2)

    call = await bruno.dial("101")
    at_desk = await alice.rings()
    await call.ringing()
    assert (at_desk.caller, at_desk.diversion) == ("102", None)
    assert chloe.rang == 0

    incoming = await chloe.rings(within=2 * CYCLE_SECONDS + 2)
    await at_desk.ended()
    assert 1.5 * CYCLE_SECONDS < rang_seconds(at_desk) <= 2 * CYCLE_SECONDS, "two rings, and no third"
    assert (incoming.called, incoming.caller) == ("103", "102")
    assert incoming.diversion == ("101", "no-answer")
    await incoming.answer()
    await call.answered()
    await call.hears(chloe)
    await incoming.hears(bruno)
    await incoming.hangup()
    assert (await call.ended()).by_far_end
    assert call.statuses == [180, 200]

    record = await company.record()
    assert told(record) == "internal live: ring 101 NOANSWER/19, ring 103 ANSWER/16 -> answered"
    assert (record.caller, record.extension, record.called) == ("102", "101", "101")
