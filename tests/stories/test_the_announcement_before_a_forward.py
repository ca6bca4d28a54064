"""The caller may be asked to hold before his call is forwarded: once, as early media, never answered for it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, MOBILE, Company, told
from tests.stories.talking import talk_and_part

pytestmark = PBX


@pytest_asyncio.fixture(loop_scope="session")
async def announced(company: Company) -> AsyncIterator[None]:
    """`announce_forward = true`, as `comunik-pbx init` writes it."""
    path = company.sandbox.layout.etc / "comunik" / "settings.conf"
    written = path.read_text()
    path.write_text(written.replace("Set(CK_ANNOUNCE=no)", "Set(CK_ANNOUNCE=yes)"))
    await company.sandbox.console("dialplan reload")
    yield
    path.write_text(written)
    await company.sandbox.console("dialplan reload")


@pytest.mark.usefixtures("announced")
async def test_it_is_heard_once_and_then_the_ringing_tone(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    carrier = await phones.carrier()
    await company.forwards("101", "external", "102", rings=1)
    await company.forwards("102", "always", MOBILE)
    call = await carrier.number(CUSTOMER).dial("+33170000101")
    await alice.rings()
    await call.progress()
    await call.hears_speech()
    on_mobile = await carrier.number(MOBILE).rings()
    await call.hears_ringback()
    assert call.statuses == [180, 183], "not answered, and told once"
    await talk_and_part(call, on_mobile)
    assert told(await company.record()) == "external live: ring 101 NOANSWER/19, forward carrier ANSWER/16 -> answered"


@pytest.mark.usefixtures("announced")
async def test_calls_that_are_not_forwarded_hear_nothing_of_it(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    customer = (await phones.carrier()).number(CUSTOMER)
    call = await customer.dial("+33170000101")
    await talk_and_part(call, await alice.rings())
    assert call.statuses == [180, 200]


async def test_by_default_nothing_is_said(company: Company, phones: Phones) -> None:
    carrier = await phones.carrier()
    await company.forwards("101", "always", MOBILE)
    call = await carrier.number(CUSTOMER).dial("+33170000101")
    await talk_and_part(call, await carrier.number(MOBILE).rings())
    assert call.statuses == [180, 200]
