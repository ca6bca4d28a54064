"""The store: open it, read and change rules, write and read call records, notice others' changes."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog
from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from comunik_pbx.forwarding.directory import Directory
from comunik_pbx.forwarding.rules import Destination, ExtensionRules, Rule, RuleKind, Rules
from comunik_pbx.store import call_log, rule_changes
from comunik_pbx.store.accounts import Accounts
from comunik_pbx.store.allow_list import AllowList
from comunik_pbx.store.checked_rules import CheckedRules
from comunik_pbx.store.errors import StoreLocked, StoreRefused, translated
from comunik_pbx.store.migrate import migrate, up_to_date
from comunik_pbx.store.proven import ProvenNumbers
from comunik_pbx.store.rows import UNREADABLE, CallRow, Change, NewTarget, Service, plain
from comunik_pbx.store.sqlite import commits, create, engine_for, path_of, transaction, use_wal
from comunik_pbx.store.tables import changes, service

T = TypeVar("T")

log = structlog.get_logger(__name__)

CALLS_KEPT = timedelta(days=90)  # how long call records are kept unless told otherwise
_FORGOTTEN_AT_ONCE = 1000  # records per transaction, so that writers of rules never wait for long


class Store:
    """An open store. Every method raises StoreError only; a change is on the disk before its method returns.

    A write that is cancelled leaves nothing behind, or all of it if its commit was under way.
    """

    def __init__(self, engine: AsyncEngine, path: Path, lock_seconds: float = 5.0) -> None:
        self.path = path
        self._lock_seconds = lock_seconds
        self._one_writer = asyncio.Lock()
        self.complaints: tuple[str, ...] = ()
        self._engine = engine
        self._readers = engine.execution_options(reading=True)
        self.accounts = Accounts(self._write, self._read)
        self.allow_list = AllowList(self._write, self._read)
        self.proven = ProvenNumbers(self._write, self._read)

    @classmethod
    async def open(cls, url: str, lock_seconds: float = 5.0) -> "Store":
        """Open `sqlite:///…`, making the file and migrating its tables as needed.

        `lock_seconds` bounds every wait for another process's lock. Raises the classes of `errors`.
        """
        path = path_of(url)
        create(path)
        engine = engine_for(path, lock_seconds)
        try:
            with translated(str(path)):
                await use_wal(engine, path, lock_seconds)
            reading = engine.execution_options(reading=True)
            if not await transaction(reading, path, lambda c: c.run_sync(up_to_date, str(path))):
                await transaction(engine, path, lambda c: c.run_sync(migrate, str(path)))
        except BaseException:
            await engine.dispose()
            raise
        return cls(engine, path, lock_seconds)

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()

    async def __aenter__(self) -> "Store":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # Rules

    async def rules(self) -> dict[str, ExtensionRules]:
        """Read the users' rules by extension; those of the configuration are not among them.

        A row that cannot be read (written by hand) is left out: `complaints` holds a sentence for each such
        row of the last reading, and each is logged when it appears.
        """
        rules, complaints = await self._read(rule_changes.read_all)
        for complaint in complaints:
            if complaint not in self.complaints:
                log.error(complaint)
        self.complaints = tuple(complaints)
        return rules

    def checked(self, directory: Directory, defaults: Rules, *, vouched: bool = False) -> CheckedRules:
        """Changes of rules, checked as they are written; `defaults` are the configuration's rules.

        `vouched` by an administrator, outside numbers need no other proof.
        """
        return CheckedRules(self._write, directory, defaults, vouched=vouched)

    async def set_rule(
        self,
        extension: str,
        kind: RuleKind,
        to: Destination,
        *,
        rings: int = 0,
        until: datetime | None = None,
        enabled: bool = True,
        by: str,
        at: datetime | None = None,
    ) -> Rule:
        """Set a rule, whatever was there. `rings` 0 to 12; `until` aware; `by` who asks, `at` when (now).

        Whether the destination may be dialled is the caller's to know, or `checked`'s. Raises StoreRefused for an
        impossible rule.
        """
        wanted = Rule(
            extension=extension,
            kind=kind,
            to=to,
            rings=rings,
            until=_utc(until),
            enabled=enabled,
            changed_by=by,
            changed_at=_utc(at or datetime.now(UTC)),
        )
        return await self._write(lambda c: rule_changes.put(c, wanted))

    async def set_rules(self, wanted: Sequence[Rule], *, by: str, at: datetime | None = None) -> list[Rule]:
        """Set several rules in one transaction, all or none. `by` and `at` stand for those of the rules."""
        moment = _utc(at or datetime.now(UTC))
        stamped = [
            msgspec.structs.replace(rule, until=_utc(rule.until), changed_by=by, changed_at=moment) for rule in wanted
        ]

        async def put_all(connection: AsyncConnection) -> list[Rule]:
            return [await rule_changes.put(connection, rule) for rule in stamped]

        return await self._write(put_all)

    async def set_enabled(
        self, extension: str, kind: RuleKind, enabled: bool, *, by: str, at: datetime | None = None
    ) -> Rule:
        """Switch a rule on or off; its destination stays. Raises RuleMissing."""
        moment = _utc(at) or datetime.now(UTC)
        return await self._write(lambda c: rule_changes.switch(c, extension, kind, enabled, by=by, at=moment))

    async def clear_rule(self, extension: str, kind: RuleKind, *, by: str, at: datetime | None = None) -> bool:
        """Remove a rule. False if there was none."""
        moment = _utc(at) or datetime.now(UTC)
        return await self._write(lambda c: rule_changes.clear(c, extension, kind, by, moment))

    async def history(self, extension: str | None = None, limit: int = 50) -> list[Change]:
        """Who changed which rule when, newest first."""
        return await self._read(lambda c: rule_changes.read_history(c, extension, limit))

    async def untold_targets(self) -> list[NewTarget]:
        """Outside numbers that extensions had never forwarded to before, of which nobody was told yet."""
        return await self._read(rule_changes.untold_targets)

    async def told_targets(self, targets: Sequence[NewTarget]) -> None:
        """Remember that somebody was told."""
        await self._write(lambda c: rule_changes.told_targets(c, targets))

    async def rules_written(self) -> int:
        """How often rules have been changed so far, by anybody."""
        return await self._count("rules") or 0

    async def watch(self) -> AsyncGenerator[None, None]:
        """Yield at once, then after every change of rules by any process (also by hand), within 50 ms.

        Yielding first closes the gap between a first reading and the watch: read the rules on every yield.
        Changes made while the consumer works are told in one more yield. Wrap it in `contextlib.aclosing` to
        end it early.
        """
        with translated(str(self.path)):
            async with aclosing(commits(self.path, "rules")) as news:
                async for _ in news:
                    yield

    # Call records

    async def put_calls(self, rows: Sequence[CallRow]) -> None:
        """Write call records in one transaction, each replacing one of the same id."""
        await self._write(lambda c: call_log.put(c, rows))

    async def calls(
        self, limit: int = 50, extension: str | None = None, after: datetime | None = None
    ) -> list[CallRow]:
        """Read the newest calls first: to one extension, begun after a moment."""
        moment = _utc(after)
        return await self._read(lambda c: call_log.newest(c, limit, extension, moment))

    async def close_calls(self, alive: Collection[str], before: datetime, ended: Collection[str] = ()) -> int:
        """Close as unknown the open records of calls begun before a moment whose channels are not alive; how many.

        `alive` are UNIQUEIDs of channels, `ended` the ids of records whose end is known, and about to be written.
        For a service that starts: nobody will tell it how the others ended.
        """
        moment, now = _utc(before) or before, datetime.now(UTC)
        return await self._write(lambda c: call_log.close(c, alive, moment, ended, now))

    async def calls_written(self) -> int:
        """How many records have been written so far: where `follow_calls` may begin."""
        return await self._count("calls") or 0

    async def follow_calls(self, since: int | None = None) -> AsyncGenerator[CallRow, None]:
        """Yield every record written from now on (or `since`) by any process, in the order written, updates too."""
        last = since
        with translated(str(self.path)):
            async with aclosing(commits(self.path)) as news:
                async for _ in news:
                    if last is None:
                        last = await self.calls_written()
                    while True:
                        rows, newest = await self._read(partial(call_log.changed_since, change=last))
                        if newest == last:
                            break
                        last = newest
                        for row in rows:
                            yield row

    async def forget_calls(self, before: datetime | None = None) -> int:
        """Delete the records of calls begun before a moment (90 days ago); how many it were."""
        moment = _utc(before) or datetime.now(UTC) - CALLS_KEPT
        total = 0
        while True:
            gone = await self._write(lambda c: call_log.forget(c, moment, _FORGOTTEN_AT_ONCE))
            total += gone
            if gone < _FORGOTTEN_AT_ONCE:
                return total

    # The running service

    async def put_service(self, running: Service) -> None:
        """Say which process serves, and how its last load of the configuration went."""
        columns = {"node": "local", **msgspec.structs.asdict(running)}
        upsert = insert(service).values(**columns)
        upsert = upsert.on_conflict_do_update(index_elements=["node"], set_=columns)
        await self._write(lambda c: c.execute(upsert))

    async def service(self) -> Service | None:
        """Read which service said so last, None if none ever did; look at `running` before signalling it."""
        query = rule_changes.raw(service).where(service.c.node == "local")
        row = (await self._read(lambda c: c.execute(query))).mappings().one_or_none()
        try:
            return None if row is None else msgspec.convert(plain(row), Service, strict=False)
        except UNREADABLE as error:
            log.error("the service's row in the store cannot be read", why=str(error))
            return None

    async def next_load(self, before: Service, seconds: float = 10.0) -> Service | None:
        """Await the service's next load of its configuration after that of `before`; None if none comes."""
        try:
            async with asyncio.timeout(seconds), aclosing(commits(self.path)) as news:
                async for _ in news:
                    now = await self.service()
                    if now is not None and (now.loaded_at, now.process) != (before.loaded_at, before.process):
                        return now
        except TimeoutError:
            pass
        return None

    async def _write(self, body: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """One after the other: SQLite has those who wait for its lock sleep ever longer, in no order."""
        try:
            async with asyncio.timeout(self._lock_seconds):
                await self._one_writer.acquire()
        except TimeoutError:
            raise StoreLocked(f"The store {self.path} is still being written ({self._lock_seconds:g} s).") from None
        try:
            return await transaction(self._engine, self.path, body)
        finally:
            self._one_writer.release()

    async def _read(self, body: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        return await transaction(self._readers, self.path, body)

    async def _count(self, what: str) -> int | None:
        async def count(connection: AsyncConnection) -> int | None:
            return (await connection.execute(select(changes.c.count).where(changes.c.what == what))).scalar()

        return await self._read(count)


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise StoreRefused(f"{moment.isoformat()} has no time zone: add one, such as {moment.isoformat()}+01:00.")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise StoreRefused(f"{moment.isoformat()} is out of the calendar: choose a nearer moment.") from None
