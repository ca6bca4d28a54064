"""Records on their way to the store: gathered, written in batches, kept while the store cannot take them."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from comunik_pbx.calls.records import CallRecord

log = structlog.get_logger(__name__)


class RecordWriter:
    """A RecordSink that writes behind. `write` gets a batch and raises if it could not be written.

    A batch is gathered for `gather_seconds` and has at most `batch` records; of one call only the newest is written.
    After a batch of more than `many` records the next is gathered for `busy_seconds`: a transaction costs about as
    much for one record as for fifty, and the store's watchers wake up at each.
    While `write` fails it is tried again every `retry_seconds`, and at most `most_waiting` records are kept: then
    the oldest go, and the log says so. Calls never wait for any of it. `lost` counts those that went, `failing` says
    whether the last batch could not be written.
    """

    def __init__(
        self,
        write: Callable[[list[CallRecord]], Awaitable[None]],
        *,
        gather_seconds: float = 0.25,
        busy_seconds: float = 1.0,
        many: int = 2,
        retry_seconds: float = 2.0,
        batch: int = 500,
        most_waiting: int = 20_000,
    ) -> None:
        self._write = write
        self._gather_seconds = gather_seconds
        self._busy_seconds = busy_seconds
        self._many = many
        self._retry_seconds = retry_seconds
        self._batch = batch
        self._most_waiting = most_waiting
        self._waiting: dict[str, CallRecord] = {}
        self._any = asyncio.Event()
        self._lost = 0  # not yet said
        self.lost = 0
        self.failing = False

    @property
    def waiting(self) -> int:
        """Records not yet in the store."""
        return len(self._waiting)

    def put(self, record: CallRecord) -> None:
        """Take a record; never waits."""
        if record.id not in self._waiting and len(self._waiting) >= self._most_waiting:
            del self._waiting[next(iter(self._waiting))]
            self._lost += 1
            self.lost += 1
        self._waiting[record.id] = record
        self._any.set()

    async def run(self, grace_seconds: float = 2.0) -> None:
        """Write until cancelled; then what is left, within `grace_seconds`."""
        try:
            failed, written = False, 0
            while True:
                await self._any.wait()
                gather_seconds = self._busy_seconds if written > self._many else self._gather_seconds
                await asyncio.sleep(self._retry_seconds if failed else gather_seconds)
                written = await self._flush(quiet=failed)
                failed = not written
        finally:
            try:
                async with asyncio.timeout(grace_seconds):
                    while self._waiting and await self._flush(quiet=False):
                        pass
            except TimeoutError:
                pass
            if self._waiting:
                log.error("call records could not be written before the end", records=len(self._waiting))

    async def _flush(self, quiet: bool) -> int:
        """Write one batch; how many records it had, 0 if the store would not take it."""
        taken = dict(zip(self._waiting, [*self._waiting.values()][: self._batch], strict=False))
        try:
            await self._write(list(taken.values()))
        except Exception as error:
            self.failing = True
            if not quiet:
                log.error("call records cannot be written, and are kept", records=len(self._waiting), why=str(error))
            return 0
        self.failing = False
        for channel_id, record in taken.items():
            if self._waiting.get(channel_id) is record:  # else a newer one came meanwhile
                del self._waiting[channel_id]
        if not self._waiting:
            self._any.clear()
        if self._lost:
            log.error("call records were lost while the store could not take them", records=self._lost)
            self._lost = 0
        return len(taken)
