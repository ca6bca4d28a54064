"""Alice's calls go to a number that may not be called: her phone rings instead, and the record says why."""

import pytest

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, MOBILE, Company, told
from tests.stories.talking import talk_and_part

pytestmark = PBX


def denied(toml: str) -> str:
    """The number of the story is on the admin's deny list."""
    return toml.replace('deny = ["+33899*"]', 'deny = ["+3361234*"]')


async def test_the_admin_denies_a_number_after_it_was_saved(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    carrier = await phones.carrier()
    await company.forwards("101", "external", MOBILE)
    async with company.configured(denied):
        call = await carrier.number(CUSTOMER).dial("+33170000101")
        at_alice = await alice.rings()
        assert at_alice.diversion is None
        await talk_and_part(call, at_alice)
    assert carrier.calls == []
    record = await company.record()
    assert told(record) == "external live: ring 101 ANSWER/16 -> answered"
    assert (record.trace[0]["rule"], record.trace[0]["followed"]) == ("external", False)
    assert record.trace[0]["why"] == f"refused: {MOBILE} is on the administrator's list of denied numbers"


@pytest.mark.parametrize(
    ("number", "why"),
    [("+33899123456", "premium-rate number"), ("+442070313000", "country that calls may not be forwarded to")],
)
async def test_numbers_that_cost_dear(company: Company, phones: Phones, number: str, why: str) -> None:
    alice = await phones.register("101")
    carrier = await phones.carrier()
    await company.forwards("101", "always", number)
    call = await carrier.number(CUSTOMER).dial("+33170000101")
    await talk_and_part(call, await alice.rings())
    assert carrier.calls == []
    record = await company.record()
    assert told(record) == "external live: ring 101 ANSWER/16 -> answered"
    assert record.trace[0]["why"].startswith(f"refused: {number} is")
    assert why in record.trace[0]["why"]
