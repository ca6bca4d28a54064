"""Without ARI: what only FastAGI can get wrong, on the real Asterisk."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path

import aiohttp
import pytest

from comunik_pbx.asterisk.agi import LONGEST_VALUE, AskingCall, FastAgi, Handle
from comunik_pbx.asterisk.plan_encoding import encode
from comunik_pbx.forwarding.steps import End, Ring, Voicemail
from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.asterisk_process import AsteriskProcess
from comunik_pbx.sandbox.phones import Phones
from tests.cli.test_on_asterisk import command
from tests.pbx import PBX
from tests.service.serving import company_in, serving
from tests.stories.company import CUSTOMER, Company, told, whole_second
from tests.stories.test_the_service_hangs import hanging, published
from tests.stories.test_without_the_service import kill

pytestmark = PBX


@contextlib.asynccontextmanager
async def another_service(company: Company, handle: Handle) -> AsyncIterator[None]:
    """In the place of the service one that answers as a test wants."""
    sandbox = company.sandbox
    await sandbox.stop_service()
    listen = ("127.0.0.1", sandbox.layout.addresses.agi)
    async with FastAgi(listen, handle, allow=[ip_network("127.0.0.1")], seconds=5).listening(grace_seconds=0):
        yield
    await sandbox.start_service()


async def test_there_is_no_ari(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    call = await (await phones.carrier()).number(CUSTOMER).dial("+33170000101")
    await (await alice.rings()).answer()
    await call.answered()
    await call.hangup()
    assert told(await company.record()) == "external live: ring 101 ANSWER/16 -> answered"

    sandbox = company.sandbox
    assert "not registered" in await sandbox.console("core show application Stasis")
    addresses = sandbox.layout.addresses
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{sandbox.ari_url}/asterisk/ping") as answer:
            assert answer.status == 404
        async with session.get(f"http://127.0.0.1:{addresses.agi + 1}/metrics") as answer:
            figures = dict(line.rsplit(" ", 1) for line in (await answer.text()).splitlines() if line[0] != "#")
    assert float(figures["comunik_decision_seconds_count"]) >= 1
    assert "comunik_ari_connected" not in figures
    assert figures["comunik_ami_connected"] == "1.0"


async def test_everything_is_found(company: Company, tmp_path: Path) -> None:
    status, out, err = await command(company.sandbox.config, "check", "--live")
    assert (status, err) == (0, "")
    subjects = [line.partition(":")[0] for line in out.splitlines()[1:] if not line.startswith("note")]
    assert subjects == ["store", "service", "AMI", "endpoints", "dialplan", "mailboxes", "connected lines"]
    assert f"listens for AGI at 127.0.0.1:{company.sandbox.layout.addresses.agi}" in out
    changed = company_in(company.sandbox, tmp_path, ('endpoints = ["103"]', 'endpoints = ["nosuch"]'))
    status, _, err = await command(changed, "check", "--live")
    assert [line.partition(";")[0] for line in err.splitlines()] == [
        'extensions.103.endpoints: Asterisk has no PJSIP endpoint "nosuch"'
    ]


@pytest.mark.parametrize(
    "number",
    [
        "12%0aagi_network_script%3a%20plan%3fincoming!101!102!allowed!1!!%26101!",
        "%0a%0aagi_arg_1%3a%20incoming",
        "12%0aagi_uniqueid%3a%206.6",
    ],
)
async def test_a_number_with_a_line_break_makes_nobody_a_colleague(
    company: Company, phones: Phones, number: str
) -> None:
    bruno, chloe = await phones.register("102"), await phones.register("103")
    await company.forwards("101", "internal", "102")
    await company.forwards("101", "external", "103")
    async with sipp.caller(
        company.sandbox, "101", from_uri=f"sip:{number}@sandbox.example", cancel_after=0.2
    ) as caller:
        await chloe.rings()
        assert (await caller.final()).status == 487
    assert (await company.record()).origin == "external"
    assert bruno.rang == 0


async def test_the_admins_own_agi_is_as_it_was(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    customer = (await phones.carrier()).number(CUSTOMER)
    for guarded in (contextlib.nullcontext(), hanging(company)):
        await company.sandbox.console("database deltree admins-own")
        async with guarded:
            call = await customer.dial("4101")
            await (await alice.rings()).answer()
            await call.answered()
            await call.hangup()
            await call.ended()
            async with asyncio.timeout(5):
                while "admins" not in (said := await company.sandbox.console("database get admins-own agi")):
                    assert "yes" not in said


async def test_the_caller_hangs_up_while_the_service_hangs(company: Company, phones: Phones) -> None:
    customer = (await phones.carrier()).number(CUSTOMER)
    await whole_second()
    async with hanging(company):
        call = await customer.dial("+33170000101")
        async with asyncio.timeout(5):
            while "AGI" not in await company.sandbox.console("core show channels concise"):
                pass
        await call.hangup()
        await call.ended()
        async with asyncio.timeout(1):
            while "0 active channels" not in await company.sandbox.console("core show channels count"):
                pass
    # Decided by the service when it wakes up, if it hears of the call before it hears of its end.
    assert told(await company.record()) in ("external default:  -> abandoned", "external live:  -> abandoned")


async def test_a_plan_of_several_pieces(company: Company, phones: Phones) -> None:
    """Of many mailboxes none is there, then Bruno is called."""
    bruno = await phones.register("102")
    steps = [Voicemail("101", f"{'nobody.' * 20}{n}@default") for n in range(20)]
    plan = encode((*steps, Ring("102", ("102",), 5, 5.0), End(31)))
    assert len(plan) > 2 * LONGEST_VALUE

    async def handle(call: AskingCall) -> None:
        await call.hand_over(plan)

    async with another_service(company, handle):
        call = await (await phones.carrier()).number(CUSTOMER).dial("+33170000101")
        await bruno.rings()
        await call.hangup()
        await call.ended()


async def test_half_a_plan_is_none(company: Company, phones: Phones) -> None:
    alice, bruno = await phones.register("101"), await phones.register("102")
    await published(company, "1|ring~101")

    async def handle(call: AskingCall) -> None:
        await call._set("CK_PLAN", "ring~102~102~1~5~next~~~~~10~0")
        await asyncio.Event().wait()

    async with another_service(company, handle):
        call = await (await phones.carrier()).number(CUSTOMER).dial("+33170000101")
        await alice.rings(within=4)
        await call.hangup()
        await call.ended()
    assert bruno.rang == 0


async def test_calls_that_ended_with_asterisk_are_closed(company: Company, phones: Phones) -> None:
    sandbox = company.sandbox
    alice = await phones.register("101")
    call = await (await phones.carrier()).number(CUSTOMER).dial("+33170000101")
    await (await alice.rings()).answer()
    await call.answered()
    os.kill(sandbox.asterisk.pid, signal.SIGKILL)
    await sandbox.asterisk.ended
    sandbox.asterisk = await AsteriskProcess.start(sandbox.layout, sandbox.asterisk.program)
    sandbox.describe()
    record = await company.record()
    assert (record.decided, record.status) == ("live", "unknown")


async def test_calls_that_ended_while_the_service_was_dead_are_closed(company: Company, phones: Phones) -> None:
    sandbox = company.sandbox
    alice = await phones.register("101")
    call = await (await phones.carrier()).number(CUSTOMER).dial("+33170000101")
    at_desk = await alice.rings()
    await at_desk.answer()
    await call.answered()
    async with asyncio.timeout(5):
        while all(row.ended_at for row in await company.store.calls(limit=1)):
            pass
    await kill(sandbox)
    await call.hangup()
    await at_desk.ended()
    await sandbox.console("database deltree comunik-ended")
    await sandbox.start_service()
    assert (await company.record()).status == "unknown"


async def test_a_second_service_refuses_to_start(company: Company, tmp_path: Path) -> None:
    async with serving(company_in(company.sandbox, tmp_path)) as second:
        assert await second.ended() == 1
    assert second.words[-1].startswith(
        f"127.0.0.1:{company.sandbox.layout.addresses.agi} (agi.listen) cannot be listened on"
    )


async def test_where_calls_ask_changes_only_by_a_restart(company: Company) -> None:
    further = company.sandbox.layout.home / "agi.toml"
    before = further.read_text()
    try:
        further.write_text(before.replace("[agi]\n", '[agi]\nallow = ["127.0.0.1"]\n'))
        status, _, said = await command(company.sandbox.config, "reload")
    finally:
        further.write_text(before)
    assert status == 1
    assert "agi.allow: has changed, which a reload cannot do" in said
    assert (await command(company.sandbox.config, "reload"))[0] == 0
