import asyncio
import random
import sqlite3
from pathlib import Path

from comunik_pbx.forwarding.rules import RuleKind, ToExtension, ToVoicemail
from comunik_pbx.store import Store
from tests.store.killed import killed_again_and_again


async def test_every_confirmed_change_survives_kill_9(path: Path) -> None:
    async with asyncio.timeout(60):
        assert await killed_again_and_again(path, (60, 100, 140)) >= 300


def take_and_leave_the_lock(path: Path) -> None:
    other = sqlite3.connect(path, timeout=2, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("ROLLBACK")
    other.close()


async def test_a_cancelled_writer_leaves_all_or_nothing_and_never_a_lock(store: Store, path: Path) -> None:
    """A writer is cancelled at any point; the next one's commit must not carry the abandoned row."""
    chance = random.Random(7)
    for n in range(1, 120):
        writer = asyncio.create_task(store.set_rule(str(n), RuleKind.ALWAYS, ToVoicemail(), by="cancelled"))
        if n % 2:
            for _ in range(chance.randrange(40)):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(chance.random() * 0.006)
        writer.cancel()
        [outcome] = await asyncio.gather(writer, return_exceptions=True)
        rules, history = await store.rules(), await store.history(str(n))
        assert (str(n) in rules) == bool(history)
        if not isinstance(outcome, BaseException):
            assert str(n) in rules
        await asyncio.to_thread(take_and_leave_the_lock, path)
        before = set(await store.rules())
        await store.set_rule("9999", RuleKind.ALWAYS, ToExtension("1"), by="next")
        assert set(await store.rules()) - before <= {"9999"}
    assert store._engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_a_writer_cancelled_while_it_waits_for_the_lock_leaves_nothing(store: Store, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writer = asyncio.create_task(store.set_rule("101", RuleKind.ALWAYS, ToVoicemail(), by="cancelled"))
    await asyncio.sleep(0.05)
    writer.cancel()
    await asyncio.sleep(0.02)
    other.execute("ROLLBACK")
    other.close()
    [outcome] = await asyncio.gather(writer, return_exceptions=True)
    assert isinstance(outcome, asyncio.CancelledError)
    await store.set_rule("102", RuleKind.ALWAYS, ToVoicemail(), by="next")
    assert set(await store.rules()) == {"102"}
    assert await store.history("101") == []


async def test_cancelled_readers_give_their_connections_back(store: Store) -> None:
    for n in range(60):
        reader = asyncio.create_task(store.rules())
        for _ in range(n % 20):
            await asyncio.sleep(0)
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
    async with asyncio.timeout(5):
        await asyncio.gather(*(store.rules() for _ in range(10)))
    assert store._engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_an_opening_cancelled_at_any_point_leaves_no_lock(path: Path) -> None:
    for n in range(40):
        opening = asyncio.create_task(Store.open(f"sqlite:///{path}"))
        await asyncio.sleep(n * 0.002)
        opening.cancel()
        [opened] = await asyncio.gather(opening, return_exceptions=True)
        if isinstance(opened, Store):
            await opened.close()
    await asyncio.to_thread(take_and_leave_the_lock, path)
    async with await Store.open(f"sqlite:///{path}") as store:
        assert await store.rules() == {}


async def test_writers_at_once_take_turns(store: Store, path: Path) -> None:
    async with await Store.open(f"sqlite:///{path}") as other:
        await asyncio.gather(
            *(s.set_rule("101", RuleKind.ALWAYS, ToExtension("102"), by="x") for s in (store, other) * 15)
        )
    assert [change.version for change in await store.history("101")] == list(range(30, 0, -1))
