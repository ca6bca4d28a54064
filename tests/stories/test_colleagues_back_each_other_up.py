"""101 forwards to 102 and 102 to 101, each after a ring: whoever is called, both ring once, then there is an end."""

import pytest

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, CYCLE_SECONDS, Company, told
from tests.stories.talking import talk_and_part

pytestmark = PBX


def two_rings(toml: str) -> str:
    """Who has no rule in force rings twice."""
    return toml.replace("default_rings = 6", "default_rings = 2")


@pytest.mark.parametrize(("called", "other"), [("101", "102"), ("102", "101")])
async def test_an_outside_call_reaches_the_other_one(company: Company, phones: Phones, called: str, other: str) -> None:
    first, second = await phones.register(called), await phones.register(other)
    customer = (await phones.carrier()).number(CUSTOMER)
    await company.forwards("101", "external", "102", rings=1)
    await company.forwards("102", "external", "101", rings=1)

    call = await customer.dial(f"+33170000{called}")
    at_first = await first.rings()
    at_second = await second.rings()
    assert (await at_first.ended()).by_far_end
    assert at_second.diversion == (called, "no-answer")
    # The rule of the second one leads back, is refused, and its phone rings for as long as without a rule.
    await second.stays_quiet(1.5 * CYCLE_SECONDS)
    assert at_second.ending is None
    await talk_and_part(call, at_second)
    assert (first.rang, second.rang) == (1, 1)

    record = await company.record()
    assert told(record) == f"external live: ring {called} NOANSWER/19, ring {other} ANSWER/16 -> answered"
    refused = record.trace[1]
    assert (refused["extension"], refused["followed"], refused["why"]) == (other, False, "loop")


async def test_nobody_answers_and_the_mailbox_of_the_first_does(company: Company, phones: Phones) -> None:
    alice, bruno = await phones.register("101"), await phones.register("102")
    customer = (await phones.carrier()).number(CUSTOMER)
    await company.forwards("101", "external", "102", rings=1)
    await company.forwards("102", "external", "101", rings=1)
    async with company.configured(two_rings):
        call = await customer.dial("+33170000101")
        await alice.rings()
        at_bruno = await bruno.rings()
        await call.answered(within=10)
    assert (await at_bruno.ended()).at - at_bruno.started < 2 * CYCLE_SECONDS + 0.5
    await call.hears_speech()
    await call.hangup()
    assert (alice.rang, bruno.rang) == (1, 1)
    assert told(await company.record()) == (
        "external live: ring 101 NOANSWER/19, ring 102 NOANSWER/19, voicemail 101@default VOICEMAIL/16 -> voicemail"
    )


async def test_one_of_them_calls_the_other(company: Company, phones: Phones) -> None:
    alice, bruno = await phones.register("101"), await phones.register("102")
    await company.forwards("101", "internal", "102", rings=1)
    await company.forwards("102", "internal", "101", rings=1)
    call = await bruno.dial("101")
    at_alice = await alice.rings()
    await bruno.stays_quiet(1.5 * CYCLE_SECONDS)
    await talk_and_part(call, at_alice)
    record = await company.record()
    assert told(record) == "internal live: ring 101 ANSWER/16 -> answered"
    assert (record.trace[0]["rule"], record.trace[0]["why"]) == ("internal", "caller")
