"""111 has no mailbox: who calls it in vain hears ringing, then the end, with a sentence if the admin wants one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, CYCLE_SECONDS, Company, told

pytestmark = PBX

NO_ANSWER, ABSENT = 19, 20  # Q.850


def two_rings(toml: str) -> str:
    """Who has no rule in force rings twice."""
    return toml.replace("default_rings = 6", "default_rings = 2")


@asynccontextmanager
async def prompts(company: Company) -> AsyncIterator[None]:
    """The admin has switched the prompts on, in the dialplan's settings.conf."""
    path = company.sandbox.layout.etc / "comunik" / "settings.conf"
    written = path.read_text()
    assert "Set(CK_PROMPTS=no)" in written
    path.write_text(written.replace("Set(CK_PROMPTS=no)", "Set(CK_PROMPTS=yes)"))
    try:
        await company.sandbox.console("dialplan reload")
        yield
    finally:
        path.write_text(written)
        await company.sandbox.console("dialplan reload")


async def test_it_rings_and_nobody_answers(company: Company, phones: Phones) -> None:
    desk = await phones.register("111")
    customer = (await phones.carrier()).number(CUSTOMER)
    async with company.configured(two_rings):
        call = await customer.dial("111")
        at_desk = await desk.rings()
        refused = await call.refused(within=10)
    assert (refused.status, refused.cause) == (480, NO_ANSWER)
    assert call.statuses == [180, 480]
    rang = (await at_desk.ended()).at - at_desk.started
    assert CYCLE_SECONDS < rang < 2 * CYCLE_SECONDS + 0.5
    record = await company.record()
    assert told(record) == "external live: ring 111 NOANSWER/19, end 19 END/19 -> ended"
    assert record.cause == NO_ANSWER


async def test_no_phone_is_registered(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    call = await alice.dial("111")
    refused = await call.refused()
    assert (refused.status, refused.cause) == (480, ABSENT)
    assert told(await company.record()) == "internal live: ring 111 CHANUNAVAIL/20, end 19 END/20 -> ended"


async def test_the_caller_hears_why_if_the_admin_wants_it(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    async with prompts(company):
        call = await alice.dial("111")
        await call.progress()
        await call.hears_speech()
        assert call.established_at is None, "early media: the caller does not pay"
        refused = await call.refused(within=15)
    assert (refused.status, refused.cause) == (480, ABSENT)
    assert call.statuses == [183, 480]
    assert told(await company.record()) == "internal live: ring 111 CHANUNAVAIL/20, end 19 END/20 -> ended"
