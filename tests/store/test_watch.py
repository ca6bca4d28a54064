import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import msgspec
import pytest

from comunik_pbx.forwarding.rules import RuleKind, ToExtension, ToVoicemail
from comunik_pbx.store import CallRow, Service, Store, StoreCorrupt, StoreError, StoreReplaced
from comunik_pbx.store import sqlite as module
from comunik_pbx.store.rows import process_mark

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


async def told(watch: AsyncGenerator[None, None], seconds: float = 5.0) -> float:
    async with asyncio.timeout(seconds):
        await anext(watch)
    return time.monotonic()


@pytest.mark.parametrize("inotify", [True, False])
async def test_a_change_by_another_process_is_noticed_within_50_ms(
    store: Store, path: Path, inotify: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not inotify:

        def none_left(**_: object) -> None:
            raise OSError("too many inotify instances")

        monkeypatch.setattr(module, "Inotify", none_left)
    await store.set_rule("101", RuleKind.ALWAYS, ToExtension("102"), by="test")
    connection = sqlite3.connect(path, isolation_level=None)  # by hand: a raw write
    late = []
    async with aclosing(store.watch()) as watch:
        await told(watch)
        for n in range(10):
            await asyncio.sleep(0.03 if n else 1.2)  # also from a long quiet
            following = asyncio.ensure_future(told(watch))
            await asyncio.sleep(0.005)
            connection.execute("UPDATE rules SET rings = ?", (n,))
            committed = time.monotonic()
            late.append(await following - committed)
    connection.close()
    assert median(late) < 0.05
    assert sorted(late)[-2] < 0.1  # one may be late on a loaded machine


async def test_the_first_yield_comes_at_once_and_own_changes_too(store: Store) -> None:
    async with aclosing(store.watch()) as watch:
        await told(watch, 1)
        await store.set_rule("101", RuleKind.ALWAYS, ToVoicemail(), by="test")
        await told(watch, 1)
        await store.clear_rule("101", RuleKind.ALWAYS, by="test")
        await told(watch, 1)


async def test_call_records_are_no_news_for_the_rules(store: Store) -> None:
    row = CallRow(id="1.1", started_at=NOW, caller="102", called="101", origin="internal", decided="live")
    async with aclosing(store.watch()) as watch:
        await told(watch)
        await store.put_calls([row])
        with pytest.raises(TimeoutError):
            await told(watch, 0.15)


async def test_changes_while_the_consumer_works_are_not_lost(store: Store) -> None:
    async with aclosing(store.watch()) as watch:
        await told(watch)
        for n in range(3):
            await store.set_rule(str(n), RuleKind.ALWAYS, ToVoicemail(), by="test")
        await told(watch)
        assert len(await store.rules()) == 3


async def test_watching_costs_nearly_nothing_while_nobody_writes(store: Store) -> None:
    async with aclosing(store.watch()) as watch:
        await told(watch)
        following = asyncio.ensure_future(anext(watch))
        before = os.times()
        await asyncio.sleep(2)
        after = os.times()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert (after.user + after.system - before.user - before.system) / 2 < 0.03  # os.times counts in 10 ms


async def test_a_watch_of_a_store_gone_says_so(store: Store, path: Path) -> None:
    async with aclosing(store.watch()) as watch:
        await told(watch)
        connection = sqlite3.connect(path)
        with connection:
            connection.execute("DROP TABLE changes")
        connection.close()
        with pytest.raises(StoreCorrupt):
            await told(watch)


async def test_a_store_replaced_while_in_use_is_noticed(store: Store, path: Path, tmp_path: Path) -> None:
    async with aclosing(store.watch()) as watch:
        await told(watch)
        async with await Store.open(f"sqlite:///{tmp_path}/backup.db"):
            pass
        (tmp_path / "backup.db").replace(path)
        with pytest.raises(StoreReplaced, match="restart the service"):
            await told(watch)
    path.unlink()
    with pytest.raises(StoreError):
        async with aclosing(store.watch()) as watch:
            await told(watch)


async def test_reload_finds_the_service_and_awaits_its_load(store: Store, path: Path) -> None:
    assert await store.service() is None
    mark = process_mark(os.getpid())
    assert mark is not None
    serving = Service(pid=os.getpid(), process=mark, started_at=NOW, config="/etc/comunik.toml", loaded_at=NOW)
    await store.put_service(serving)
    async with await Store.open(f"sqlite:///{path}") as other:
        assert await other.service() == serving
        assert serving.running
        loading = asyncio.ensure_future(other.next_load(serving))
        await asyncio.sleep(0.05)
        bad = msgspec.structs.replace(serving, loaded_at=NOW + timedelta(seconds=1), load_outcome="unknown key")
        await store.put_service(bad)
        assert await loading == bad
        assert await other.next_load(bad, seconds=0.05) is None
    assert not msgspec.structs.replace(serving, process="an earlier one").running
    assert not msgspec.structs.replace(serving, pid=2**22 + 1).running
