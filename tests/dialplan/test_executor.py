"""Every kind of step, and what the caller is told when it fails (Q.850 cause, SIP answer)."""

from contextlib import AsyncExitStack

import pytest

from comunik_pbx.forwarding.steps import Diversion, End, Forward, Greeting, OnBusy, Reason, Ring, Step, Voicemail
from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.sandbox import Sandbox
from tests.dialplan.conftest import Publish
from tests.dialplan.records import Events
from tests.pbx import PBX, dial_seconds

pytestmark = PBX

MOBILE = "+33612345678"
BY_101 = Diversion("101", "+33170000101", Reason.NO_ANSWER)
VOICEMAIL = Voicemail("101", "101@default")


def ring(extension: str = "101", *endpoints: str, seconds: float = 1.0, on_busy: OnBusy = OnBusy.NEXT) -> Ring:
    return Ring(extension, endpoints or (extension,), 1, seconds, on_busy)


def forward(trunk: str = "carrier", by: Diversion = BY_101) -> Forward:
    return Forward(MOBILE, trunk, f"PJSIP/{MOBILE}@{trunk}", 5, 1, by, fallback=trunk != "carrier")


async def test_answered(pbx: Sandbox, publish: Publish, events: Events) -> None:
    await publish("101", ring(), VOICEMAIL)
    async with sipp.phone(pbx, "101", [180, 0.2, 200]), sipp.caller(pbx, "101") as caller:
        assert (await caller.final()).status == 200
        record = await events.record("101")
        assert caller.statuses == [180, 200]
    assert (record["Status"], record["Cause"], record["Decided"]) == ("answered", "16", "published")
    (step,) = record.steps
    assert (step.index, step.status) == (1, "ANSWER")
    assert step.answered_by.startswith("PJSIP/101-")
    assert step.ring_ms == pytest.approx(200, abs=100)
    assert step.answered_ms == pytest.approx(500, abs=150)


@pytest.mark.parametrize(
    ("answer", "to_caller", "cause", "outcome"),
    [
        (486, 486, 17, ("BUSY", 17)),
        (600, 486, 17, ("BUSY", 17)),
        (603, 486, 17, ("CHANUNAVAIL", 21)),
        (480, 480, 19, ("NOANSWER", 19)),
        (404, 480, 20, ("CHANUNAVAIL", 1)),
        (500, 480, 20, ("CHANUNAVAIL", 38)),
        (503, 480, 20, ("CONGESTION", 34)),
        (488, 488, 58, ("CHANUNAVAIL", 58)),
    ],
)
async def test_what_a_phone_answers_and_what_the_caller_hears_of_it(
    pbx: Sandbox,
    publish: Publish,
    events: Events,
    answer: int,
    to_caller: int,
    cause: int,
    outcome: tuple[str, int],
) -> None:
    await publish("101", ring(), End(19))
    async with sipp.phone(pbx, "101", [180, answer]), sipp.caller(pbx, "101") as caller:
        assert (await caller.final()).status == to_caller
        record = await events.record("101")
    assert (record["Status"], record["Cause"]) == ("ended", str(cause))
    assert record.story == [(1, *outcome), (2, "END", cause)]


async def test_the_ring_that_would_be_one_too_many_never_starts(pbx: Sandbox, publish: Publish, events: Events) -> None:
    lasts = dial_seconds(pbx, 1.4)
    await publish("101", ring(seconds=1.5), End(31))
    async with sipp.phone(pbx, "101", [180]) as phone, sipp.caller(pbx, "101") as caller:
        assert (await caller.final()).status == 480
        rang = (await phone.received("CANCEL")).at - (await phone.received("INVITE")).at
    assert rang == pytest.approx(lasts, abs=0.08)
    record = await events.record("101")
    assert record.story == [(1, "NOANSWER", 19), (2, "END", 19)]
    assert record.steps[0].ring_ms == pytest.approx(1000 * lasts, abs=100)


async def test_a_ring_of_less_than_a_second_ends_too(pbx: Sandbox, publish: Publish, events: Events) -> None:
    """`Dial()` of whole seconds takes 0.9 for no limit at all."""
    await publish("101", ring(seconds=1.0), End(31))
    async with sipp.phone(pbx, "101", [180]) as phone, sipp.caller(pbx, "101") as caller:
        assert (await caller.final()).status == 480
        rang = (await phone.received("CANCEL")).at - (await phone.received("INVITE")).at
    assert rang == pytest.approx(1.0, abs=0.1)
    assert (await events.record("101")).story == [(1, "NOANSWER", 19), (2, "END", 19)]


async def test_no_phone_registered(pbx: Sandbox, publish: Publish, events: Events) -> None:
    await publish("101", ring(), End(19))
    async with sipp.caller(pbx, "101") as caller:
        assert (await caller.final()).status == 480
    assert (await events.record("101")).story == [(1, "CHANUNAVAIL", 20), (2, "END", 20)]


async def test_all_endpoints_of_an_extension_ring_at_once(pbx: Sandbox, publish: Publish, events: Events) -> None:
    await publish("101", ring("101", "101", "102", "103", seconds=3), End(19))
    async with (
        sipp.phone(pbx, "101", [486]),
        sipp.phone(pbx, "102", [180]) as silent,
        sipp.phone(pbx, "103", [180, 0.3, 200]),
        sipp.caller(pbx, "101") as caller,
    ):
        assert (await caller.final()).status == 200
        elsewhere = await silent.received("CANCEL")
        assert "200" in (elsewhere.header("Reason") or "")  # answered elsewhere (RFC 3326)
        record = await events.record("101")
    assert record.steps[0].answered_by.startswith("PJSIP/103-")


async def test_busy_ends_the_call_if_the_extension_wants_that(pbx: Sandbox, publish: Publish, events: Events) -> None:
    await publish("101", ring(on_busy=OnBusy.END), VOICEMAIL)
    async with sipp.phone(pbx, "101", [603]), sipp.caller(pbx, "101") as caller:
        assert (await caller.final()).status == 486
    assert (await events.record("101")).story == [(1, "CHANUNAVAIL", 21), (1, "END", 17)]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ([180], "no-answer"),
        ([486], "user-busy"),
        ([180, 603], "user-busy"),
        ([404], "unavailable"),
        (None, "unavailable"),
    ],
)
async def test_why_a_call_was_diverted_is_known_only_after_ringing(
    pbx: Sandbox, publish: Publish, script: list[int | float] | None, reason: str
) -> None:
    await publish("101", ring(), forward(), End(19))
    async with AsyncExitStack() as story:
        carrier = await story.enter_async_context(sipp.switch(pbx, "carrier", [180, 486]))
        if script is not None:
            await story.enter_async_context(sipp.phone(pbx, "101", script))
        caller = await story.enter_async_context(sipp.caller(pbx, "101", trunk="backup"))
        assert (await caller.final()).status == 486
        (invite,) = carrier.invites
        assert invite.header("Diversion") == f"<sip:+33170000101@sandbox.example>;reason={reason}"
        assert invite.start_line.startswith(f"INVITE sip:{MOBILE}@")


async def test_an_unconditional_diversion_stays_one(pbx: Sandbox, publish: Publish) -> None:
    await publish("101", forward(by=Diversion("101", "+33170000101", Reason.UNCONDITIONAL)), End(19))
    async with sipp.switch(pbx, "carrier", [486]) as carrier, sipp.caller(pbx, "101", trunk="backup") as caller:
        assert (await caller.final()).status == 486
        diversion = carrier.invites[0].header("Diversion")
    assert diversion == "<sip:+33170000101@sandbox.example>;reason=unconditional"


@pytest.mark.parametrize("answer", [403, 408, 488, 500, 502, 503, 504])
async def test_a_trunk_that_fails_makes_room_for_the_next(
    pbx: Sandbox, publish: Publish, events: Events, answer: int
) -> None:
    await publish("101", forward(), forward("backup"), End(19))
    async with (
        sipp.switch(pbx, "carrier", [answer]),
        sipp.switch(pbx, "backup", [180, 0.1, 200]) as backup,
        sipp.caller(pbx, "101") as caller,
    ):
        assert (await caller.final()).status == 200
        assert backup.invites[0].header("Diversion")
        record = await events.record("101")
    assert record["Status"] == "answered"
    # 403 is also what a carrier says to a number that it will not show: the forwarder's is tried before the next trunk.
    assert [step.status for step in record.steps][1 if answer != 403 else 2 :] == ["ANSWER"]


@pytest.mark.parametrize(
    ("script", "to_caller"), [([404], 404), ([180, 408], 408), ([480], 480), ([484], 484), ([486], 486), ([603], 403)]
)
async def test_a_number_that_refuses_is_not_called_again(
    pbx: Sandbox, publish: Publish, events: Events, script: list[int | float], to_caller: int
) -> None:
    await publish("101", forward(), forward("backup"), End(31))
    async with (
        sipp.switch(pbx, "carrier", script),
        sipp.switch(pbx, "backup", [200]) as backup,
        sipp.caller(pbx, "101") as caller,
    ):
        assert (await caller.final()).status == to_caller
        assert backup.invites == []
    assert [step.status for step in (await events.record("101")).steps][1:] == ["SKIPPED", "END"]


@pytest.mark.start_time
async def test_a_dead_trunk_after_a_busy_phone(pbx: Sandbox, publish: Publish, events: Events) -> None:
    """Asterisk leaves HANGUPCAUSE as the busy phone set it: it must not pass for the far end's."""
    await publish("101", ring(), forward(), forward("backup"), End(19))
    async with (
        sipp.phone(pbx, "101", [486]),
        sipp.silent(pbx, "carrier"),
        sipp.switch(pbx, "backup", [180, 200]) as backup,
        sipp.caller(pbx, "101") as caller,
    ):
        assert (await caller.final()).status == 200
        assert "reason=user-busy" in (backup.invites[0].header("Diversion") or "")
        record = await events.record("101")
    assert record.story[:2] == [(1, "BUSY", 17), (2, "CHANUNAVAIL", 34)]
    assert record.steps[2].answered_by.startswith("PJSIP/backup-")


async def test_a_chain_names_the_last_diverter_on_each_leg(pbx: Sandbox, publish: Publish) -> None:
    second = Ring("102", ("102",), 1, 1.0, OnBusy.NEXT, Diversion("101", "101", Reason.NO_ANSWER))
    steps: tuple[Step, ...] = (
        ring(), second, forward(by=Diversion("102", "+33170000102", Reason.NO_ANSWER, 2)), End(19),
    )  # fmt: skip
    await publish("101", *steps)
    async with (
        sipp.phone(pbx, "101", [180]),
        sipp.phone(pbx, "102", [180, 486]) as bruno,
        sipp.switch(pbx, "carrier", [480]) as carrier,
        sipp.caller(pbx, "101", trunk="backup") as caller,
    ):
        assert (await caller.final()).status == 480
        assert (bruno.invites[0].header("Diversion") or "").startswith("<sip:101@")
        outside = carrier.invites[-1].header("Diversion")  # not one sent again to the dead carrier of another test
    assert outside == "<sip:+33170000102@sandbox.example>;reason=user-busy"


@pytest.mark.parametrize(("answer", "greeting"), [(486, "vm-isonphone"), (404, "vm-isunavail")])
async def test_a_message_after_the_greeting_that_fits(
    pbx: Sandbox, publish: Publish, events: Events, answer: int, greeting: str
) -> None:
    await publish("101", ring(), VOICEMAIL, End(19))
    said = len(pbx.asterisk.log_lines())
    async with sipp.phone(pbx, "101", [answer]), sipp.caller(pbx, "101", talk_seconds=6) as caller:
        assert (await caller.final()).status == 200
        record = await events.record("101", within=9)
    assert (record["Status"], record["Cause"]) == ("voicemail", "16")
    assert [step.status for step in record.steps][1:] == ["VOICEMAIL"]
    assert any(f"Playing '{greeting}" in line for line in pbx.asterisk.log_lines()[said:])


async def test_a_mailbox_that_does_not_exist_is_passed_over(pbx: Sandbox, publish: Publish, events: Events) -> None:
    await publish("101", ring(), Voicemail("101", "999@default", Greeting.BUSY), End(19))
    async with sipp.phone(pbx, "101", [486]), sipp.caller(pbx, "101") as caller:
        assert (await caller.final()).status == 486
    assert (await events.record("101")).story == [(1, "BUSY", 17), (2, "SKIPPED", 0), (3, "END", 17)]


@pytest.mark.parametrize(
    ("cause", "status"),
    [(1, 404), (17, 486), (18, 408), (19, 480), (20, 480), (21, 403), (28, 484), (31, 480), (34, 503)],
)
async def test_the_sip_answer_of_each_cause(pbx: Sandbox, publish: Publish, cause: int, status: int) -> None:
    await publish("101", End(cause))
    async with sipp.caller(pbx, "101") as caller:
        final = await caller.final()
    assert (final.status, final.header("Reason")) == (status, f"Q.850;cause={cause}")


async def test_caller_gives_up_while_the_phone_rings(pbx: Sandbox, publish: Publish, events: Events) -> None:
    await publish("101", ring(seconds=5), VOICEMAIL)
    async with sipp.phone(pbx, "101", [180]) as phone, sipp.caller(pbx, "101", cancel_after=0.4) as caller:
        await phone.received("CANCEL")
        assert (await caller.final()).status == 487
    record = await events.record("101")
    assert (record["Status"], record["Cause"]) == ("abandoned", "16")
    assert record.story == [(1, "CANCEL", 16)]
    assert record.steps[0].ring_ms == pytest.approx(400, abs=120)


async def test_a_plan_without_an_end_ends_all_the_same(pbx: Sandbox, publish: Publish, events: Events) -> None:
    await publish("101", "1|dance~now|ring~101~101~1~1~next~~~~")
    async with sipp.caller(pbx, "101") as caller:
        assert (await caller.final()).status == 480
    assert (await events.record("101")).story == [(2, "CHANUNAVAIL", 20), (3, "END", 20)]
