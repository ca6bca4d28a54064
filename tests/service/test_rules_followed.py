"""The store cannot tell the rules for a while: the service goes on with those in force, and takes over later ones."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from comunik_pbx import service
from comunik_pbx.store import StoreCorrupt, StoreError, StoreReplaced


class Store:
    """Its watch fails with each of these in turn, then tells of one change."""

    def __init__(self, *errors: StoreError) -> None:
        self._errors = list(errors)

    async def watch(self) -> AsyncGenerator[None, None]:
        yield
        if self._errors:
            raise self._errors.pop(0)
        await asyncio.Event().wait()


class Following(service.Service):
    """A service of which only the following of rules is there."""

    def __init__(self, store: Store) -> None:
        self._store = store  # type: ignore[assignment]
        self.read = 0
        self.again = asyncio.Event()

    async def _read_rules(self) -> None:
        self.read += 1
        if self.read == 3:
            self.again.set()


async def test_what_cannot_be_read_is_read_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "RETRY_SECONDS", 0.01)
    following = Following(Store(StoreCorrupt("damaged"), StoreError("the disk failed")))
    running = asyncio.create_task(following._follow_rules())
    async with asyncio.timeout(5):
        await following.again.wait()
    assert not running.done()
    running.cancel()
    await asyncio.wait([running])


async def test_a_store_that_was_replaced_ends_it() -> None:
    with pytest.raises(StoreReplaced):
        await Following(Store(StoreReplaced("replaced")))._follow_rules()
