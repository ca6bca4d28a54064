"""The service under a supervisor with a watchdog, as systemd runs it: what is told, what is killed, what is not."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from comunik_pbx.sandbox.asterisk_process import AsteriskProcess
from comunik_pbx.sandbox.phones import Phones
from comunik_pbx.sandbox.sandbox import Sandbox
from comunik_pbx.service import REPLACED
from tests.pbx import PBX
from tests.service.serving import applications, company_in
from tests.service.supervisor import UNIT, supervised, unit
from tests.service.test_serving import CUSTOMER, ended_call

pytestmark = PBX

ILL_ONCE = """
import asyncio, os, sys, time
from pathlib import Path
from comunik_pbx import service

async def hang(*_):
    await asyncio.Event().wait()

async def fall_ill(self):
    await self._interception.wait_connected()
    await self._portal_loaded.wait()
    await asyncio.sleep(0.3)  # READY=1 is said
    if not os.path.exists(sys.argv[2]):
        open(sys.argv[2], "w").close()
        ILLNESS
    await asyncio.Event().wait()

service.Service._forget = fall_ill
sys.exit(service.run(Path(sys.argv[1])))
"""


async def test_the_unit_is_what_these_tests_take_it_for(tmp_path: Path) -> None:
    its = unit()
    assert (its["Type"], its["Restart"]) == ("notify", "always")
    assert its["RestartPreventExitStatus"].split() == [str(REPLACED)]
    assert 5 <= float(its["WatchdogSec"]) <= 30
    if analyze := shutil.which("systemd-analyze"):
        text = UNIT.read_text().replace("@program@", "/bin/true").replace("@protect_home@", "yes")
        (tmp_path / "comunik-pbx.service").write_text(text.replace("@config@", "/c").replace("@writable@", "/tmp"))
        command = [analyze, "verify", str(tmp_path / "comunik-pbx.service")]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30)
        assert "comunik-pbx.service:" not in done.stdout + done.stderr


async def test_it_is_ready_when_calls_are_decided_and_then_tells_that_it_is_well(
    asterisk: Sandbox, tmp_path: Path
) -> None:
    async with supervised(company_in(asterisk, tmp_path), watchdog_seconds=1.5) as (supervisor, _):
        await supervisor.service.ready()  # which it says just after it has notified READY=1
        said = "\n".join(supervisor.service.lines).partition("event=ready")[0]
        for before in ("connected to ARI", "rules in force"):
            assert before in said
        await supervisor.heard("WATCHDOG=1", times=4)
        assert supervisor.aborted == 0
        assert await supervisor.service.stop() == 0
        assert supervisor.told[-1] == "STOPPING=1"


@pytest.mark.parametrize(
    ("illness", "said"),
    [
        ("time.sleep(60)", "in fall_ill"),  # a blocked event loop: the stack says where
        ("self._ari._pipeline.send = hang", "Asterisk answers others but not us"),  # a client that is half alive
    ],
)
async def test_an_ill_service_is_killed_says_why_and_is_replaced(
    asterisk: Sandbox, tmp_path: Path, illness: str, said: str
) -> None:
    config = company_in(asterisk, tmp_path)
    command = (sys.executable, "-c", ILL_ONCE.replace("ILLNESS", illness), str(config), str(tmp_path / "was ill"))
    async with supervised(config, command, watchdog_seconds=1.5) as (supervisor, _):
        await supervisor.heard("READY=1", times=2)
        first, second = supervisor.starts
        assert await first.ended() == -signal.SIGABRT
        assert any(said in line for line in first.lines)
        await supervisor.heard("WATCHDOG=1", times=supervisor.told.count("WATCHDOG=1") + 3)
        assert (supervisor.aborted, second.process.returncode) == (1, None)


async def test_asterisk_hangs_dies_and_comes_back_and_the_service_is_left_alone(
    asterisk: Sandbox, phones: Phones, tmp_path: Path
) -> None:
    """A call that an earlier service decided ends when Asterisk dies: its record is closed all the same."""
    config = company_in(asterisk, tmp_path)
    alice = await phones.register("101")
    customer = (await phones.carrier()).number(CUSTOMER)
    async with supervised(config, watchdog_seconds=2.0) as (supervisor, _):
        call = await customer.dial("+33170000101")
        await (await alice.rings()).answer()
        await call.answered()
        assert await supervisor.service.stop() == 0  # systemctl restart
        await supervisor.heard("READY=1", times=2)
        service = supervisor.service
        os.kill(asterisk.asterisk.pid, signal.SIGSTOP)
        await asyncio.sleep(3)
        os.kill(asterisk.asterisk.pid, signal.SIGKILL)
        await asterisk.asterisk.ended
        asterisk.asterisk = await AsteriskProcess.start(asterisk.layout, asterisk.asterisk.program)
        await service.said('event="connected to ARI"', times=2)
        await service.said("ended unheard")
        assert (await ended_call(tmp_path)).status == "unknown"
        assert (supervisor.aborted, len(supervisor.starts)) == (0, 2)


async def test_two_supervised_services_do_not_replace_each_other_for_ever(asterisk: Sandbox, tmp_path: Path) -> None:
    config = company_in(asterisk, tmp_path)
    async with supervised(config) as (first, first_running), supervised(config) as (second, _):
        async with asyncio.timeout(10):
            await first_running
        assert await first.service.ended() == REPLACED
        await second.heard("WATCHDOG=1", times=3)
        assert (len(first.starts), len(second.starts)) == (1, 1)
        assert "comunik-pbx" in await applications(asterisk)
