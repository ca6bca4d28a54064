"""102 rings and 103 takes the call: any call of the group, or this extension's alone."""

import pytest

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.beside import FORWARDED, PLAIN, number_of_bruno
from tests.stories.company import CUSTOMER, Company

pytestmark = PBX


@pytest.mark.parametrize(("way", "code"), [(PLAIN, "*8"), (FORWARDED, "*8"), (PLAIN, "*86102"), (FORWARDED, "*8102")])
async def test_a_colleague_picks_up(company: Company, phones: Phones, way: str, code: str) -> None:
    bruno, chloe = await phones.register("102"), await phones.register("103")
    customer = (await phones.carrier()).number(CUSTOMER)
    call = await customer.dial(await number_of_bruno(company, way))
    at_bruno = await bruno.rings()
    taken = await chloe.dial(code)
    await taken.answered()
    await call.answered()
    await at_bruno.ended()
    await call.hears(chloe)
    await taken.hears(customer)
    await call.hangup()
    await taken.ended()
    if way == FORWARDED:
        record = await company.record()
        assert record.status == "answered"
        assert record.outcome[-1]["answered_by"].startswith("PJSIP/103-")
