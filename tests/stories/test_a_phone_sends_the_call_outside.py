"""Alice's phone answers 302 with an outside number: it is called if her rules might call it, and not otherwise."""

import pytest

from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, MOBILE, Company, setting
from tests.stories.talking import talk_and_part

pytestmark = PBX

DID = "+33170000101"


def contact(company: Company, number: str) -> list[str]:
    return [f"Contact: <sip:{number}@{company.sandbox.layout.addresses.host}>"]


@pytest.mark.parametrize("number", ["0612345678", "+33612345678"])
async def test_to_her_mobile(company: Company, phones: Phones, number: str) -> None:
    carrier = await phones.carrier()
    async with sipp.phone(company.sandbox, "101", [302], headers=contact(company, number)):
        call = await carrier.number(CUSTOMER).dial(DID)
        on_mobile = await carrier.number(MOBILE).rings()
        assert on_mobile.caller == CUSTOMER
        assert on_mobile.diversion == (DID, "unconditional")
        await talk_and_part(call, on_mobile)
    records = await company.records(2)
    why = next(record.trace for record in records if record.trace and record.trace[0]["rule"] == "phone")
    assert why[0]["why"] == "the phone of 101 sends the call to +33612345678"


async def test_not_to_a_premium_number(company: Company, phones: Phones) -> None:
    carrier = await phones.carrier()
    async with sipp.phone(company.sandbox, "101", [302], headers=contact(company, "0899123456")):
        call = await carrier.number(CUSTOMER).dial(DID)
        await call.answered()
        await call.hears_speech()  # her mailbox
        await call.hangup()
    assert carrier.calls == [], "nothing went out"
    refused = next(record for record in await company.records(2) if record.called == "0899123456")
    assert refused.trace[0]["why"] == "refused: +33899123456 is a premium-rate number"


async def test_not_if_she_may_not_forward_outside(company: Company, phones: Phones) -> None:
    carrier = await phones.carrier()
    async with (
        company.configured(setting("extensions.101", "outside", "false")),
        sipp.phone(company.sandbox, "101", [302], headers=contact(company, MOBILE)),
    ):
        call = await carrier.number(CUSTOMER).dial(DID)
        await call.answered()
        await call.hears_speech()
        await call.hangup()
    assert carrier.calls == []


async def test_to_a_did_of_ours_without_the_carrier(company: Company, phones: Phones) -> None:
    chloe = await phones.register("103")
    carrier = await phones.carrier()
    async with sipp.phone(company.sandbox, "101", [302], headers=contact(company, "0170000103")):
        call = await carrier.number(CUSTOMER).dial(DID)
        await talk_and_part(call, await chloe.rings())
    assert carrier.calls == []


async def test_what_is_the_admins_stays_so(company: Company, phones: Phones) -> None:
    """8103 is no extension but a number of his own dialplan: a mailbox."""
    carrier = await phones.carrier()
    async with sipp.phone(company.sandbox, "101", [302], headers=contact(company, "8103")):
        call = await carrier.number(CUSTOMER).dial(DID)
        await call.answered()
        await call.hears_speech()
        await call.hangup()
