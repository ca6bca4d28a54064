"""The first trunk refuses, is not there, or never says a word: the call goes out by the second one."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import MOBILE, Company, told
from tests.stories.talking import talk_and_part

pytestmark = PBX

PROGRESS_SECONDS = 1.0


def impatience(toml: str) -> str:
    """The first trunk has a second, not ten, to show a sign of life."""
    return toml.replace("[trunks.carrier]\n", f"[trunks.carrier]\nprogress_seconds = {PROGRESS_SECONDS}\n")


@pytest_asyncio.fixture(loop_scope="session")
async def impatient(company: Company) -> AsyncIterator[None]:
    """So it is for the story."""
    async with company.configured(impatience):
        yield


async def test_the_first_trunk_refuses(company: Company, phones: Phones) -> None:
    bruno = await phones.register("102")
    mobile = (await phones.carrier("backup")).number(MOBILE)
    await company.forwards("101", "internal", MOBILE)
    async with sipp.switch(company.sandbox, "carrier", [503]) as dead:
        call = await bruno.dial("101")
        on_mobile = await mobile.rings()
        (refused,) = dead.invites
        assert refused.uri_user == on_mobile.called == MOBILE
        assert refused.user_of("Diversion") == "+33170000101"
        assert on_mobile.diversion == ("+33170000101", "unconditional")
        await talk_and_part(call, on_mobile)
    assert call.statuses == [180, 200]
    record = await company.record()
    assert told(record) == "internal live: forward carrier CONGESTION/34, forward backup ANSWER/16 -> answered"


@pytest.mark.usefixtures("impatient")
async def test_nothing_listens_at_the_first_trunk(company: Company, phones: Phones) -> None:
    bruno = await phones.register("102")
    mobile = (await phones.carrier("backup")).number(MOBILE)
    await company.forwards("101", "internal", MOBILE)
    async with sipp.dead(company.sandbox, "carrier"):
        call = await bruno.dial("101")
        on_mobile = await mobile.rings(within=PROGRESS_SECONDS + 2)
        await talk_and_part(call, on_mobile)
    record = await company.record()
    assert told(record) == "internal live: forward carrier CHANUNAVAIL/34, forward backup ANSWER/16 -> answered"


@pytest.mark.usefixtures("impatient")
async def test_the_first_trunk_never_answers_the_invite(company: Company, phones: Phones) -> None:
    bruno = await phones.register("102")
    mobile = (await phones.carrier("backup")).number(MOBILE)
    await company.forwards("101", "internal", MOBILE)
    async with sipp.silent(company.sandbox, "carrier") as dead:
        call = await bruno.dial("101")
        on_mobile = await mobile.rings(within=PROGRESS_SECONDS + 2)
        waited = on_mobile.invite.at - dead.invites[0].at
        assert PROGRESS_SECONDS - 0.1 < waited < PROGRESS_SECONDS + 1
        assert on_mobile.diversion == ("+33170000101", "unconditional")
        await talk_and_part(call, on_mobile)
    record = await company.record()
    assert told(record) == "internal live: forward carrier CHANUNAVAIL/34, forward backup ANSWER/16 -> answered"
