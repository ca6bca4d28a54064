"""Twenty outside callers call 101 at the same moment: every call is decided, connected and recorded."""

from collections import Counter

from comunik_pbx.sandbox import sipp
from tests.pbx import PBX
from tests.stories.company import Company, told

pytestmark = PBX

CALLS = 20


async def test_all_are_answered(company: Company) -> None:
    async with (
        sipp.phone(company.sandbox, "101", [180, 0.5, 200]) as alice,
        sipp.caller(company.sandbox, "+33170000101", calls=CALLS, per_second=200) as callers,
    ):
        assert await callers.finished() == 0
        assert len(alice.invites) == CALLS
    records = await company.records(CALLS)
    assert Counter(map(told, records)) == {"external live: ring 101 ANSWER/16 -> answered": CALLS}
    assert len({record.id for record in records}) == CALLS


async def test_all_are_forwarded(company: Company) -> None:
    """Nobody answers at 101: each call goes on to 102."""
    await company.forwards("101", "external", "102", rings=1)
    async with (
        sipp.phone(company.sandbox, "101", [180]) as alice,
        sipp.phone(company.sandbox, "102", [180, 0.5, 200]) as bruno,
        sipp.caller(company.sandbox, "+33170000101", calls=CALLS, per_second=200) as callers,
    ):
        assert await callers.finished() == 0
        assert (len(alice.invites), len(bruno.invites)) == (CALLS, CALLS)
        assert {(invite.header("Diversion") or "").partition("@")[0] for invite in bruno.invites} == {"<sip:101"}
    records = await company.records(CALLS)
    assert Counter(map(told, records)) == {"external live: ring 101 NOANSWER/19, ring 102 ANSWER/16 -> answered": CALLS}
