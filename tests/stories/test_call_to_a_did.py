"""A DID is its extension, however the carrier or a colleague writes it."""

import pytest

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, Company, told
from tests.stories.talking import talk_and_part

pytestmark = PBX


@pytest.mark.parametrize("written", ["+33170000101", "0033170000101", "0170000101", "33170000101"])
async def test_from_outside(company: Company, phones: Phones, written: str) -> None:
    alice = await phones.register("101")
    carrier = await phones.carrier()
    call = await carrier.number(CUSTOMER).dial(written)
    at_alice = await alice.rings()
    assert at_alice.caller == CUSTOMER
    await talk_and_part(call, at_alice)
    record = await company.record()
    assert told(record) == "external live: ring 101 ANSWER/16 -> answered"
    assert (record.extension, record.called) == ("101", written)


@pytest.mark.parametrize("written", ["+33170000101", "0170000101"])
async def test_from_a_colleague(company: Company, phones: Phones, written: str) -> None:
    alice, bruno = await phones.register("101"), await phones.register("102")
    carrier = await phones.carrier()
    call = await bruno.dial(written)
    at_alice = await alice.rings()
    assert at_alice.caller == "102"
    await talk_and_part(call, at_alice)
    assert carrier.calls == []
    record = await company.record()
    assert told(record) == "internal live: ring 101 ANSWER/16 -> answered"
    assert (record.caller, record.extension) == ("102", "101")
