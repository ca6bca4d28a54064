"""A call that ends while it is looked which calls stand: its end is on its way into the store, and not unknown."""

from types import SimpleNamespace
from typing import Any

from comunik_pbx.calls.records import CallRecord, Records
from comunik_pbx.calls.snapshot import Snapshot
from comunik_pbx.missed_ends import MissedEnds
from tests.calls.test_records import end
from tests.forwarding.company import NOW, directory


class Later:
    """A sink that has not written yet."""

    def put(self, record: CallRecord) -> None:
        pass


async def test_an_end_that_is_not_written_yet_is_known() -> None:
    asked: list[tuple[set[str], set[str]]] = []

    async def nothing() -> set[str]:
        return set()

    async def close_calls(alive: set[str], before: object, ended: set[str]) -> int:
        asked.append((alive, ended))
        return 0

    records = Records(Later(), lambda: Snapshot(directory(), {}))
    store: Any = SimpleNamespace(close_calls=close_calls)
    ami: Any = SimpleNamespace(channels=nothing)
    kept_ends: Any = SimpleNamespace(collected=nothing)
    missed = MissedEnds(store, None, ami, records, kept_ends, started_at=NOW, gives_up=False)
    records.ended(end("1772443800.7"))
    await missed.close()
    assert asked == [(set(), {"1772443800.7"})]
