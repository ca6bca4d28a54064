"""Proven numbers: kept by extension, counted as a change of rules, each change in the audit."""

from datetime import UTC, datetime

from comunik_pbx.accounts.account import ProvenNumber
from comunik_pbx.store import Store

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MOBILE, OTHER = "+33612345678", "+33612345679"


async def test_a_change_is_a_change_of_rules(store: Store) -> None:
    before = await store.rules_written()
    assert await store.proven.add([("101", MOBILE), ("102", OTHER)], by="portal:101", at=NOW) == 2
    assert await store.rules_written() == before + 2
    assert await store.proven.add([("101", MOBILE)], by="cli:root", at=NOW) == 0
    assert await store.proven.add([], by="cli:root", at=NOW) == 0
    assert await store.proven.by_extension() == {"101": frozenset({MOBILE}), "102": frozenset({OTHER})}
    proven = ProvenNumber(extension="101", number=MOBILE, proven_at=NOW, proven_by="portal:101")
    assert await store.proven.all("101") == [proven]
    assert await store.proven.remove("101", MOBILE, by="cli:root", at=NOW)
    assert not await store.proven.remove("101", MOBILE, by="cli:root", at=NOW)
    assert await store.rules_written() == before + 3
    assert await store.proven.all("101") == []
    audit = [(line.account, line.action, line.by, line.detail) for line in await store.accounts.audit("101")]
    assert audit == [("101", "proof removed", "cli:root", MOBILE), ("101", "number proven", "portal:101", MOBILE)]
