"""The store fails under a running service: calls are decided from memory, changes are refused, nothing is lost."""

import asyncio
import os
import resource
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from comunik_pbx.forwarding.rules import RuleKind, ToExtension
from comunik_pbx.sandbox.phones import Phones
from comunik_pbx.sandbox.sandbox import Sandbox
from comunik_pbx.store import Store
from tests.pbx import PBX
from tests.service.serving import Serving, company_in, serving
from tests.service.test_serving import CUSTOMER, answered_by_whom

pytestmark = PBX

Fault = Callable[[Path, int], Iterator[tuple[str, ...]]]


def disk_full(path: Path, pid: int) -> Iterator[tuple[str, ...]]:
    """No file of the service, nor of whoever changes rules, can grow."""
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    yield ("prlimit", "--fsize=4096:")
    resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def locked(path: Path, _: int) -> Iterator[tuple[str, ...]]:
    """Another process holds the lock and does not let go."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    yield ()
    other.execute("ROLLBACK")
    other.close()


def damaged(path: Path, _: int) -> Iterator[tuple[str, ...]]:
    """Somebody wrote over the file and its log, and puts a copy back."""
    files = [path, path.with_name(f"{path.name}-wal")]
    kept = [file.read_bytes() for file in files]
    for file, content in zip(files, kept, strict=True):
        with file.open("r+b") as opened:
            opened.write(b"\xa5" * len(content))
    yield ()
    for file, content in zip(files, kept, strict=True):
        with file.open("r+b") as opened:
            opened.write(content)


async def set_rule(config: Path, to: str, within: tuple[str, ...] = ()) -> tuple[int, str]:
    """`comunik-pbx rules set 101 always --to TO`: exit status and what it says of why."""
    process = await asyncio.create_subprocess_exec(
        *(*within, sys.executable, "-m", "comunik_pbx.cli", "rules", "set", "101", "always", "--to", to),
        env={**os.environ, "COMUNIK_PBX_CONFIG": str(config), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode or 0, err.decode()


@asynccontextmanager
async def followed(service: Serving) -> AsyncIterator[None]:
    """The rules that were set inside are in force after it."""
    before = sum("rules in force" in line for line in service.lines)
    yield
    await service.said("rules in force", times=before + 1)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (disk_full, ("disk", "free space")),
        (locked, ("locked by another process", "try again")),
        (damaged, ("is damaged or is not a database", "put a backup in its place")),
    ],
)
async def test_calls_go_on_from_memory_and_changes_are_refused(
    asterisk: Sandbox, phones: Phones, tmp_path: Path, fault: Fault, words: tuple[str, ...]
) -> None:
    alice, bruno = await phones.register("101"), await phones.register("102")
    customer = (await phones.carrier()).number(CUSTOMER)
    config = company_in(asterisk, tmp_path)
    store = tmp_path / "comunik.db"
    async with serving(config) as service:
        await service.ready()
        async with followed(service):
            assert await set_rule(config, "102") == (0, "")
        with contextmanager(fault)(store, service.process.pid) as within:
            assert await answered_by_whom([alice, bruno], customer) is bruno
            status, why = await set_rule(config, "103", within)
            assert status == 1
            assert all(word in why for word in words), why
            await service.said("event=call ")
            await service.said("call records cannot be written, and are kept")
            assert await answered_by_whom([alice, bruno], customer) is bruno, "by the rule confirmed before"
        async with followed(service):
            assert await set_rule(config, "101-is-nobody") != (0, "")
            assert await set_rule(config, "voicemail") == (0, "")
        await service.said("event=call ", times=2)
        assert await service.stop() == 0
        assert service.words == []
    async with await Store.open(f"sqlite:///{store}") as opened:
        rows = await opened.calls()
        assert [(row.decided, row.extension, bool(row.ended_at)) for row in rows] == [("live", "101", True)] * 2
        assert [change.version for change in await opened.history("101")] == [2, 1]


async def test_it_starts_and_decides_calls_while_the_store_is_locked(
    asterisk: Sandbox, phones: Phones, tmp_path: Path
) -> None:
    alice, bruno = await phones.register("101"), await phones.register("102")
    customer = (await phones.carrier()).number(CUSTOMER)
    store = tmp_path / "comunik.db"
    async with await Store.open(f"sqlite:///{store}") as opened:
        await opened.set_rule("101", RuleKind.ALWAYS, ToExtension("102"), by="test")
    with contextmanager(locked)(store, 0):
        async with serving(company_in(asterisk, tmp_path)) as service:
            await service.said('event="connected to ARI"')
            assert await answered_by_whom([alice, bruno], customer) is bruno
            await service.said("the store takes no changes: calls are decided all the same")
            await service.ready()
            service.process.kill()  # in order it would wait for the lock
