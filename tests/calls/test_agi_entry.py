"""Calls that ask by FastAGI are decided as those in Stasis(), and what goes wrong leaves them to the dialplan."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from ipaddress import ip_network
from typing import Any

import pytest

from comunik_pbx.calls.agi_entry import AgiEntry
from comunik_pbx.calls.deciding import Decisions
from comunik_pbx.calls.figures import Fallen
from comunik_pbx.calls.records import Records
from comunik_pbx.forwarding.call import Call
from comunik_pbx.forwarding.directory import Directory
from comunik_pbx.forwarding.plan import Plan, Usage
from comunik_pbx.forwarding.rules import Rules
from comunik_pbx.forwarding.steps import Ring, Step
from tests.calls.test_interception import COMPANY, OUTSIDE
from tests.calls.test_records import Kept
from tests.forwarding.company import NOW


class Pbx:
    """Asks as Asterisk does."""

    def __init__(self, **options: Any) -> None:
        self.sink = Kept()
        self.records = Records(self.sink, lambda: COMPANY, clock=lambda: NOW)
        self.decisions = Decisions(lambda: COMPANY, self.records, clock=lambda: NOW, **options)
        self.rung: list[tuple[str, int, tuple[Step, ...]]] = []
        self.missed = 0
        self.entry = AgiEntry(
            ("127.0.0.1", 0),
            [ip_network("127.0.0.1")],
            self.decisions,
            rings=lambda *told: self.rung.append(told),
            on_missed=self.misses,
        )

    def misses(self) -> None:
        self.missed += 1

    async def asks(self, arguments: str, *, number: str = "+33140000000", answer: bytes = b"200 result=1\n") -> str:
        """What is said to a call until the connection is closed."""
        async with self.entry._server.listening() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            said = f"agi_network_script: plan?{arguments}\nagi_uniqueid: 7.1\nagi_callerid: {number}\n\n"
            writer.write(said.encode())
            heard = await reader.readline()
            if heard:
                writer.write(answer)
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            return heard.decode()

    def fallen(self) -> dict[Fallen, int]:
        return {why: count for why, count in self.entry.figures.fallen.items() if count}


async def test_a_call_is_decided_as_in_stasis() -> None:
    pbx = Pbx()
    as_it_came = OUTSIDE.replace("~original~+33140000000~", "~original~~")
    assert await pbx.asks("incoming!101!carrier!allowed!1!!&101!") == f"SET VARIABLE CK_PLAN {as_it_came}\n"
    (record,) = pbx.sink.all
    assert (record.id, str(record.call.caller), record.extension) == ("7.1", "+33140000000", "101")
    assert (pbx.entry.figures.decided, pbx.fallen()) == (1, {})
    [(channel, passes, steps)] = pbx.rung
    assert (channel, passes, pbx.missed) == ("7.1", 1, 1)
    assert isinstance(steps[0], Ring)


async def test_the_origin_is_the_endpoints_never_the_caller_ids() -> None:
    pbx = Pbx()
    assert "forward" in await pbx.asks("incoming!101!carrier!allowed!1!!&101!", number="102")
    assert "forward" not in await pbx.asks("incoming!101!103!allowed!1!!&101!")
    forged = "1\nagi_network_script: plan?incoming!101!103!allowed!1!!&101!"
    assert "forward" in await pbx.asks("incoming!101!carrier!allowed!1!!&101!", number=forged)


async def test_where_a_call_has_been_is_part_of_it() -> None:
    pbx = Pbx()
    await pbx.asks("incoming!101!carrier!prohib!2!&+33170000101&0140000000!&102&101!103")
    (record,) = pbx.sink.all
    call = record.call
    assert (call.diverted_by, call.passed, call.sent_by) == (("+33170000101", "0140000000"), ("102",), "103")
    assert (record.id, call.caller.withheld) == ("7.1#2", True)


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "incoming",
        "outgoing!101!carrier!allowed!1!!&101!",
        "incoming!101!a!b!allowed!1!!&101!",
        "incoming!101!a!b!x!!!",
    ],
)
async def test_a_call_that_cannot_be_read_goes_on_undecided(arguments: str) -> None:
    pbx = Pbx()
    assert await pbx.asks(arguments) == ""
    assert pbx.fallen() == {Fallen.FAULT: 1}
    assert pbx.sink.all == []


async def test_a_decision_that_fails_leaves_the_call_to_the_dialplan() -> None:
    def broken(call: Call, d: Directory, r: Rules, now: datetime, usage: Mapping[str, Usage]) -> Plan:
        raise ZeroDivisionError

    pbx = Pbx(decide=broken)
    assert await pbx.asks("incoming!101!carrier!allowed!1!!&101!") == ""
    assert pbx.fallen() == {Fallen.FAULT: 1}


@pytest.mark.parametrize(("answer", "why"), [(b"HANGUP\n", Fallen.LATE), (b"510 Invalid\n", Fallen.ASTERISK)])
async def test_a_plan_that_did_not_reach_the_call_is_not_its_plan(answer: bytes, why: Fallen) -> None:
    pbx = Pbx()
    await pbx.asks("incoming!101!carrier!allowed!1!!&101!", answer=answer)
    assert pbx.fallen() == {why: 1}
    assert (pbx.rung, pbx.missed) == ([], 1)


@contextlib.asynccontextmanager
async def running(entry: AgiEntry) -> AsyncIterator[None]:
    task = asyncio.create_task(entry.run())
    try:
        async with asyncio.timeout(2):
            await entry.wait_listening()
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_it_listens_while_it_runs() -> None:
    entry = Pbx().entry
    async with running(entry):
        assert entry.undecided == 0
