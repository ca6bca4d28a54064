import asyncio
import sqlite3
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from comunik_pbx.store import CallRow, Store

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def call(number: int, extension: str | None = "101", **more: object) -> CallRow:
    row = CallRow(
        id=f"1763803800.{number}",
        started_at=NOW + timedelta(seconds=number),
        caller="+33140000000",
        called="+33170000101",
        extension=extension,
        origin="external",
        decided="live",
        plan=[{"kind": "ring", "endpoints": ["101"], "seconds": 15.0}],
        trace=[{"extension": "101", "rule": "external", "followed": True, "why": "après 3 sonneries"}],
    )
    return msgspec.structs.replace(row, **more)


async def test_calls_newest_first_by_extension_and_after(store: Store) -> None:
    rows = [call(n, "101" if n % 2 else "102") for n in range(6)]
    await store.put_calls(rows)
    assert await store.calls() == rows[::-1]
    assert await store.calls(2) == [rows[5], rows[4]]
    assert await store.calls(extension="101") == [rows[5], rows[3], rows[1]]
    assert await store.calls(after=rows[3].started_at) == [rows[5], rows[4]]


async def test_an_end_told_alone_leaves_the_reasons_and_the_beginning(store: Store) -> None:
    await store.put_calls([call(1)])
    end = call(1, trace=[], started_at=NOW, ended_at=NOW + timedelta(seconds=9), status="answered")
    await store.put_calls([end])
    assert await store.calls() == [call(1, ended_at=end.ended_at, status="answered")]
    other = call(1, trace=[], decided="published", ended_at=end.ended_at)
    await store.put_calls([other])  # another plan was carried out: those were not its reasons
    assert await store.calls() == [other]


async def test_a_closed_record_is_not_opened_again(store: Store) -> None:
    ended = call(1, status="answered", cause=16, ended_at=NOW)
    await store.put_calls([ended])
    await store.put_calls([call(1), call(2)])  # by a service that hung meanwhile
    assert await store.calls() == [call(2), ended]


async def test_a_known_end_is_not_forgotten(store: Store) -> None:
    ended = call(1, status="answered", cause=16, ended_at=NOW)
    missed = call(2, status="unknown", ended_at=NOW)
    await store.put_calls([ended, missed])
    await store.put_calls([call(1, status="unknown", ended_at=NOW)])  # by a service that hung, and missed it
    told = call(2, status="answered", cause=16, ended_at=NOW)
    await store.put_calls([told])
    assert await store.calls() == [told, ended]


async def test_a_record_is_updated_by_its_id(store: Store) -> None:
    await store.put_calls([call(1)])
    ended = call(1, status="answered", cause=16, ended_at=NOW, outcome=[{"index": 0, "status": "ANSWER"}])
    await store.put_calls([ended, call(2)])
    await store.put_calls([])
    assert await store.calls() == [call(2), ended]


async def test_a_record_keeps_the_reasons_that_a_restarted_service_has_forgotten(store: Store) -> None:
    await store.put_calls([call(1), call(2), call(3)])
    later: dict[str, Any] = {"started_at": NOW + timedelta(seconds=50), "plan": [{"kind": "ring"}], "trace": []}
    ended: dict[str, Any] = {"status": "answered", "ended_at": NOW, "outcome": [{"index": 1, "status": "ANSWER"}]}
    by_the_dialplan = call(2, decided="default", **later, **ended)
    decided_again = call(3, **later | {"trace": [{"why": "others"}]}, **ended)
    await store.put_calls([call(1, **later, **ended), by_the_dialplan, decided_again])
    rows = {row.id: row for row in await store.calls()}
    assert rows[call(1).id] == call(1, **ended)
    assert rows[by_the_dialplan.id] == by_the_dialplan
    assert rows[decided_again.id] == decided_again


async def test_calls_whose_channels_have_gone_are_closed(store: Store) -> None:
    again = call(2, id=f"{call(2).id}#2")
    await store.put_calls([call(1), call(2), again, call(3), call(4, status="ended", ended_at=NOW), call(9)])
    assert await store.close_calls({call(2).id}, NOW + timedelta(seconds=9)) == 2
    rows = await store.calls()
    unknown = [row.id for row in rows if row.status == "unknown" and row.ended_at]
    assert unknown == [call(3).id, call(1).id]
    assert [row.id for row in rows if row.ended_at is None] == [call(9).id, again.id, call(2).id]
    assert next(row for row in rows if row.id == call(1).id).trace == call(1).trace


async def test_a_call_whose_end_is_about_to_be_written_is_not_closed_as_unknown(store: Store) -> None:
    again = call(2, id=f"{call(2).id}#2")
    await store.put_calls([call(1), call(2), again])
    assert await store.close_calls(set(), NOW + timedelta(seconds=9), {call(1).id, call(2).id}) == 1
    assert [row.id for row in await store.calls() if row.ended_at is not None] == [again.id]


async def test_one_bad_record_does_not_cost_the_others(store: Store, path: Path) -> None:
    await store.put_calls([call(1, started_at=datetime(2026, 1, 1)), call(2, caller="\udc80"), call(3), call(4)])
    assert await store.calls() == [call(4), call(3)]
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE calls SET plan = '[' WHERE id = ?", (call(4).id,))
    connection.close()
    assert await store.calls() == [call(3)]


async def test_follow_yields_what_another_process_writes_updates_too(store: Store, path: Path) -> None:
    await store.put_calls([call(1)])
    async with await Store.open(f"sqlite:///{path}") as other, aclosing(store.follow_calls()) as following:
        first = asyncio.ensure_future(anext(following))
        await asyncio.sleep(0.05)
        written = [call(n) for n in range(2, 5)]
        await other.put_calls(written)
        await other.put_calls([call(1, status="ended")])
        async with asyncio.timeout(5):
            got = [await first] + [await anext(following) for _ in range(3)]
        assert got == [*written, call(1, status="ended")]


async def test_follow_of_more_than_one_reading(store: Store) -> None:
    async with aclosing(store.follow_calls()) as following:
        first = asyncio.ensure_future(anext(following))
        await asyncio.sleep(0.05)
        await store.put_calls([call(n) for n in range(1, 1202)])
        async with asyncio.timeout(10):
            got = [await first] + [await anext(following) for _ in range(1200)]
    assert got == [call(n) for n in range(1, 1202)]


async def test_old_records_are_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comunik_pbx.store.store._FORGOTTEN_AT_ONCE", 3)
    await store.put_calls([call(n) for n in range(8)])
    assert await store.forget_calls(NOW + timedelta(seconds=7)) == 7
    assert await store.calls() == [call(7)]
    await store.put_calls([call(9, started_at=datetime.now(UTC) - timedelta(days=91))])
    assert await store.forget_calls() >= 1
    assert all(row.id != call(9).id for row in await store.calls())
