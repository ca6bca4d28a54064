"""Voicemail at the end of a plan: greeting, language, whose box; a full or missing box; keys that lead nowhere."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, MOBILE, Company, setting, told
from tests.stories.played import Played

pytestmark = PBX

DID = "+33170000101"
UNAVAILABLE, BUSY, FULL = "vm-isunavail", "vm-isonphone", "vm-mailboxfull"


@pytest.mark.parametrize(("answers", "greeting"), [([180], UNAVAILABLE), ([486], BUSY), ([603], BUSY)])
async def test_the_greeting_says_why(
    company: Company, phones: Phones, answers: list[int | float], greeting: str
) -> None:
    customer = (await phones.carrier()).number(CUSTOMER)
    await company.forwards("101", "external", "voicemail", rings=1)
    played = Played(company)
    async with sipp.phone(company.sandbox, "101", answers):
        call = await customer.dial(DID)
        await call.answered()
        await played.has(greeting)
        await call.hears_speech()
        await call.hangup()
    other = BUSY if greeting == UNAVAILABLE else UNAVAILABLE
    assert other not in [file for file, _ in played.files]


async def test_callers_hear_their_own_language(company: Company, phones: Phones) -> None:
    """The `language` of the endpoint they call by: a colleague's phone, or the trunk."""
    david = await phones.register("104")
    etc = company.sandbox.layout.etc / "pjsip.conf"
    usual = etc.read_text()
    etc.write_text(usual.replace("[104](phone)\n", "[104](phone)\nlanguage = en\n", 1))
    assert etc.read_text() != usual
    await company.forwards("101", "internal", "voicemail")
    try:
        await company.sandbox.console("module reload res_pjsip.so")
        played = Played(company)
        call = await david.dial("101")
        await call.answered()
        await played.has(UNAVAILABLE, "en")
        await call.hangup()
    finally:
        etc.write_text(usual)
        await company.sandbox.console("module reload res_pjsip.so")


async def test_it_is_the_first_callees_however_far_the_call_went(company: Company, phones: Phones) -> None:
    carrier = await phones.carrier()
    await company.forwards("101", "always", "102")
    await company.forwards("102", "always", MOBILE)
    call = await carrier.number(CUSTOMER).dial(DID)
    await (await carrier.number(MOBILE).rings()).reject()
    await call.answered()
    await call.hears_speech()
    await call.hangup()
    assert told(await company.record()).endswith("voicemail 101@default VOICEMAIL/16 -> voicemail")


async def test_a_full_box_says_so(company: Company, phones: Phones) -> None:
    customer = (await phones.carrier()).number(CUSTOMER)
    await company.forwards("106", "always", "voicemail")
    played = Played(company)
    async with full(company.sandbox.layout.var / "spool/voicemail/default/106/INBOX"):
        call = await customer.dial("+33170000106")
        await call.answered()
        await played.has(FULL)
        await call.hears_speech()
        await call.ended(within=20)
    company.normal.append("No more messages possible")


async def test_a_box_that_has_gone_is_passed_over(company: Company, phones: Phones) -> None:
    """The configuration names a box that voicemail.conf no longer has: a clear answer, and no silence."""
    customer = (await phones.carrier()).number(CUSTOMER)
    await company.forwards("101", "always", "voicemail")
    async with company.configured(setting("extensions.101", "mailbox", '"199@default"')):
        call = await customer.dial(DID)
        refused = await call.refused()
    assert refused.status == 480
    assert told(await company.record()).startswith("external live: voicemail 199@default SKIPPED")


async def test_no_key_leads_to_the_menu(company: Company, phones: Phones) -> None:
    customer = (await phones.carrier()).number(CUSTOMER)
    await company.forwards("101", "always", "voicemail")
    played = Played(company)
    call = await customer.dial(DID)
    await call.answered()
    await played.has("vm-theperson")
    await call.press("*")
    await call.press("0")
    await call.press("#")
    await call.hears_beep()
    await call.hangup()
    await call.ended()
    asked = [file for file, _ in played.files if file in ("vm-login", "vm-password", "vm-youhave")]
    assert asked == []


@asynccontextmanager
async def full(inbox: Path) -> AsyncIterator[None]:
    """A box with as many messages as it may have (100 unless voicemail.conf says otherwise)."""
    inbox.mkdir(parents=True, exist_ok=True)
    made = [inbox / f"msg{number:04}.{kind}" for number in range(100) for kind in ("txt", "wav")]
    for path in made:
        path.write_text("[message]\n")
    try:
        yield
    finally:
        for path in inbox.glob("msg*"):
            path.unlink()
