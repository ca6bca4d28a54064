"""CDR and CEL rows of a forwarded call say who forwarded it; those of other calls say nothing."""

import asyncio
import csv
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from comunik_pbx.sandbox.phones import Phones
from comunik_pbx.sandbox.sandbox import Sandbox
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, MOBILE, Company

pytestmark = PBX

MODULES = ("res_cdrel_custom.so", "cel_custom.so")
"""What writes CEL events into files; older ones do without the first."""

DISPOSITION, USERFIELD = 14, 17
"""Columns of cdr_csv's Master.csv, with uniqueid and userfield."""


def cdrs(sandbox: Sandbox) -> list[list[str]]:
    """All CDRs so far."""
    found = sandbox.layout.log / "cdr-csv" / "Master.csv"
    return list(csv.reader(found.read_text().splitlines())) if found.exists() else []


@asynccontextmanager
async def cel(sandbox: Sandbox) -> AsyncIterator[Path]:
    """CEL events of all kinds in a file, inside the `async with`."""
    etc = sandbox.layout.etc
    (sandbox.layout.log / "cel-custom").mkdir(exist_ok=True)
    usual = (etc / "cel.conf").read_text()
    (etc / "cel.conf").write_text("[general]\nenable = yes\napps = dial\nevents = ALL\n")
    (etc / "cel_custom.conf").write_text(
        "[mappings]\nMaster.csv => ${CSV_QUOTE(${eventtype})},${CSV_QUOTE(${CHANNEL(channame)})},"
        "${CSV_QUOTE(${CHANNEL(userfield)})}\n"
    )
    await sandbox.console("module reload cel")
    installed = sandbox.asterisk.program.directories.get("astmoddir")
    modules = [module for module in MODULES if installed is None or (installed / module).exists()]
    for module in modules:  # without a configuration they had declined to load
        await sandbox.console(f"module load {module}")
    try:
        yield sandbox.layout.log / "cel-custom" / "Master.csv"
    finally:
        (etc / "cel.conf").write_text(usual)
        (etc / "cel_custom.conf").unlink()
        await sandbox.console("module reload cel")
        for module in reversed(modules):
            await sandbox.console(f"module unload {module}")


async def test_the_forwarder_is_on_the_bill(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    carrier = await phones.carrier()
    mobile, customer = carrier.number(MOBILE), carrier.number(CUSTOMER)
    await company.forwards("101", "external", MOBILE, rings=1)
    before = len(cdrs(company.sandbox))
    async with cel(company.sandbox) as events:
        call = await customer.dial("+33170000101")
        await alice.rings()
        on_mobile = await mobile.rings()
        await on_mobile.answer()
        await call.answered()
        await call.hangup()
        await on_mobile.ended()
        rows = await written(company.sandbox, before, 2)
        assert [(row[DISPOSITION], row[USERFIELD]) for row in rows] == [
            ("NO ANSWER", ""),
            ("ANSWERED", "forwarded-by:101"),
        ]
        told = list(csv.reader(events.read_text().splitlines()))
    answered = [row for row in told if row[0] == "BRIDGE_ENTER" and row[1].startswith("PJSIP/carrier")]
    assert "forwarded-by:101" in [row[2] for row in answered]


async def test_a_call_that_nobody_forwards_says_nothing(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    customer = (await phones.carrier()).number(CUSTOMER)
    before = len(cdrs(company.sandbox))
    call = await customer.dial("+33170000101")
    at_desk = await alice.rings()
    await at_desk.answer()
    await call.answered()
    await call.hangup()
    await at_desk.ended()
    rows = await written(company.sandbox, before, 1)
    assert [(row[DISPOSITION], row[USERFIELD]) for row in rows] == [("ANSWERED", "")]


async def written(sandbox: Sandbox, before: int, wanted: int) -> list[list[str]]:
    """The CDRs after the first `before`, once there are so many; Asterisk tells nobody when it writes them."""
    async with asyncio.timeout(10):
        while len(cdrs(sandbox)) < before + wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return cdrs(sandbox)[before:]
