"""A number that is one of ours is that extension: the call does not go out to the carrier and back."""

import pytest

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, Company, told
from tests.stories.talking import talk_and_part

pytestmark = PBX


@pytest.mark.parametrize("rings", [0, 1])
async def test_forward_to_a_colleagues_did(company: Company, phones: Phones, rings: int) -> None:
    alice, bruno = await phones.register("101"), await phones.register("102")
    carrier, backup = await phones.carrier(), await phones.carrier("backup")
    await company.forwards("101", "external", "+33170000102", rings=rings)

    call = await carrier.number(CUSTOMER).dial("+33170000101")
    at_bruno = await bruno.rings()
    assert at_bruno.diversion == ("101", "no-answer" if rings else "unconditional")
    assert at_bruno.caller == CUSTOMER
    await talk_and_part(call, at_bruno)
    assert alice.rang == rings
    assert carrier.calls == []
    assert backup.calls == []

    rang = "ring 101 NOANSWER/19, " if rings else ""
    assert told(await company.record()) == f"external live: {rang}ring 102 ANSWER/16 -> answered"


async def test_forward_to_ones_own_did_rings_oneself(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    carrier = await phones.carrier()
    await company.forwards("101", "always", "+33170000101")
    call = await carrier.number(CUSTOMER).dial("+33170000101")
    await talk_and_part(call, await alice.rings())
    assert carrier.calls == []
    record = await company.record()
    assert told(record) == "external live: ring 101 ANSWER/16 -> answered"
    assert record.trace[0]["why"] == "self"
