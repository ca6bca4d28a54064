"""The store cannot tell the rules for a while: the service goes on with those in force, and takes over later ones."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from comunik_pbx import in_force
from comunik_pbx.in_force import InForce
from comunik_pbx.store import NewTarget, StoreCorrupt, StoreError, StoreReplaced
from tests.forwarding.company import MOBILE, NOW, directory


class Store:
    """Its watch fails with each of these in turn, then tells of one change."""

    def __init__(self, *errors: StoreError) -> None:
        self._errors = list(errors)
        self.untold: list[NewTarget] = []
        self.writes = True

    async def watch(self) -> AsyncGenerator[None, None]:
        yield
        if self._errors:
            raise self._errors.pop(0)
        await asyncio.Event().wait()

    async def untold_targets(self) -> list[NewTarget]:
        return list(self.untold)

    async def told_targets(self, targets: Sequence[NewTarget]) -> None:
        if not self.writes:
            raise StoreError("the disk is full")
        self.untold = [one for one in self.untold if one not in targets]


class Following(InForce):
    """What is read is nothing; it notes how often."""

    def __init__(self, store: Store) -> None:
        self.asked = 0
        self.again = asyncio.Event()
        company: Any = SimpleNamespace(directory=directory(), default_rules={})
        super().__init__(company, store, on_change=lambda: None)  # type: ignore[arg-type]

    async def _take_over(self) -> None:
        self.asked += 1
        if self.asked == 3:
            self.again.set()


async def test_what_cannot_be_read_is_read_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_force, "RETRY_SECONDS", 0.01)
    following = Following(Store(StoreCorrupt("damaged"), StoreError("the disk failed")))
    running = asyncio.create_task(following.follow())
    async with asyncio.timeout(5):
        await following.again.wait()
    assert not running.done()
    running.cancel()
    await asyncio.wait([running])


async def test_a_store_that_was_replaced_ends_it() -> None:
    with pytest.raises(StoreReplaced):
        await Following(Store(StoreReplaced("replaced"))).follow()


def target(number: str) -> NewTarget:
    return NewTarget(extension="101", number=number, kind="always", version=1, first_at=NOW, first_by="portal:101")


async def test_new_outside_targets_are_told_once_also_if_the_store_takes_nothing() -> None:
    store = Store()
    following = Following(store)
    store.untold, store.writes = [target(MOBILE), target("+33170000102")], False  # the second is our own DID
    with capture_logs() as said:
        await following._tell_new_targets()
        await following._tell_new_targets()
        store.untold.append(target("+33612345679"))
        await following._tell_new_targets()
        store.writes = True
        await following._tell_new_targets()
    told = [line for line in said if line["event"] == "new outside target"]
    assert [(line["extension"], line["number"], line["by"]) for line in told] == [
        ("101", MOBILE, "portal:101"),
        ("101", "+33612345679", "portal:101"),
    ]
    assert following.new_targets == 2
    assert store.untold == []
