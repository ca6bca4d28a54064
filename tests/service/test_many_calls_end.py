"""Many calls end in a second, on the real Asterisk: their ends are collected together, and none is lost."""

import asyncio
from datetime import datetime
from pathlib import Path

from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.sandbox import Sandbox
from comunik_pbx.store import Store
from tests.pbx import PBX
from tests.service.serving import company_in, serving

pytestmark = PBX

CALLS, PER_SECOND = 120, 30
NOBODY = "112"  # has neither phone nor mailbox: a call ends at once


async def asked(asterisk: Sandbox, value: str) -> None:
    """Wait until the dialplan is asked to keep ends (`kept`), or to tell them (empty)."""
    async with asyncio.timeout(20):
        while f"CK_ENDS={value}\n" not in await asterisk.console("dialplan show globals") + "\n":  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # nothing tells that a global variable has changed


async def test_they_are_told_together_and_then_one_by_one_again(asterisk: Sandbox, tmp_path: Path) -> None:
    config = company_in(asterisk, tmp_path)
    async with serving(config) as service:
        await service.ready()
        await asked(asterisk, "")
        async with sipp.caller(asterisk, NOBODY, calls=CALLS, per_second=PER_SECOND) as callers:
            await asked(asterisk, "kept")
            assert await callers.finished(within=30) == 0
        await service.said("event=call ", times=CALLS)
        await service.said('event="ends of calls collected"')
        await asked(asterisk, "")
        async with sipp.caller(asterisk, NOBODY) as caller:
            await caller.final()
        await service.said("event=call ", times=CALLS + 1)
        assert await service.stop() == 0
    left = (await asterisk.console("database show comunik-ended")).count("/comunik-ended/")
    assert left <= 1, "the last one's, which was stored too late for this service to delete it"
    async with await Store.open(f"sqlite:///{tmp_path}/comunik.db") as store:
        rows = await store.calls(limit=2 * CALLS)
    assert len(rows) == CALLS + 1
    assert {(row.decided, row.status) for row in rows} == {("live", "ended")}
    assert all(isinstance(row.ended_at, datetime) for row in rows)
    lasted = [(row.ended_at - row.started_at).total_seconds() for row in rows if row.ended_at]
    assert max(lasted) < 1.0, "the moment is the dialplan's, not that of the collection"
