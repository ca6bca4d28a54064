"""The service hangs: after a second and a half the call goes on without it, and is recorded when it wakes up."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, CYCLE_SECONDS, MOBILE, Company, rang_seconds, told, whole_second
from tests.stories.talking import talk, talk_and_part

pytestmark = PBX

GUARD_SECONDS = 1.5


@asynccontextmanager
async def hanging(company: Company) -> AsyncIterator[None]:
    """The service does nothing at all inside the `async with` (SIGSTOP)."""
    service = company.sandbox.service
    assert service is not None
    service.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        service.send_signal(signal.SIGCONT)


async def published(company: Company, plan: str) -> None:
    """Wait until the plan in AstDB for outside calls to 101 has this in it."""
    async with asyncio.timeout(5):
        while True:
            if plan in await company.sandbox.console("database get comunik-plan external/101"):
                return
            await asyncio.sleep(0.05)  # AstDB tells nobody of a change


async def test_the_phone_rings_then_the_mailbox_answers(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    customer = (await phones.carrier()).number(CUSTOMER)
    await published(company, "1|ring~101")
    await whole_second()
    async with hanging(company):
        call = await customer.dial("+33170000101")
        at_alice = await alice.rings()
        waited = at_alice.invite.at - call.invite.at
        assert GUARD_SECONDS - 0.1 < waited < GUARD_SECONDS + 0.5
        await at_alice.ended(within=6 * CYCLE_SECONDS + 3)
        assert 5 * CYCLE_SECONDS < rang_seconds(at_alice) <= 6 * CYCLE_SECONDS, "as often as without a rule"
        await call.answered()
        await call.hears_speech()
        await call.hangup()
        await call.ended()
    record = await company.record()
    assert told(record) == "external published: ring 101 NOANSWER/19, voicemail 101@default VOICEMAIL/16 -> voicemail"
    assert (record.caller, record.extension) == (CUSTOMER, "101")


async def test_the_rules_are_obeyed_without_it(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    carrier = await phones.carrier()
    customer = carrier.number(CUSTOMER)
    await company.forwards("101", "external", MOBILE)
    await published(company, "1|forward~")
    await whole_second()
    async with hanging(company):
        call = await customer.dial("+33170000101")
        on_mobile = await carrier.number(MOBILE).rings()
        assert on_mobile.diversion == ("+33170000101", "unconditional")
        await talk(call, on_mobile)
    # It wakes up and finds the call of before: too late to decide it, and it must not touch it.
    await company.forwards("101", "external", "101")
    await call.hears(on_mobile.line)
    await on_mobile.hears(customer)
    await call.hangup()
    await on_mobile.ended()
    assert alice.rang == 0

    later = await customer.dial("+33170000101")
    await talk_and_part(later, await alice.rings())
    before, after = await company.records(2)
    assert abs(before.started_at.timestamp() - call.started) < 1.1
    assert told(before) == "external published: forward carrier ANSWER/16 -> answered"
    assert told(after) == "external live: ring 101 ANSWER/16 -> answered"


async def test_nothing_was_ever_published(company: Company, phones: Phones) -> None:
    """The plan of last resort, which `init` writes for each extension and DID."""
    alice = await phones.register("101")
    customer = (await phones.carrier()).number(CUSTOMER)
    await company.forwards("101", "external", MOBILE)
    await whole_second()
    async with hanging(company):
        await company.sandbox.console("database deltree comunik-plan")
        call = await customer.dial("+33170000101")
        await talk_and_part(call, await alice.rings())
    record = await company.record()
    assert told(record) == "external default: ring 101 ANSWER/16 -> answered"
    # All is published again by a reload, and at the latest a minute later.
    await company.reloads()
    await published(company, "1|forward~")
