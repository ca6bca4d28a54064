"""SQLite as the store needs it: durable commits, one writer at a time, others' commits noticed."""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
import structlog
from asyncinotify import Inotify, Mask
from sqlalchemy import Connection, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from comunik_pbx.store.errors import (
    StoreLocked,
    StoreReplaced,
    StoreUnwritable,
    StoreUrlInvalid,
    from_sqlite,
    translated,
)

T = TypeVar("T")

log = structlog.get_logger(__name__)

EXAMPLE = "for example sqlite:///comunik.db, or sqlite:////var/lib/comunik-pbx/comunik.db"


def path_of(url: str) -> Path:
    """Find the file behind `sqlite:///relative` or `sqlite:////absolute`. Raises StoreUrlInvalid."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreUrlInvalid(f"The [store] url is not a database's URL: write one, {EXAMPLE}.") from None
    shown = parsed.render_as_string(hide_password=True)
    if parsed.get_backend_name() in {"postgresql", "postgres"}:
        raise StoreUrlInvalid(f"The [store] url {shown} asks for PostgreSQL, which is not supported yet: {EXAMPLE}.")
    if parsed.drivername not in {"sqlite", "sqlite+aiosqlite"}:
        raise StoreUrlInvalid(f"The [store] url {shown} is not of a kind we know: use SQLite, {EXAMPLE}.")
    if parsed.host:
        raise StoreUrlInvalid(f"The [store] url {shown} needs a third slash before the path: {EXAMPLE}.")
    if not parsed.database or parsed.database == ":memory:" or parsed.database.startswith("file:"):
        raise StoreUrlInvalid(f"The [store] url {shown} names no file, and rules must be kept: {EXAMPLE}.")
    if parsed.query or "\0" in parsed.database:
        raise StoreUrlInvalid(f"The [store] url {shown} may only have a path: {EXAMPLE}.")
    return Path(parsed.database)


def create(path: Path) -> None:
    """Make the file if there is none, readable by its group at most: it holds numbers.

    Raises StoreUnwritable.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))
    except FileExistsError:
        if path.is_dir():
            raise StoreUnwritable(f"The store {path} is a directory: set [store] url to a file in it.") from None
    except (FileNotFoundError, NotADirectoryError):
        raise StoreUnwritable(
            f"The store {path} cannot be made, there is no directory {path.parent}: make it, "
            "or set another [store] url."
        ) from None
    except OSError as error:
        raise StoreUnwritable(
            f"The store {path} cannot be made ({error.strerror}): let the user that runs comunik-pbx write "
            f"the directory {path.parent}, or set another [store] url."
        ) from error


def engine_for(path: Path, lock_seconds: float) -> AsyncEngine:
    """Make an engine whose transactions begin with the write lock, unless its option `reading` is set.

    `synchronous=FULL`: a commit is on the disk before it returns (sqlite.org/pragma.html#pragma_synchronous).
    `BEGIN IMMEDIATE`: what a writer has read is still true when it writes. `lock_seconds` bounds the wait for
    another process's lock.
    """
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(path)),
        connect_args={"timeout": lock_seconds},
        pool_size=3,
        max_overflow=0,
        json_serializer=lambda value: msgspec.json.encode(value).decode(),
        json_deserializer=msgspec.json.decode,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # no BEGIN but ours
        # A text that is not UTF-8 spoils its own row, not the whole reading.
        connection.driver_connection.text_factory = lambda octets: octets.decode("utf-8", "replace")
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


async def use_wal(engine: AsyncEngine, path: Path, lock_seconds: float) -> None:
    """Readers and a writer at once. The switch (once in a file's life) does not wait for locks by itself."""
    deadline = asyncio.get_running_loop().time() + lock_seconds
    while True:
        try:
            async with engine.connect() as connection:
                driver = (await connection.get_raw_connection()).driver_connection
                assert driver is not None  # noqa: S101
                [[mode]] = await driver.execute_fetchall("PRAGMA journal_mode = WAL")
        except (sqlite3.OperationalError, OperationalError) as error:
            wrong = from_sqlite(error, str(path))
            if not isinstance(wrong, StoreLocked) or asyncio.get_running_loop().time() > deadline:
                raise wrong from error
            await asyncio.sleep(0.02)
        else:
            if mode != "wal":
                raise StoreUnwritable(
                    f"The store {path} is on a file system without shared memory (a network share?): "
                    "set [store] url to a file on a local disk."
                )
            return


class _AbandonedError(Exception):
    """The caller was cancelled: roll back."""


_under_way: set[asyncio.Task[Any]] = set()  # the loop itself holds its tasks weakly


async def transaction(engine: AsyncEngine, path: Path, body: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """Run `body` in a transaction that a cancellation of the caller ends rolled back, or committed whole.

    The transaction has a task of its own, never cancelled midway: a connection cancelled while its thread
    works would keep SQLite's write lock for ever (seen with SQLAlchemy 2.1.9 and aiosqlite 0.22.1; a test
    cancels at every point). A cancelled caller waits for the statement under way and the rollback.
    """
    abandoned = False

    async def run() -> T:
        async with engine.begin() as connection:
            result = await body(connection)
            if abandoned:
                raise _AbandonedError
            return result

    task = asyncio.create_task(run(), name="store transaction")
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)
    try:
        with translated(str(path)):
            return await asyncio.shield(task)
    except asyncio.CancelledError:
        abandoned = True
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # nobody is left to be told
        raise


TICK = 0.02  # seconds between looks at the version while somebody writes
AWAKE = 1.0  # seconds after the last write in which a commit is expected
TOLD = 0.2  # … and after one was seen: the next writer's first bytes may have been read together with its last
TOLD_TICK = 0.04  # … in which it is looked for less often
DOZE = 1.0  # seconds between looks when nobody writes: inotify is trusted, but not blindly


async def commits(path: Path, counter: str = "") -> AsyncGenerator[None, None]:
    """Yield at once, then whenever any connection of any process has committed, within about 25 ms.

    With `counter` only if that one of `changes` is another than before, or is not there.

    inotify tells of the write to the file or its WAL, `PRAGMA data_version` of the commit, which comes later
    (by the sync to the disk). Both on the event loop: the pragma takes 5 µs and waits for nothing. Polling
    alone, every 20 ms, cost 0.8 % of a core in a thread, 1.5 % on the loop and 2.5 % through aiosqlite's
    thread; this costs nearly none while nobody writes.
    """
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=0, isolation_level=None)
    writes: Inotify | None = None
    try:
        writes = _writes_beside(path)
        loop = asyncio.get_running_loop()
        seen, awake_until, inode, tick = -1, 0.0, _inode(path), TICK
        told: int | None = None
        while True:
            if _inode(path) != inode:
                raise StoreReplaced(f"The store {path} was removed or replaced while in use: restart the service.")
            if (version := _data_version(connection, seen)) != seen:
                seen = version
                awake_until, tick = min(awake_until, loop.time() + TOLD), TOLD_TICK
                count = _count(connection, counter) if counter else None
                if count is None or count != told:
                    told = count
                    yield
            if writes is None:
                await asyncio.sleep(TICK)
                continue
            if loop.time() < awake_until:
                await asyncio.sleep(tick)
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(DOZE):
                        await writes.get()
                        awake_until, tick = loop.time() + AWAKE, TICK
                if loop.time() < awake_until:
                    await asyncio.sleep(TICK / 4)  # more events of this write, and its commit
            while writes.sync_get() is not None:
                awake_until, tick = loop.time() + AWAKE, TICK
    finally:
        connection.close()
        if writes is not None:
            writes.close()


def _writes_beside(path: Path) -> Inotify | None:
    try:
        writes = Inotify(sync_timeout=0)
        writes.add_watch(path.parent, Mask.MODIFY)
    except OSError as error:
        log.warning("no inotify, polling the store instead", why=str(error))
        return None
    return writes


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _count(connection: sqlite3.Connection, counter: str) -> int | None:
    """A counter, on the event loop: it takes some microseconds. None if it cannot be read now, or is not there."""
    try:
        found = connection.execute("SELECT count FROM changes WHERE what = ?", (counter,)).fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return None
    return None if found is None else int(found[0])


def _data_version(connection: sqlite3.Connection, seen: int) -> int:
    try:
        [version] = connection.execute("PRAGMA data_version").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return seen
    return int(version)
