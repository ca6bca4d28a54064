"""The running service: how it stops, gives way, reloads, meets faults of its own, and outlives Asterisk."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from comunik_pbx.sandbox.asterisk_process import AsteriskProcess
from comunik_pbx.sandbox.phones import OutsideNumber, Phone, Phones
from comunik_pbx.sandbox.sandbox import Sandbox
from comunik_pbx.service import REPLACED
from comunik_pbx.store import CallRow, Store
from tests.cli.test_on_asterisk import command
from tests.pbx import PBX
from tests.service.serving import applications, company_in, serving

pytestmark = PBX

CUSTOMER = "+33140000000"


async def ended_call(directory: Path, number: int = 1) -> CallRow:
    """The record of the service's only call so far (of the `number`, the newest), once the call has ended."""
    async with asyncio.timeout(10), await Store.open(f"sqlite:///{directory}/comunik.db") as store:
        while True:
            rows = [row for row in await store.calls() if row.ended_at]
            if len(rows) == number:
                return rows[0]
            await asyncio.sleep(0.05)


async def test_sigterm_ends_it_soon(asterisk: Sandbox, tmp_path: Path) -> None:
    async with serving(company_in(asterisk, tmp_path)) as service:
        await service.ready()
        began = time.monotonic()
        assert await service.stop() == 0
        assert time.monotonic() - began < 3
        assert service.words == []
        assert "event=stopped" in service.lines[-1]
    assert "comunik-pbx" not in await applications(asterisk)


async def test_sigterm_ends_it_soon_beside_a_hung_asterisk(asterisk: Sandbox, tmp_path: Path) -> None:
    async with serving(company_in(asterisk, tmp_path)) as service:
        await service.ready()
        os.kill(asterisk.asterisk.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            assert await service.stop() == 0
            assert time.monotonic() - began < 5
        finally:
            os.kill(asterisk.asterisk.pid, signal.SIGCONT)


async def test_a_call_in_hand_is_decided_before_it_ends(asterisk: Sandbox, phones: Phones, tmp_path: Path) -> None:
    alice = await phones.register("101")
    customer = (await phones.carrier()).number(CUSTOMER)
    async with serving(company_in(asterisk, tmp_path)) as service:
        await service.ready()
        service.process.send_signal(signal.SIGSTOP)
        call = await customer.dial("+33170000101")
        async with asyncio.timeout(5):
            while "!Stasis!" not in await asterisk.console("core show channels concise"):
                pass
        service.process.send_signal(signal.SIGTERM)
        service.process.send_signal(signal.SIGCONT)
        assert await service.ended() == 0
    await (await alice.rings()).answer()
    await call.answered()
    await call.hears(alice)
    await call.hangup()
    async with await Store.open(f"sqlite:///{tmp_path}/comunik.db") as store:
        [row] = await store.calls()
    assert (row.decided, row.extension) == ("live", "101"), "not left to the dialplan's guard"


async def test_the_second_service_takes_over_and_the_first_gives_way(asterisk: Sandbox, tmp_path: Path) -> None:
    config = company_in(asterisk, tmp_path)
    async with serving(config) as first:
        await first.ready()
        async with serving(config) as second:
            await second.ready()
            assert await first.ended() == REPLACED
            [line] = [line for line in first.lines if "took over" in line]
            assert "run only one comunik-pbx service for each Asterisk" in line
            assert first.words == []
            assert "comunik-pbx" in await applications(asterisk)
            assert await second.stop() == 0


async def answered_by_whom(phones: list[Phone], caller: OutsideNumber) -> Phone:
    """Call 101 from outside; the phone that rings, once the call is over."""
    call = await caller.dial("101")
    ringing = {asyncio.create_task(phone.rings()): phone for phone in phones}
    done, others = await asyncio.wait(ringing, return_when=asyncio.FIRST_COMPLETED)
    for other in others:
        other.cancel()
    [rang] = done
    await call.hangup()
    await rang.result().ended()
    return ringing[rang]


async def test_reload_acts_on_the_next_call_and_a_bad_file_changes_nothing(
    asterisk: Sandbox, phones: Phones, tmp_path: Path
) -> None:
    alice, bruno = await phones.register("101"), await phones.register("102")
    customer = (await phones.carrier()).number(CUSTOMER)
    config = company_in(asterisk, tmp_path)
    async with serving(config) as service:
        await service.ready()
        assert await answered_by_whom([alice, bruno], customer) is alice

        good = config.read_text() + '[extensions.101.forward.always]\nto = "102"\n'
        config.write_text(good)
        done = f"reloaded: process {service.process.pid} now works with {config}\n"
        assert await command(config, "reload") == (0, done, "")
        assert await answered_by_whom([alice, bruno], customer) is bruno

        config.write_text(good.replace('to = "102"', 'to = "109"') + "[ringin]\n")
        wrong = f"{config}: ringin: unknown key; right: did you mean ringing?\n"
        assert await command(config, "reload") == (1, "", wrong)
        service.process.send_signal(signal.SIGHUP)  # as kill(1) would, without a look at the file
        await service.said("the configuration was not reloaded, the one before stays")
        assert await answered_by_whom([alice, bruno], customer) is bruno
        assert await service.stop() == 0


async def test_what_only_a_restart_can_change_is_refused(asterisk: Sandbox, tmp_path: Path) -> None:
    config = company_in(asterisk, tmp_path)
    async with serving(config) as service:
        await service.ready()
        (tmp_path / "ari.secret").write_text("another\n")
        status, _, said = await command(config, "reload")
        assert status == 1
        assert said.splitlines() == [
            "the service refused its configuration and goes on with the one before:",
            f"{config}: asterisk.ari_password: has changed, which a reload cannot do; "
            "right: restart the service (it leaves calls alone), or put it back",
        ]
        assert "another" not in "".join(service.lines)
        assert "comunik-pbx" in await applications(asterisk)


FAULTY = """
import asyncio, sys
from pathlib import Path
from comunik_pbx import service

async def forget(self):
    await self._interception.wait_connected()
    raise ZeroDivisionError("a fault put in")

service.Service._forget = forget
sys.exit(service.run(Path(sys.argv[1])))
"""


async def test_a_task_that_fails_ends_the_service_loudly(asterisk: Sandbox, tmp_path: Path) -> None:
    config = company_in(asterisk, tmp_path)
    async with serving(config, (sys.executable, "-c", FAULTY, str(config))) as service:
        assert await service.ended() == 1
    assert service.words == [
        "comunik-pbx ends by a fault of its own (ZeroDivisionError: a fault put in): its log says where; "
        "please report it"
    ]
    [logged] = [line for line in service.lines if "level=critical" in line]
    assert "Traceback" in logged
    assert "in forget" in logged
    assert "comunik-pbx" not in await applications(asterisk), "it must not go on with a part of its tasks"


LOADING = """
import sys, time
from pathlib import Path
from comunik_pbx import service

load = service.import_module

def slow(name):
    while not Path(sys.argv[2]).exists():
        time.sleep(0.01)
    return load(name)

service.import_module = slow
sys.exit(service.run(Path(sys.argv[1])))
"""


async def test_calls_are_decided_while_the_portal_is_loaded(asterisk: Sandbox, phones: Phones, tmp_path: Path) -> None:
    alice = await phones.register("101")
    customer = (await phones.carrier()).number(CUSTOMER)
    config, may_load = company_in(asterisk, tmp_path), tmp_path / "may load"
    assert "[portal]" in config.read_text()
    async with serving(config, (sys.executable, "-c", LOADING, str(config), str(may_load))) as service:
        await service.said('event="connected to ARI"')
        call = await customer.dial("+33170000101")
        await (await alice.rings()).answer()
        await call.answered()
        await call.hangup()
        assert (await ended_call(tmp_path)).decided == "live"
        assert not any("event=ready" in line for line in service.lines)
        may_load.touch()
        await service.ready()
        await service.said("event=portal ")


async def test_a_store_that_disappears_ends_it(asterisk: Sandbox, tmp_path: Path) -> None:
    async with serving(company_in(asterisk, tmp_path)) as service:
        await service.ready()
        for path in tmp_path.glob("comunik.db*"):
            path.unlink()
        assert await service.ended() == 1
    assert service.words == [
        f"The store {tmp_path}/comunik.db was removed or replaced while in use: restart the service."
    ]


async def test_a_restarted_service_keeps_the_records_of_calls(
    asterisk: Sandbox, phones: Phones, tmp_path: Path
) -> None:
    alice = await phones.register("101")
    customer = (await phones.carrier()).number(CUSTOMER)
    config = company_in(asterisk, tmp_path)
    async with serving(config) as before:
        await before.ready()
        call = await customer.dial("+33170000101")
        talking = await alice.rings()
        await talking.answer()
        await call.answered()
        assert await before.stop() == 0
    await call.hears(alice)
    async with await Store.open(f"sqlite:///{tmp_path}/comunik.db") as store:
        [decided] = await store.calls()
    assert decided.trace
    async with serving(config) as after:
        await after.ready()
        await call.hangup()
        ended = await ended_call(tmp_path)
        assert await after.stop() == 0
    assert (ended.decided, ended.status, ended.cause) == ("live", "answered", 16)
    assert (ended.plan, ended.trace, ended.started_at) == (decided.plan, decided.trace, decided.started_at)


async def test_the_end_of_a_call_without_any_service_is_recorded_by_the_next(
    asterisk: Sandbox, phones: Phones, tmp_path: Path
) -> None:
    alice = await phones.register("101")
    customer = (await phones.carrier()).number(CUSTOMER)
    config = company_in(asterisk, tmp_path)
    async with serving(config) as before:
        await before.ready()
        call = await customer.dial("+33170000101")
        talking = await alice.rings()
        await talking.answer()
        await call.answered()
        assert await before.stop() == 0
    await call.hangup()
    await talking.ended()
    async with serving(config) as after:
        await after.ready()
        await after.said("event=call")  # the end that Asterisk kept
        assert await after.stop() == 0
    ended = await ended_call(tmp_path)
    assert (ended.decided, ended.status, ended.cause) == ("live", "answered", 16)
    assert ended.trace


async def test_asterisk_restarts_while_the_service_runs(asterisk: Sandbox, phones: Phones, tmp_path: Path) -> None:
    """… with another database than before: the plans for bad times are in it again at once."""
    await asterisk.console("database deltree comunik-plan")
    async with serving(company_in(asterisk, tmp_path)) as service:
        await service.ready()
        await service.said("fallback plans published")
        await asterisk.console("database deltree comunik-plan")
        await asterisk.asterisk.stop()
        await service.said("not connected to ARI: the dialplan's fallback takes the calls")
        asterisk.asterisk = await AsteriskProcess.start(asterisk.layout, asterisk.asterisk.program)
        await service.said('event="connected to ARI"', times=2)
        await service.said("fallback plans published", times=2)
        alice = await phones.register("101")
        customer = (await phones.carrier()).number(CUSTOMER)
        assert await answered_by_whom([alice], customer) is alice
        assert (await ended_call(tmp_path)).decided == "live"
        assert await service.stop() == 0
        assert service.words == []
