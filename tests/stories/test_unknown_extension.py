"""Nobody has the number that was called: the caller is told so at once."""

import pytest

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, Company, told

pytestmark = PBX

UNALLOCATED = 1  # Q.850


async def test_a_colleague_calls_an_extension_nobody_has(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    call = await alice.dial("199")
    refused = await call.refused()
    assert (refused.status, refused.cause) == (404, UNALLOCATED)
    assert call.statuses == [404]
    record = await company.record()
    assert told(record) == "internal live: end 1 END/1 -> ended"
    assert (record.caller, record.called, record.extension, record.cause) == ("101", "199", None, UNALLOCATED)


@pytest.mark.parametrize("number", ["+33170000199", "0170000199", "199"])
async def test_an_outside_caller_calls_a_did_nobody_has(company: Company, phones: Phones, number: str) -> None:
    carrier = await phones.carrier()
    call = await carrier.number(CUSTOMER).dial(number)
    refused = await call.refused()
    assert (refused.status, refused.cause) == (404, UNALLOCATED)
    assert carrier.calls == [], "it is not sent back to the carrier"
    record = await company.record()
    assert told(record) == "external live: end 1 END/1 -> ended"
    assert (record.called, record.extension) == (number, None)
