"""Alice's phone rings as often as her rule says, counted from when it really rings, whatever it does before that."""

import asyncio
import signal
from collections.abc import Callable

import pytest

from comunik_pbx.needed import has_start_time
from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.sandbox import Sandbox
from comunik_pbx.sandbox.sipp import Sipp
from tests.pbx import PBX, dial_seconds
from tests.stories.company import CYCLE_SECONDS, MOBILE, Company, company_of, told

pytestmark = PBX

NOBODY = "115"  # no phone of it is registered: the call then ends
RINGS = 2
RING_SECONDS = RINGS * CYCLE_SECONDS


def rang(phone: Sipp, since: int) -> float:
    """Seconds from the phone's first answer with this status to the CANCEL it got."""
    began = next(m.at for m in phone.messages if m.sent and m.status == since)
    return next(m.at for m in phone.messages if m.method == "CANCEL") - began


def given_up_after(seconds: float) -> Callable[[str], str]:
    """A phone that shows no sign of life for so long is given up."""
    return lambda toml: toml.replace("[ringing]\n", f"[ringing]\nstart_seconds = {seconds}\n")


def exactly(seconds: float) -> object:
    """Within 150 ms, and never the beginning of one ring more."""
    return pytest.approx(seconds - 0.075, abs=0.075)


@pytest.mark.parametrize(
    ("script", "since"),
    [
        pytest.param([180], 180, id="at once"),
        pytest.param([4.0, 180], 180, id="after four seconds"),
        pytest.param([183], 183, id="says 183 and never that it rings"),
        pytest.param([183, 1.0, 180], 180, id="says 183 a second before it rings"),
        pytest.param([180, 0.5, 183, 0.5, 180], 180, id="says that it rings twice"),
    ],
)
async def test_a_phone_that(company: Company, script: list[int | float], since: int) -> None:
    await company.forwards("111", "external", NOBODY, rings=RINGS)
    async with sipp.phone(company.sandbox, "111", script) as alice, sipp.caller(company.sandbox, "111") as caller:
        await alice.received("CANCEL", within=10)
        assert (await caller.final()).status == 480
        assert rang(alice, since) == exactly(RING_SECONDS)
    record = await company.record()
    assert told(record) == "external live: ring 111 NOANSWER/19, ring 115 CHANUNAVAIL/20, end 19 END/20 -> ended"


async def test_a_phone_that_rings_with_early_media(company: Company) -> None:
    """Asterisk does not note such a ringing; the first call teaches that this phone must be looked at sooner."""
    await company.forwards("111", "external", NOBODY, rings=RINGS)
    async with (
        sipp.phone(company.sandbox, "111", [183], early_media=True) as alice,
        sipp.caller(company.sandbox, "111"),
    ):
        await alice.received("CANCEL", within=10)
        assert rang(alice, 183) == exactly(RING_SECONDS)
    async with (
        sipp.phone(company.sandbox, "111", [183, 0.7, 180], early_media=True) as alice,
        sipp.caller(company.sandbox, "111"),
    ):
        await alice.received("CANCEL", within=10)
        assert rang(alice, 180) == exactly(RING_SECONDS)


async def test_several_phones_count_from_the_first_that_rings(company: Company) -> None:
    """One takes a second, one rings later, one never does, one is busy: all are given up together."""
    await company.forwards("111", "external", NOBODY, rings=RINGS)
    async with (
        sipp.phone(company.sandbox, "111", [1.0, 180]) as first,
        sipp.phone(company.sandbox, "111", [2.0, 180]) as later,
        sipp.phone(company.sandbox, "111", [486]) as busy,
        sipp.phone(company.sandbox, "111", [100, 60.0]) as silent,
        sipp.caller(company.sandbox, "111") as caller,
    ):
        given_up = await first.received("CANCEL", within=10)
        assert rang(first, 180) == exactly(RING_SECONDS)
        assert (await later.received("CANCEL")).at == pytest.approx(given_up.at, abs=0.1)
        assert len(busy.invites) == len(silent.invites) == 1
        assert (await caller.final()).status == 480
    record = await company.record()
    assert told(record) == "external live: ring 111 NOANSWER/19, ring 115 CHANUNAVAIL/20, end 19 END/20 -> ended"


async def test_every_phone_of_a_chain_has_its_rings(company: Company) -> None:
    await company.forwards("111", "external", "112", rings=RINGS)
    await company.forwards("112", "external", "113", rings=1)
    async with (
        sipp.phone(company.sandbox, "111", [1.0, 180]) as alice,
        sipp.phone(company.sandbox, "112", [2.0, 180]) as bruno,
        sipp.phone(company.sandbox, "113", [180, 0.2, 200]) as chloe,
        sipp.caller(company.sandbox, "111") as caller,
    ):
        await chloe.received("INVITE", within=12)
        assert (await caller.final()).status == 200
        assert rang(alice, 180) == exactly(RING_SECONDS)
        assert rang(bruno, 180) == exactly(CYCLE_SECONDS)


async def test_each_of_two_calls_of_a_ring_group_to_one_phone_has_its_rings(company: Company) -> None:
    """One comes a ring later, by a colleague's forward; Local channels, as a queue's, have one linkedid."""
    await company.forwards("111", "always", "113")
    await company.forwards("112", "external", "113", rings=1)
    await company.forwards("113", "external", NOBODY, rings=RINGS)
    group = "Local/111@comunik-incoming/n&Local/112@comunik-incoming/n"
    await company.sandbox.console(f"dialplan add extension 300,1,Dial,{group} into from-carrier")
    try:
        async with (
            sipp.phone(company.sandbox, "112", [180]),
            sipp.phone(company.sandbox, "113", [180]) as chloe,
            sipp.caller(company.sandbox, "300"),
        ):
            async with asyncio.timeout(15):
                while sum(m.method == "CANCEL" for m in chloe.messages) < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            calls = dict.fromkeys(m.call_id for m in chloe.invites)
            each = [[m for m in chloe.messages if m.call_id == call] for call in calls]
        began = [next(m.at for m in one if m.sent and m.status == 180) for one in each]
        ended = [next(m.at for m in one if m.method == "CANCEL") for one in each]
        assert began[1] - began[0] == pytest.approx(CYCLE_SECONDS, abs=0.2)
        assert [end - begin for begin, end in zip(began, ended, strict=True)] == [exactly(RING_SECONDS)] * 2
    finally:
        await company.sandbox.console("dialplan remove extension 300@from-carrier")


@pytest.mark.parametrize("left", [0.25, 0.2, 0.15])
async def test_answered_at_the_last_moment(company: Company, left: float) -> None:
    """A tenth of a second before the end of the last ring the phone is given up; until then who answers has it."""
    await company.forwards("111", "external", MOBILE, rings=RINGS)
    async with (
        sipp.phone(company.sandbox, "111", [180, RING_SECONDS - left, 200]) as alice,
        sipp.caller(company.sandbox, "111", talk_seconds=1.0) as caller,
    ):
        assert (await caller.final()).status == 200
        answered = await alice.received("ACK")
        parted = await alice.received("BYE")
        assert parted.at - answered.at == pytest.approx(1.0, abs=0.2), "the caller hung up, not we"
    assert told(await company.record()) == "external live: ring 111 ANSWER/16 -> answered"


async def test_a_phone_that_never_rings_is_given_up(company: Company) -> None:
    await company.forwards("111", "external", NOBODY, rings=12)
    async with (
        company.configured(given_up_after(1.5)),
        sipp.phone(company.sandbox, "111", [100, 60.0]) as alice,
        sipp.caller(company.sandbox, "111") as caller,
    ):
        refused = await caller.final(within=6)
        assert refused.status == 480
        assert refused.at - alice.invites[0].at == pytest.approx(1.5, abs=0.3)
    # 18: where Dial() itself cannot, the service gives it up.
    cause = 20 if has_start_time(company.sandbox.asterisk.program.version) else 18
    assert told(await company.record()) == (
        f"external live: ring 111 CHANUNAVAIL/{cause}, ring 115 CHANUNAVAIL/20, end 19 END/20 -> ended"
    )


async def test_the_service_is_killed_while_the_phone_rings(sandbox: Sandbox) -> None:
    """Then nobody counts rings from the 180: Dial's own time ends them, later, and the plan goes on."""
    # Asterisk itself complains of a socket closed abruptly, as the company's fixture would tell.
    async with company_of(sandbox) as company:
        await _killed_while_ringing(company)


async def _killed_while_ringing(company: Company) -> None:
    sandbox = company.sandbox
    await company.forwards("111", "external", NOBODY, rings=RINGS)
    async with company.configured(given_up_after(1.0)):
        try:
            async with sipp.phone(sandbox, "111", [180]) as alice, sipp.caller(sandbox, "111") as caller:
                await alice.received("INVITE")
                await asyncio.sleep(0.3)
                assert sandbox.service is not None
                sandbox.service.send_signal(signal.SIGKILL)
                await sandbox.service.wait()
                await alice.received("CANCEL", within=6)
                assert (await caller.final()).status == 480
                # the allowance: start_seconds and a second
                assert rang(alice, 180) == pytest.approx(dial_seconds(sandbox, RING_SECONDS - 0.1 + 2), abs=0.15)
        finally:
            await sandbox.stop_service()
            await sandbox.start_service()


async def test_the_service_is_started_anew_while_the_phone_rings(company: Company) -> None:
    """It knows nothing of the call: Dial's own time ends the ringing here too."""
    sandbox = company.sandbox
    await company.forwards("111", "external", NOBODY, rings=5)
    async with (
        company.configured(given_up_after(1.0)),
        sipp.phone(sandbox, "111", [180]) as alice,
        sipp.caller(sandbox, "111") as caller,
    ):
        await alice.received("INVITE")
        await sandbox.stop_service()
        await sandbox.start_service()
        await alice.received("CANCEL", within=10)
        assert (await caller.final()).status == 480
        assert rang(alice, 180) == pytest.approx(dial_seconds(sandbox, 5 * CYCLE_SECONDS - 0.1 + 2), abs=0.2)
