"""What a forwarded leg carries when the dialplan is alone: the published plan says whom it shows."""

import pytest

from comunik_pbx.forwarding.directory import CallerIdPolicy
from comunik_pbx.forwarding.steps import ANONYMOUS, Diversion, End, Forward, Reason
from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.sandbox import Sandbox
from tests.dialplan.conftest import Publish
from tests.dialplan.records import Events
from tests.pbx import PBX

pytestmark = PBX

MOBILE = "+33612345678"
DID = "+33170000101"
BY_101 = Diversion("101", DID, Reason.UNCONDITIONAL)
NO_DID = Diversion("101", ANONYMOUS, Reason.UNCONDITIONAL)


def forward(by: Diversion = BY_101, **other: object) -> Forward:
    return Forward(MOBILE, "carrier", f"PJSIP/{MOBILE}@carrier", 5, 2, by, **other)  # type: ignore[arg-type]


async def test_nobodys_number(pbx: Sandbox, publish: Publish) -> None:
    await publish("101", forward(shown=ANONYMOUS, caller_id=CallerIdPolicy.FORWARDER), End(19))
    async with sipp.switch(pbx, "carrier", [486]) as carrier, sipp.caller(pbx, "101", trunk="backup") as caller:
        assert (await caller.final()).status == 486
        (invite,) = carrier.invites
    assert invite.user_of("From") == "anonymous"
    assert "33140000000" not in invite.text


@pytest.mark.parametrize(
    ("leg", "shown"),
    [
        (forward(), ["+33140000000", DID]),
        (forward(shown="0140000000"), ["0140000000", DID]),
        (forward(shown=DID), [DID]),
        (forward(NO_DID), ["+33140000000"]),
        (forward(shown=DID, caller_id=CallerIdPolicy.FORWARDER), [DID]),
    ],
)
async def test_refused_numbers_give_way_to_the_forwarders_once(
    pbx: Sandbox, publish: Publish, events: Events, leg: Forward, shown: list[str]
) -> None:
    await publish("101", leg, End(19))
    async with sipp.switch(pbx, "carrier", [403]) as carrier, sipp.caller(pbx, "101", trunk="backup") as caller:
        assert (await caller.final()).status == 403
        assert [invite.user_of("From") for invite in carrier.invites] == shown
        assert [invite.user_of("P-Asserted-Identity") for invite in carrier.invites] == shown
    record = await events.record("101")
    assert record.story == [*[(1, "CHANUNAVAIL", 21) for _ in shown], (2, "END", 21)]


@pytest.mark.parametrize(
    "diversion",
    [
        f"Diversion: <sip:{DID}@sandbox.example>;reason=unconditional",
        'Diversion: "A, <B>" <sip:+33611111111@mobile.example;user=phone>;reason=no-answer,<sip:0170000101@x.example>',
        "Diversion: sip:33170000101@x.example;reason=unconditional",
        f"Diversion: <tel:{DID}>;reason=unconditional",
    ],
)
async def test_a_call_that_comes_back_is_not_forwarded_again(
    pbx: Sandbox, publish: Publish, events: Events, diversion: str
) -> None:
    await pbx.console("database put comunik-plan/did 33170000101 101")
    await pbx.console("database put comunik-plan/did 0170000101 101")
    await publish("101", forward(), End(19))
    async with (
        sipp.switch(pbx, "carrier", [486]) as carrier,
        sipp.caller(pbx, DID, trunk="backup", headers=[diversion], talk_seconds=0.1) as caller,
    ):
        assert (await caller.final(within=10)).status == 200, "the mailbox of the default plan"
        record = await events.record(DID)
        assert carrier.invites == []
    assert (record["Decided"], record["Status"]) == ("default", "voicemail")
    await pbx.console("database deltree comunik-plan/did")


async def test_others_diversions_are_no_loop(pbx: Sandbox, publish: Publish) -> None:
    await publish("101", forward(), End(19))
    theirs = "<sip:+33199999999@other.example>;reason=user-busy"
    async with (
        sipp.switch(pbx, "carrier", [486]) as carrier,
        sipp.caller(pbx, "101", trunk="backup", headers=[f"Diversion: {theirs}"]) as caller,
    ):
        assert (await caller.final()).status == 486
        (invite,) = carrier.invites
    assert invite.all("Diversion") == [f"<sip:{DID}@sandbox.example>;reason=unconditional", theirs]
