import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event

from comunik_pbx.forwarding.rules import RuleKind, ToVoicemail
from comunik_pbx.store import (
    Store,
    StoreCorrupt,
    StoreError,
    StoreForeign,
    StoreFromNewerVersion,
    StoreFull,
    StoreLocked,
    StoreUnwritable,
    StoreUrlInvalid,
)
from comunik_pbx.store.migrate import MIGRATIONS
from comunik_pbx.store.tables import HEAD, metadata


async def refused(url: str | Path, kind: type[StoreError], *words: str) -> None:
    if isinstance(url, Path):
        url = f"sqlite:///{url}"
    with pytest.raises(kind) as caught:
        await Store.open(url, lock_seconds=0.2)
    said = str(caught.value)
    assert type(caught.value) is kind
    assert "\n" not in said
    for word in words:
        assert word in said


async def test_a_new_store_is_durable_shared_and_private(path: Path) -> None:
    async with await Store.open(f"sqlite:///{path}") as store, store._engine.connect() as connection:
        assert (await connection.exec_driver_sql("PRAGMA journal_mode")).scalar() == "wal"
        assert (await connection.exec_driver_sql("PRAGMA synchronous")).scalar() == 2
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0


async def test_migrations_make_exactly_the_tables_and_head_is_the_newest(store: Store, path: Path) -> None:
    assert ScriptDirectory(MIGRATIONS).get_heads() == [HEAD]
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


async def test_open_again_changes_nothing(store: Store, path: Path) -> None:
    await store.set_rule("101", RuleKind.ALWAYS, ToVoicemail(), by="test")
    async with await Store.open(f"sqlite+aiosqlite:///{path}") as again:
        assert await again.rules() == await store.rules()


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("postgresql://comunik:hush@db/comunik", "not supported yet"),
        ("postgresql+asyncpg://db/comunik", "not supported yet"),
        ("postgres://db/comunik", "not supported yet"),
        ("mysql://db/comunik", "use SQLite"),
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///file:x?mode=memory", "names no file"),
        ("sqlite://comunik.db", "third slash"),
        ("sqlite:///comunik.db?mode=ro", "only have a path"),
        ("comunik.db", "not a database's URL"),
        ("", "not a database's URL"),
    ],
)
async def test_a_bad_url_is_explained(url: str, word: str) -> None:
    with pytest.raises(StoreUrlInvalid, match=word) as caught:
        await Store.open(url)
    assert "sqlite:///comunik.db" in str(caught.value)
    assert "hush" not in str(caught.value)


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    await refused(tmp_path / "nowhere" / "x.db", StoreUnwritable, f"no directory {tmp_path}/nowhere", "make it")


async def test_a_directory_is_no_store(tmp_path: Path) -> None:
    await refused(tmp_path, StoreUnwritable, "is a directory")


async def test_a_file_as_directory(path: Path) -> None:
    path.touch()
    await refused(path / "x.db", StoreUnwritable, "no directory")


async def test_where_nobody_may_write() -> None:
    await refused(Path("/proc/comunik.db"), StoreUnwritable, "/proc", "another [store] url")


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


AS_NOBODY = """
import asyncio, os, sys
from comunik_pbx.store import Store, StoreUnwritable
import sqlalchemy.dialects.sqlite.aiosqlite, aiosqlite
if os.geteuid() == 0:
    os.setegid(65534); os.seteuid(65534)
async def main():
    try:
        await Store.open("sqlite:///" + sys.argv[1])
    except StoreUnwritable as error:
        print(error)
asyncio.run(main())
"""


@pytest.mark.parametrize("there", [True, False])
async def test_read_only_for_this_user(open_to_all: Path, there: bool) -> None:
    path = open_to_all / "comunik.db"
    if there:
        await (await Store.open(f"sqlite:///{path}")).close()
        path.chmod(0o444)
    open_to_all.chmod(0o555)
    try:
        program = [sys.executable, "-c", AS_NOBODY, str(path)]
        done = await asyncio.to_thread(subprocess.run, program, capture_output=True, text=True, timeout=30)
    finally:
        open_to_all.chmod(0o755)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    assert str(path) in done.stdout
    assert "let the user that runs comunik-pbx write" in done.stdout


async def test_from_a_newer_version(store: Store, path: Path) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    await refused(path, StoreFromNewerVersion, "newer comunik-pbx", "9999", HEAD)


async def test_of_another_program(path: Path) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE cdr (id)")
    connection.close()
    await refused(path, StoreForeign, "another program", "cdr")


@pytest.mark.parametrize("content", [b"not a database" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
async def test_not_a_database(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    await refused(path, StoreCorrupt, "damaged or is not a database", "backup")
    assert path.read_bytes() == content


async def test_damaged_inside(path: Path) -> None:
    async with await Store.open(f"sqlite:///{path}") as store:
        await store.set_rule("101", RuleKind.ALWAYS, ToVoicemail(), by="test")
    octets = bytearray(path.read_bytes())
    octets[4096:] = b"\xa5" * (len(octets) - 4096)
    path.write_bytes(octets)
    with pytest.raises(StoreCorrupt, match="backup"):
        async with await Store.open(f"sqlite:///{path}") as store:
            await store.rules()


async def test_a_table_gone(store: Store, path: Path) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("DROP TABLE rules")
    connection.close()
    with pytest.raises(StoreCorrupt, match="no such table"):
        await store.rules()


async def test_locked_beyond_the_timeout(store: Store, path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    async with await Store.open(f"sqlite:///{path}", lock_seconds=0.2) as other:
        assert await other.rules() == {}, "readers do not wait, a service that starts among them"
        with pytest.raises(StoreLocked, match="locked by another process"):
            await other.set_rule("101", RuleKind.ALWAYS, ToVoicemail(), by="test")
        connection.execute("ROLLBACK")
        await other.set_rule("101", RuleKind.ALWAYS, ToVoicemail(), by="test")
    connection.close()


async def test_a_new_store_locked_beyond_the_timeout(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    await refused(path, StoreLocked, "locked by another process", "try again")
    connection.execute("ROLLBACK")
    connection.close()
    await (await Store.open(f"sqlite:///{path}")).close()


async def test_disk_full_changes_nothing_and_is_said(store: Store, path: Path) -> None:
    kept = await store.set_rule("101", RuleKind.ALWAYS, ToVoicemail(), by="test")
    await store._engine.dispose()

    @event.listens_for(store._engine.sync_engine, "begin")
    def fill(connection: object) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")  # type: ignore[attr-defined]

    async def until_full() -> None:
        for _ in range(200):
            await store.set_rule("102", RuleKind.ALWAYS, ToVoicemail(), by="x" * 4000)

    with pytest.raises(StoreFull, match="free some space"):
        await until_full()
    assert (await store.rules())["101"].always == kept


OPENER = """
import asyncio, sys
from comunik_pbx.store import Store
async def main():
    print("ready", flush=True); sys.stdin.readline()
    await (await Store.open("sqlite:///" + sys.argv[1])).close()
asyncio.run(main())
"""


async def test_processes_starting_at_once_migrate_once(path: Path) -> None:
    pipe = asyncio.subprocess.PIPE
    openers = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            OPENER,
            str(path),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=dict(os.environ),
        )
        for _ in range(4)
    ]
    for opener in openers:
        assert opener.stdout is not None
        await opener.stdout.readline()
    ended = await asyncio.gather(*(opener.communicate(b"go\n") for opener in openers))
    assert [error.decode() for _, error in ended] == [""] * 4
    assert [opener.returncode for opener in openers] == [0] * 4
