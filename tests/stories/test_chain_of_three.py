"""101 forwards to 102, 102 to 103, 103 to a mobile: an outside call stays one, and each leg says who sent it on."""

from itertools import pairwise

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, MOBILE, Company, told
from tests.stories.talking import talk_and_part

pytestmark = PBX


async def test_an_outside_call_through_three_extensions(company: Company, phones: Phones) -> None:
    alice, bruno, chloe = [await phones.register(extension) for extension in ("101", "102", "103")]
    carrier = await phones.carrier()
    await company.forwards("101", "external", "102", rings=1)
    await company.forwards("102", "external", "103", rings=1)
    await company.forwards("103", "external", MOBILE, rings=1)
    for extension in ("102", "103"):  # would be obeyed if the call had become 101's
        await company.forwards(extension, "internal", "104")

    call = await carrier.number(CUSTOMER).dial("+33170000101")
    at_alice = await alice.rings()
    at_bruno = await bruno.rings()
    at_chloe = await chloe.rings()
    on_mobile = await carrier.number(MOBILE).rings()

    legs = (at_alice, at_bruno, at_chloe, on_mobile)
    assert [leg.diversion for leg in legs] == [
        None,
        ("101", "no-answer"),
        ("102", "no-answer"),
        ("+33170000103", "no-answer"),
    ]
    assert [leg.caller for leg in legs] == [CUSTOMER] * 4
    assert [leg.called for leg in legs] == ["101", "102", "103", MOBILE]
    for earlier, later in pairwise(legs):
        assert (await earlier.ended()).at < later.started + 0.1, "one after the other"
    await talk_and_part(call, on_mobile)
    assert [line.rang for line in (alice, bruno, chloe)] == [1, 1, 1]

    record = await company.record()
    assert told(record) == (
        "external live: ring 101 NOANSWER/19, ring 102 NOANSWER/19, ring 103 NOANSWER/19, "
        "forward carrier ANSWER/16 -> answered"
    )
    assert record.extension == "101"


async def test_an_inside_call_stays_one_and_why_is_said_of_each_leg(company: Company, phones: Phones) -> None:
    """101 is not there, 102 is busy, 103 does not answer: three reasons in one call."""
    david = await phones.register("104")
    bruno, chloe = await phones.register("102"), await phones.register("103")
    carrier = await phones.carrier()
    await company.forwards("101", "internal", "102", rings=3)
    await company.forwards("102", "internal", "103", rings=3)
    await company.forwards("103", "internal", MOBILE, rings=1)
    await company.forwards("102", "external", "105")

    call = await david.dial("101")
    at_bruno = await bruno.rings()
    assert at_bruno.diversion == ("101", "unavailable")
    await at_bruno.reject()
    at_chloe = await chloe.rings()
    assert at_chloe.diversion == ("102", "user-busy")
    on_mobile = await carrier.number(MOBILE).rings()
    assert on_mobile.diversion == ("+33170000103", "no-answer")
    assert [leg.caller for leg in (at_bruno, at_chloe)] == ["104", "104"]
    await talk_and_part(call, on_mobile)

    assert told(await company.record()) == (
        "internal live: ring 101 CHANUNAVAIL/20, ring 102 BUSY/17, ring 103 NOANSWER/19, "
        "forward carrier ANSWER/16 -> answered"
    )
