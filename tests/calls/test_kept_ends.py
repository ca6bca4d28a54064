"""Ends of calls kept in AstDB: collected once, deleted when the store has them, never before."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec
import pytest
from structlog.testing import capture_logs

from comunik_pbx.asterisk.errors import AmiUnreachable
from comunik_pbx.calls import kept_ends
from comunik_pbx.calls.call_ends import record_end, reported
from comunik_pbx.calls.kept_ends import KeptEnds
from comunik_pbx.calls.records import UNKNOWN, CallRecord, Records
from comunik_pbx.calls.snapshot import Snapshot
from tests.forwarding.company import directory

REPORT = (
    "Call: sandbox-1795386765.7,Pass: 1,Called: 101,Endpoint: carrier,CallerNum: +33140000000,CallerPres: allowed,"
    "Decided: published,Plan: 1|end~17,Steps: 1~END~17~0~~0,Status: ended,Cause: 17,Ended: 1795386770250"
)


class FakeAstDB:
    def __init__(self, *reports: str) -> None:
        self.entries = {f"/comunik-ended/{reported(r)['call'][-5:]}/{reported(r)['pass']}": r for r in reports}
        self.connected = True
        self.asked = 0  # how often AMI was needed

    async def db_get_tree(self, family: str) -> dict[str, str]:
        self.asked += 1
        if not self.connected:
            raise AmiUnreachable("there is no connection")
        return dict(self.entries)

    async def db_write(self, family: str, changes: Sequence[tuple[str, str | None]]) -> None:
        self.asked += bool(changes)
        if not self.connected:
            raise AmiUnreachable("there is no connection")
        for key, value in changes:
            assert value is None
            self.entries.pop(f"/{family}/{key}", None)


class Sink:
    def __init__(self) -> None:
        self.records: list[CallRecord] = []

    def put(self, record: CallRecord) -> None:
        self.records.append(record)


@asynccontextmanager
async def collecting(
    database: FakeAstDB,
    *,
    delete_seconds: float = 0.0,
    collect: bool = True,
    tells: Callable[[bool], Awaitable[None]] | None = None,
) -> AsyncIterator[tuple[KeptEnds, Sink]]:
    sink = Sink()
    snapshot = Snapshot(directory(), {})
    records = Records(sink, lambda: snapshot)
    kept = KeptEnds(
        database,
        lambda headers: record_end(headers, records),
        tells=tells,
        retry_seconds=0.01,
        delete_seconds=delete_seconds,
    )
    running = asyncio.create_task(kept.run())
    if collect:
        kept.collect()
    try:
        yield kept, sink
        assert not running.done()
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not done():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_collected_with_the_moment_it_ended_and_deleted_once_stored() -> None:
    database = FakeAstDB(REPORT)
    async with collecting(database) as (kept, sink):
        assert await kept.collected() == {"sandbox-1795386765.7"}
        (record,) = sink.records
        assert (record.id, record.extension, record.decided, record.status, record.cause) == (
            "sandbox-1795386765.7",
            "101",
            "published",
            "ended",
            17,
        )
        assert record.started_at == datetime.fromtimestamp(1795386765, UTC)
        assert record.ended_at == datetime.fromtimestamp(1795386770.25, UTC)
        assert database.entries
        kept.stored(sink.records)
        await turns()
        assert database.entries == {}


async def test_collected_twice_it_is_one_record() -> None:
    database = FakeAstDB(REPORT)
    async with collecting(database) as (kept, sink):
        with capture_logs() as logs:
            await turns()
            kept.collect()
            await turns()
        assert len({record.id for record in sink.records}) == 1
        assert [log["event"] for log in logs].count("ends of calls collected") == 2
        assert [log["event"] for log in logs].count("call") == 1


async def test_an_end_that_comes_back_is_deleted_again() -> None:
    """Asterisk was killed before its database had noted on disk that the entry was deleted."""
    database = FakeAstDB(REPORT)
    async with collecting(database) as (kept, sink):
        await turns()
        kept.stored(sink.records)
        await turns()
        assert database.entries == {}
        before = len(sink.records)
        database.entries = FakeAstDB(REPORT).entries
        kept.collect()
        await turns()
        kept.stored(sink.records[before:])
        await turns()
        assert database.entries == {}


async def test_what_cannot_be_read_goes() -> None:
    database = FakeAstDB(REPORT)
    database.entries = {"/comunik-ended/junk/1": "junk"}
    async with collecting(database) as (_, sink):
        await turns()
        assert (sink.records, database.entries) == ([], {})


async def test_what_cannot_be_deleted_now_is_deleted_later() -> None:
    database = FakeAstDB(REPORT)
    async with collecting(database) as (kept, sink):
        await turns()
        database.connected = False
        kept.stored(sink.records)
        await turns()
        assert database.entries
        database.connected = True
        async with asyncio.timeout(5):
            while database.entries:  # noqa: ASYNC110
                await asyncio.sleep(0)


async def test_those_stored_are_deleted_together_after_a_while() -> None:
    database = FakeAstDB(REPORT, REPORT.replace("765.7", "765.8"), REPORT.replace("765.7", "765.9"))
    async with collecting(database, delete_seconds=0.1) as (kept, sink):
        assert len(await kept.collected()) == len(sink.records) == 3
        before = database.asked
        for record in sink.records:
            kept.stored([record])
            await asyncio.sleep(0.01)
        assert len(database.entries) == 3
        await until(lambda: not database.entries)
        assert database.asked == before + 1


async def test_collecting_does_not_wait_for_the_next_deletion() -> None:
    database = FakeAstDB(REPORT)
    async with collecting(database, delete_seconds=60, collect=False) as (kept, sink):
        kept.stored([])
        await turns()
        assert database.asked == 0, "there is nothing to do"
        kept.collect()
        await kept.collected()
        kept.stored(sink.records)
        await turns()
        assert database.entries
        kept.collect()  # which takes the deletion along
        await until(lambda: not database.entries)


async def test_those_stored_when_the_service_ends_are_deleted_then() -> None:
    database = FakeAstDB(REPORT)
    async with collecting(database, delete_seconds=60) as (kept, sink):
        await kept.collected()
        kept.stored(sink.records)
        await turns()
    assert database.entries == {}


async def test_an_end_that_is_not_complete_in_the_store_stays() -> None:
    database = FakeAstDB(REPORT)
    async with collecting(database) as (kept, sink):
        await kept.collected()
        [record] = sink.records
        kept.stored([msgspec.structs.replace(record, status=UNKNOWN), msgspec.structs.replace(record, ended_at=None)])
        await turns()
        assert database.entries


async def test_collecting_that_fails_is_tried_again_soon() -> None:
    database = FakeAstDB(REPORT)
    database.connected = False
    async with collecting(database, delete_seconds=60) as (kept, _):
        await until(lambda: database.asked >= 3)
        database.connected = True
        async with asyncio.timeout(5):
            assert await kept.collected() == {"sandbox-1795386765.7"}


async def test_they_are_collected_now_and_then_however_many_calls_end_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kept_ends, "COLLECT_SECONDS", 0.1)
    database = FakeAstDB()
    async with collecting(database, delete_seconds=0.02) as (kept, sink):
        await kept.collected()
        database.entries = FakeAstDB(REPORT).entries
        other = Records(others := Sink(), lambda: Snapshot(directory(), {}))
        async with asyncio.timeout(5):
            while not sink.records:
                record_end(reported(REPORT.replace("765.7", f"766.{len(others.records)}")), other)
                kept.stored(others.records[-1:])
                await asyncio.sleep(0.005)


async def test_of_calls_that_we_did_not_decide_they_are_collected_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_ends, "COLLECT_SECONDS", 0.01)
    database = FakeAstDB()
    async with collecting(database) as (kept, sink):
        assert await kept.collected() == set()
        database.entries = FakeAstDB(REPORT).entries
        async with asyncio.timeout(5):
            while not sink.records:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert await kept.collected() == {"sandbox-1795386765.7"}


def test_a_second_pass_has_an_entry_of_its_own() -> None:
    headers: Mapping[str, str] = reported(REPORT.replace("Pass: 1", "Pass: 2"))
    assert kept_ends._key(f"{headers['call']}#2") == "765.7/2"


async def test_when_some_will_end_unheard_they_are_collected_often_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_ends, "SOON_SECONDS", 0.01)
    monkeypatch.setattr(kept_ends, "ATTENTIVE_SECONDS", 0.3)
    database = FakeAstDB()
    async with collecting(database, delete_seconds=60) as (kept, sink):
        assert await kept.collected() == set()
        database.entries = FakeAstDB(REPORT).entries
        await asyncio.sleep(0.05)
        assert not sink.records, "nobody said so"
        kept.attend()
        await until(lambda: bool(sink.records))
        kept.stored(sink.records)
        await until(lambda: not database.entries)
        await asyncio.sleep(0.4)
        before = database.asked
        await asyncio.sleep(0.1)
        assert database.asked == before, "no more after a while"


@asynccontextmanager
async def asked(
    database: FakeAstDB, refuses: Callable[[], bool] = lambda: False
) -> AsyncIterator[tuple[KeptEnds, list[bool]]]:
    """With a dialplan that can be asked to tell ends as they happen (True) or not: what it was asked."""
    said: list[bool] = []

    async def tells(as_they_happen: bool) -> None:
        if refuses():
            raise AmiUnreachable("no")
        said.append(as_they_happen)

    async with collecting(database, delete_seconds=60, collect=False, tells=tells) as (kept, _):
        yield kept, said


def reports(number: int) -> dict[str, str]:
    return FakeAstDB(*(REPORT.replace("765.7", f"7{i:02}.7") for i in range(number))).entries


async def test_many_ends_are_told_together_until_they_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_ends, "SOON_SECONDS", 0.05)
    database = FakeAstDB()
    async with asked(database) as (kept, said):
        for _ in range(kept_ends.MANY - 1):
            kept.told()
        await turns()
        assert said == []
        kept.told()
        await until(lambda: said == [False])
        database.entries = reports(kept_ends.MANY // 2)
        before = database.asked
        await until(lambda: database.asked >= before + 3)  # collected again and again
        assert said == [False]
        database.entries = {}
        await until(lambda: said == [False, True])
        before = database.asked
        database.entries = reports(1)  # it ended after the last look and before the dialplan told again
        await until(lambda: database.asked > before)


async def test_few_ends_are_told_as_they_happen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_ends, "SOON_SECONDS", 0.01)
    async with asked(FakeAstDB()) as (kept, said):
        for _ in range(2 * kept_ends.MANY):
            kept.told()
            await asyncio.sleep(0.002)
        assert said == []


async def test_a_new_connection_begins_with_ends_told_as_they_happen() -> None:
    async with asked(FakeAstDB()) as (kept, said):
        for _ in range(kept_ends.MANY):
            kept.told()
        await until(lambda: said == [False])
        kept.connected()
        await until(lambda: said == [False, True])


async def test_a_dialplan_that_cannot_be_asked_now_is_asked_later() -> None:
    refusals = iter([True, True, False])
    async with asked(FakeAstDB(), lambda: next(refusals)) as (kept, said):
        kept.connected()
        await until(lambda: said == [True])


async def test_ends_are_collected_though_the_dialplan_cannot_be_asked() -> None:
    database = FakeAstDB(REPORT)
    async with asked(database, lambda: True) as (kept, said):
        kept.connected()
        assert len(await kept.collected()) == 1
        assert said == []


async def test_who_has_no_ari_asks_nothing() -> None:
    database = FakeAstDB()
    async with collecting(database, delete_seconds=60) as (kept, _):
        kept.connected()
        for _ in range(kept_ends.MANY):
            kept.told()
        await kept.collected()
