"""The PBX of these stories has no ARI at all: its calls ask the service by FastAGI."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from comunik_pbx import config as configuration
from comunik_pbx.cli.dialplan import dialplan
from comunik_pbx.sandbox import bench_calls
from comunik_pbx.sandbox.asterisk_etc import WITHOUT_ARI, write_etc
from comunik_pbx.sandbox.asterisk_process import AsteriskProcess
from comunik_pbx.sandbox.sandbox import Sandbox
from tests.pbx import TEST_DIALPLAN
from tests.stories.company import Company, company_of

SERVICE_AWAY = ("res_agi.c: Connecting to '127.0.0.1:", "res_agi.c: Couldn't connect to any host.  FastAGI failed.")

ADMINS_OWN = """
; Says how the admin's own setting of AGI is after a call of ours: 4 and an extension.
[from-carrier](+)
exten => _41XX,1,Set(AGIEXITONHANGUP=admins)
 same => n,Set(CHANNEL(hangup_handler_push)=admins-agi,s,1)
 same => n,Goto(comunik-incoming,${EXTEN:1},1)
[admins-agi]
exten => s,1,Set(DB(admins-own/agi)=${AGIEXITONHANGUP})
 same => n,Return()
"""


async def started_anew(sandbox: Sandbox, noload: tuple[str, ...]) -> None:
    """Asterisk with what `init` makes of the configuration as it is now, and the service."""
    await sandbox.stop_service()
    await sandbox.asterisk.stop()
    write_etc(
        sandbox.layout,
        sandbox.passwords,
        sandbox.asterisk.program,
        dialplan=dialplan(configuration.load(sandbox.config)),
        extra_dialplan=TEST_DIALPLAN + ADMINS_OWN + bench_calls.DIALPLAN,
        noload=noload,
    )
    sandbox.asterisk = await AsteriskProcess.start(sandbox.layout, sandbox.asterisk.program)
    await sandbox.start_service()


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def without_ari(sandbox: Sandbox) -> AsyncIterator[Sandbox]:
    """The sandbox whose Asterisk has neither res_ari nor Stasis(); as it was before, afterwards."""
    written = sandbox.config.read_text()
    further = sandbox.layout.home / "agi.toml"
    port = sandbox.layout.addresses.agi
    tables = f'[asterisk]\nari = false\n[agi]\nlisten = "127.0.0.1:{port}"\n'
    further.write_text(f'{tables}[metrics]\nlisten = "127.0.0.1:{port + 1}"\n')
    assert "include = [" in written
    sandbox.config.write_text(written.replace("include = [", f"include = [{json.dumps(str(further))}, "))
    try:
        await started_anew(sandbox, WITHOUT_ARI)
        yield sandbox
    finally:
        sandbox.config.write_text(written)
        await started_anew(sandbox, ())


@pytest_asyncio.fixture(loop_scope="session")
async def company(without_ari: Sandbox) -> AsyncIterator[Company]:
    """The company; the service is there at the end, and Asterisk complained of nothing but its absence."""
    before = len(without_ari.asterisk.complaints())
    async with company_of(without_ari) as made:
        yield made
        if without_ari.service is None or without_ari.service.returncode is not None:
            await without_ari.start_service()
    usual = (*SERVICE_AWAY, *made.normal)
    complaints = without_ari.asterisk.complaints()[before:]
    if complaints := [line for line in complaints if not any(text in line for text in usual)]:
        pytest.fail("Asterisk complained: " + "\n".join(complaints))
