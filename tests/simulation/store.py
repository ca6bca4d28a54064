"""The store as the service sees it, in memory: its disk outlives the service, can be slow, and can be full."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

import msgspec

from comunik_pbx.forwarding.rules import Rules
from comunik_pbx.store import CallRow, NewTarget, StoreError
from comunik_pbx.store.rows import Service
from tests.simulation.loop import PROCESS

if TYPE_CHECKING:
    from tests.simulation.world import World


class Disk:
    """What is stored: the rules, with all that were ever in force, and the newest row of each call.

    `keeps_closed`: an open record does not replace a closed one, nor one of unknown end a complete one
    (`comunik_pbx.store.call_log`).
    """

    keeps_closed = True

    def __init__(self, world: "World") -> None:
        self.world = world
        self.rules: Rules = {}
        self.changes = 0
        self.calls: dict[str, CallRow] = {}
        self.full_until = 0.0
        self.slow = 1.0
        self._watchers: dict[asyncio.Event, Any] = {}

    def change(self, rules: Rules) -> None:
        """Somebody changed the rules: in another process, so the service has to notice."""
        self.rules = rules
        self.changes += 1
        self.world.truth.rules_changed(rules)
        for event, process in list(self._watchers.items()):
            process.later(self.world.chance.uniform(0.001, 0.04) * self.slow, event.set)

    def watching(self, event: asyncio.Event) -> None:
        self._watchers[event] = PROCESS.get()

    async def open(self, _: str) -> "SimulatedStore":
        return SimulatedStore(self)


class SimulatedStore:
    """`comunik_pbx.store.Store`, as much of it as the service uses."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.allow_list = self
        self.proven = self

    async def enabled(self) -> tuple[str, ...]:
        """The numbers an administrator allows (`comunik_pbx.store.allow_list`): none here."""
        await self._takes()
        return ()

    async def by_extension(self) -> dict[str, frozenset[str]]:
        """The numbers that users have proven (`comunik_pbx.store.proven`): none here."""
        return {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def _takes(self, *, writes: bool = False) -> None:
        await asyncio.sleep(self._disk.world.chance.uniform(0.0002, 0.004) * self._disk.slow)
        if writes and self._disk.full_until > self._disk.world.loop.time():
            raise StoreError("the disk is full")

    async def rules(self) -> Rules:
        rules = self._disk.rules
        await self._takes()
        return rules

    async def untold_targets(self) -> list[NewTarget]:
        return []

    async def rules_written(self) -> int:
        return self._disk.changes

    async def watch(self) -> AsyncGenerator[None, None]:
        changed = asyncio.Event()
        self._disk.watching(changed)
        while True:
            changed.clear()
            yield
            await changed.wait()

    async def put_calls(self, rows: Sequence[CallRow]) -> None:
        await self._takes(writes=True)
        for row in rows:
            before = self._disk.calls.get(row.id)
            if self._disk.keeps_closed and before is not None and _knows_more(before, row):
                continue
            self._disk.world.truth.written(row)
            self._disk.calls[row.id] = row

    async def close_calls(self, alive: Collection[str], before: datetime, ended: Collection[str] = ()) -> int:
        await self._takes(writes=True)
        missed = [
            row
            for row in self._disk.calls.values()
            if row.ended_at is None and row.started_at < before
            if row.id not in ended and row.id.partition("#")[0] not in alive
        ]
        for row in missed:
            closed = msgspec.structs.replace(row, ended_at=before, status="unknown")
            self._disk.world.truth.written(closed)
            self._disk.calls[row.id] = closed
        return len(missed)

    async def calls(
        self, limit: int = 50, extension: str | None = None, after: datetime | None = None
    ) -> list[CallRow]:
        await self._takes()
        rows = [row for row in self._disk.calls.values() if after is None or row.started_at > after]
        return sorted(rows, key=lambda row: row.started_at, reverse=True)[:limit]

    async def put_service(self, running: Service) -> None:
        await self._takes(writes=True)

    async def forget_calls(self, before: datetime) -> int:
        await self._takes()
        return 0


def _knows_more(before: CallRow, row: CallRow) -> bool:
    return before.ended_at is not None and (row.ended_at is None or "unknown" == row.status != before.status)
