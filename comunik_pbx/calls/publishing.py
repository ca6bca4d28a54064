"""Publishing: AstDB holds, at any moment, what the dialplan needs to do without the service.

    the snapshot changes, a rule ends, Asterisk (re)starts → what is wanted → the differences → AMI

One task does it, a few milliseconds at a time, so that no live call waits for it. It remembers what AstDB holds and
writes only differences; after each connection to Asterisk, and when its own mark in AstDB is missing
(somebody wiped it, an old copy was restored), it reads AstDB and starts from what is really there.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Protocol, TypeVar

import structlog

from comunik_pbx.asterisk.errors import AsteriskError
from comunik_pbx.calls.fallback_plans import FAMILY
from comunik_pbx.calls.snapshot import SnapshotSource
from comunik_pbx.calls.wanted_plans import Change, WantedPlans

log = structlog.get_logger(__name__)

RETRY_SECONDS = 5.0
"""After a failure."""

CHECK_SECONDS = 60.0
"""How often the mark is looked for, and rules that have ended are tidied away (they no longer act anyhow)."""

RECONCILE_SECONDS = 600.0
"""How often all of it is read back, in case somebody changed single entries."""

SLICE_SECONDS = 0.002
"""How long the event loop is kept before others have their turn."""

WRITE_AT_ONCE = 100

MARK = "mark/service"
"""Our own entry, another at each start of the service; it is written when all the others are there."""

T = TypeVar("T")


class FallbackDatabase(Protocol):
    """AstDB, as `AmiClient` offers it. Both raise AsteriskError if it cannot be reached."""

    async def db_get_tree(self, family: str) -> dict[str, str]:
        """All entries of a family: full key `/family/key` to value."""

    async def db_write(self, family: str, changes: Sequence[Change]) -> None:
        """Write in this order; None deletes."""


class Publisher:
    """Keeps AstDB in step with the newest snapshot.

    Call `changed` after each new snapshot, and `reconcile` whenever AstDB may have changed by itself. `written` counts
    entries written and deleted, `pending` those found to differ and not yet written; `lag_seconds` is how long the
    newest change took until Asterisk had it (None: there was none yet).
    """

    def __init__(
        self,
        database: FallbackDatabase,
        snapshot: SnapshotSource,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        check_seconds: float = CHECK_SECONDS,
        reconcile_seconds: float = RECONCILE_SECONDS,
    ) -> None:
        self._database = database
        self._snapshot = snapshot
        self._clock = clock
        self._check_seconds, self._reconcile_seconds = check_seconds, reconcile_seconds
        self._wanted = WantedPlans()
        self._stored: dict[str, str] = {}  # what AstDB holds, unless
        self._unknown = True
        self._read_at = 0.0  # monotonic seconds
        self._mark = secrets.token_hex(8)
        self._due = asyncio.Event()
        self._changed_at: float | None = None  # monotonic seconds: the oldest change not yet taken in hand
        self._in_hand_since: float | None = None
        self._in_step = asyncio.Event()
        self._told = ""
        self.written = 0
        self.pending = 0
        self.lag_seconds: float | None = None

    @property
    def behind_seconds(self) -> float:
        """How long the oldest change has been waiting until Asterisk has it; 0.0 if none is."""
        since = self._changed_at if self._in_hand_since is None else self._in_hand_since
        return 0.0 if since is None else time.monotonic() - since

    async def in_step(self) -> None:
        """Wait until Asterisk has every change so far."""
        await self._in_step.wait()

    def changed(self) -> None:
        """There is a new snapshot."""
        if self._changed_at is None:
            self._changed_at = time.monotonic()
        self._in_step.clear()
        self._due.set()

    def reconcile(self) -> None:
        """AstDB may hold anything: Asterisk (re)started or reloaded, or was out of reach."""
        self._unknown = True
        self.changed()

    async def run(self) -> None:
        """Publish until cancelled. What fails is tried again."""
        while True:
            try:
                async with asyncio.timeout(self._check_seconds):
                    await self._due.wait()
            except TimeoutError:
                pass
            self._due.clear()
            if not await self._round():
                await asyncio.sleep(min(RETRY_SECONDS, self._check_seconds))
                self._due.set()

    async def _round(self) -> bool:
        """Publish what is to be; False if it could not be."""
        self._in_hand_since, self._changed_at = self._changed_at, None
        try:
            await self._publish()
        except AsteriskError as error:
            self._unknown = True
            self._changed_at = self._in_hand_since or time.monotonic()
            self._in_step.clear()
            if self._told != (why := str(error)):  # not at every attempt
                self._told = why
                log.warning("fallback plans are not published", why=why)
            return False
        else:
            self._told = ""
            if self._in_hand_since is not None:
                self.lag_seconds = self.behind_seconds
            if self._changed_at is None:
                self._in_step.set()
            return True
        finally:
            self._in_hand_since = None

    async def _publish(self) -> None:
        """One round. Changes may come all the time: AstDB is looked at each time, whether it is what we left it."""
        began = time.monotonic()
        if not self._unknown:
            its_mark = await self._database.db_get_tree(_MARK_FAMILY)
            self._unknown = (
                its_mark != {f"/{FAMILY}/{MARK}": self._mark} or began > self._read_at + self._reconcile_seconds
            )
        everywhere, self._unknown = self._unknown, False
        if everywhere:
            await self._read()
            self._read_at = began
        async for _ in _sliced(self._wanted.follow(self._snapshot(), self._clock())):
            pass
        written = await self._write(everywhere)
        if written:
            log.info("fallback plans published", entries=written, seconds=round(time.monotonic() - began, 3))
        if everywhere and self._stored.get(MARK) != self._mark:
            await self._database.db_write(FAMILY, [(MARK, self._mark)])
            self._stored[MARK] = self._mark

    async def _read(self) -> None:
        found = await self._database.db_get_tree(FAMILY)
        self._stored = {}
        async for key, value in _sliced(found.items()):
            self._stored[key[len(FAMILY) + 2 :]] = value

    async def _write(self, everywhere: bool) -> int:
        differences = _sliced(self._wanted.differences(self._stored, everywhere=everywhere))
        changes = [change async for change in differences if change is not None and change[0] != MARK]
        self.pending = len(changes)
        for start in range(0, len(changes), WRITE_AT_ONCE):
            await self._write_some(changes[start : start + WRITE_AT_ONCE])
        return len(changes)

    async def _write_some(self, changes: list[Change]) -> None:
        await self._database.db_write(FAMILY, changes)
        for key, value in changes:
            if value is None:
                del self._stored[key]
            else:
                self._stored[key] = value
        self.written += len(changes)
        self.pending -= len(changes)


_MARK_FAMILY = f"{FAMILY}/{MARK.partition('/')[0]}"


async def _sliced(steps: Iterable[T]) -> AsyncIterator[T]:
    """The same, giving way to others every `SLICE_SECONDS`."""
    began = time.perf_counter()
    for step in steps:
        yield step
        if time.perf_counter() - began > SLICE_SECONDS:
            await asyncio.sleep(0)
            began = time.perf_counter()
