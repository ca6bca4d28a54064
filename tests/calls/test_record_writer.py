import asyncio
from collections.abc import Callable

import pytest

from comunik_pbx.calls.call_end import Decided
from comunik_pbx.calls.record_writer import RecordWriter
from comunik_pbx.calls.records import CallRecord
from comunik_pbx.forwarding.call import Call, Caller
from tests.forwarding.company import NOW


def record(channel: str, status: str | None = None) -> CallRecord:
    call = Call(caller=Caller(extension="102"), called="101")
    return CallRecord(id=channel, started_at=NOW, call=call, extension="101", decided=Decided.LIVE, status=status)


class Store:
    """Takes batches, unless it is broken or slow."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[str, str | None]]] = []
        self.broken = False
        self.gate: asyncio.Event | None = None
        self.tried = asyncio.Event()

    async def write(self, batch: list[CallRecord]) -> None:
        self.tried.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.broken:
            raise OSError("disk full")
        self.batches.append([(one.id, one.status) for one in batch])

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not true():
                self.tried.clear()
                await self.tried.wait()


@pytest.fixture
def store() -> Store:
    return Store()


async def stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_only_the_newest_of_a_call_is_written_and_the_rest_at_the_end(store: Store) -> None:
    writer = RecordWriter(store.write, gather_seconds=0.01)
    running = asyncio.create_task(writer.run())
    writer.put(record("1"))
    writer.put(record("2"))
    writer.put(record("1", "ended"))
    await store.tried.wait()
    writer.put(record("2", "answered"))
    await stopped(running)
    assert store.batches == [[("1", "ended"), ("2", None)], [("2", "answered")]]


async def test_a_record_that_comes_while_its_older_self_is_written_is_not_lost(store: Store) -> None:
    store.gate = asyncio.Event()
    writer = RecordWriter(store.write, gather_seconds=0)
    running = asyncio.create_task(writer.run())
    writer.put(record("1"))
    await store.tried.wait()
    writer.put(record("1", "ended"))
    store.gate.set()
    await store.until(lambda: len(store.batches) >= 1)
    await stopped(running)
    assert store.batches == [[("1", None)], [("1", "ended")]]


async def test_records_are_kept_while_the_store_is_broken_but_not_without_end(store: Store) -> None:
    store.broken = True
    writer = RecordWriter(store.write, gather_seconds=0, retry_seconds=0.01, most_waiting=3)
    running = asyncio.create_task(writer.run())
    for number in range(5):
        writer.put(record(str(number)))
    await store.tried.wait()
    store.broken = False
    await stopped(running)
    assert store.batches == [[("2", None), ("3", None), ("4", None)]]


async def test_a_store_that_hangs_does_not_hold_up_the_end(store: Store) -> None:
    store.gate = asyncio.Event()
    writer = RecordWriter(store.write, gather_seconds=0)
    running = asyncio.create_task(writer.run(grace_seconds=0.05))
    writer.put(record("1"))
    await store.tried.wait()
    async with asyncio.timeout(1):
        await stopped(running)


async def test_batches_are_bounded(store: Store) -> None:
    writer = RecordWriter(store.write, gather_seconds=0, batch=2)
    for number in range(5):
        writer.put(record(str(number)))
    running = asyncio.create_task(writer.run())
    await store.until(lambda: len(store.batches) >= 2)
    await stopped(running)
    assert [len(batch) for batch in store.batches] == [2, 2, 1]


@pytest.mark.parametrize(("records", "waits"), [(2, False), (3, True)])
async def test_after_a_large_batch_more_are_gathered(store: Store, records: int, waits: bool) -> None:
    writer = RecordWriter(store.write, gather_seconds=0, busy_seconds=0.2, many=2)
    running = asyncio.create_task(writer.run())
    clock = asyncio.get_running_loop().time
    for number in range(records):
        writer.put(record(str(number)))
    await store.until(lambda: len(store.batches) == 1)
    began = clock()
    writer.put(record("later"))
    await store.until(lambda: len(store.batches) == 2)
    assert (clock() - began >= 0.19) is waits
    await stopped(running)
