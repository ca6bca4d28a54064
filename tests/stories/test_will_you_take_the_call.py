"""The mobile's own voicemail cannot swallow a call: whoever answers must press 1 before the two are connected."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.errors import NotHeard
from comunik_pbx.sandbox.phones import IncomingCall, OutgoingCall, Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, MOBILE, Company, setting, told
from tests.stories.played import Played

pytestmark = PBX

DID = "+33170000101"


@pytest_asyncio.fixture(loop_scope="session")
async def confirmed(company: Company) -> AsyncIterator[None]:
    """The trunk wants forwarded calls confirmed."""
    async with company.configured(setting("trunks.carrier", "confirm", "true")):
        yield


async def asked(company: Company, phones: Phones) -> tuple[OutgoingCall, IncomingCall]:
    """A call on its way to Alice's mobile, which has answered and hears a voice; the caller hears ringing only."""
    carrier = await phones.carrier()
    await company.forwards("101", "external", MOBILE)
    call = await carrier.number(CUSTOMER).dial(DID)
    await call.ringing()
    on_mobile = await carrier.number(MOBILE).rings()
    await on_mobile.answer()
    await on_mobile.hears_speech()
    assert call.statuses == [180], "neither answered nor given early media"
    return call, on_mobile


@pytest.mark.usefixtures("confirmed")
async def test_one_takes_the_call(company: Company, phones: Phones) -> None:
    call, on_mobile = await asked(company, phones)
    await on_mobile.press("1")
    await call.answered()
    await call.hears(on_mobile.line)
    await on_mobile.hears(call.line)
    await call.hangup()
    await on_mobile.ended()
    assert told(await company.record()) == "external live: forward carrier ANSWER/16 -> answered"


@pytest.mark.usefixtures("confirmed")
async def test_another_key_refuses_it(company: Company, phones: Phones) -> None:
    call, on_mobile = await asked(company, phones)
    await on_mobile.press("2")
    assert (await on_mobile.ended()).by_far_end
    await call.answered()
    await call.hears_speech()
    await call.hangup()
    record = await company.record()
    assert told(record) == (
        "external live: forward carrier BUSY/17, forward backup SKIPPED/0, "
        "voicemail 101@default VOICEMAIL/16 -> voicemail"
    )


@pytest.mark.usefixtures("confirmed")
async def test_silence_goes_on_with_the_plan(company: Company, phones: Phones) -> None:
    call, on_mobile = await asked(company, phones)
    assert (await on_mobile.ended(within=26)).by_far_end
    await call.answered()
    await call.hears_speech()
    await call.hangup()
    record = await company.record()
    assert told(record) == (
        "external live: forward carrier NOANSWER/19, forward backup SKIPPED/0, "
        "voicemail 101@default VOICEMAIL/16 -> voicemail"
    )


@pytest.mark.usefixtures("confirmed")
async def test_hanging_up_goes_on_with_the_plan(company: Company, phones: Phones) -> None:
    company.normal.append("Abnormal 'Gosub(comunik-confirm")  # Asterisk's own: the channel left in the middle of it
    call, on_mobile = await asked(company, phones)
    await on_mobile.hangup()
    await call.answered(within=3)
    await call.hears_speech()
    await call.hangup()
    record = await company.record()
    assert told(record) == (
        "external live: forward carrier NOANSWER/19, forward backup SKIPPED/0, "
        "voicemail 101@default VOICEMAIL/16 -> voicemail"
    )


@pytest.mark.usefixtures("confirmed")
async def test_the_caller_gives_up_meanwhile(company: Company, phones: Phones) -> None:
    call, on_mobile = await asked(company, phones)
    await call.hangup()
    assert (await on_mobile.ended(within=5)).by_far_end, "not kept listening until the time is up"
    record = await company.record()
    assert record.status == "abandoned"


@pytest.mark.usefixtures("confirmed")
async def test_no_early_media_before_it(company: Company, phones: Phones) -> None:
    bruno = await phones.register("102")
    await company.forwards("101", "internal", MOBILE)
    async with sipp.switch(company.sandbox, "carrier", [183, 1.0, 200]) as carrier:
        call = await bruno.dial("101")
        await carrier.received("ACK")
        with pytest.raises(NotHeard):
            await call.answered(within=1)
        assert call.statuses == [180]
        await call.hangup()
        await carrier.received("BYE")


async def test_one_user_wants_it_although_the_trunk_does_not(company: Company, phones: Phones) -> None:
    """In her own language, and by the second trunk as by the first."""
    backup = await phones.carrier("backup")
    await company.forwards("101", "external", MOBILE)

    def change(text: str) -> str:
        return setting("extensions.101", "language", '"en"')(setting("extensions.101", "confirm", "true")(text))

    async with company.configured(change), sipp.switch(company.sandbox, "carrier", [503]):
        played = Played(company)
        call = await backup.number(CUSTOMER).dial(DID)
        on_mobile = await backup.number(MOBILE).rings()
        await on_mobile.answer()
        await played.has("followme/call-from", "en")
        assert call.statuses == [180]
        await on_mobile.press("1")
        await call.answered()
        await call.hangup()
    assert {language for _, language in played.files} == {"en"}
