"""Numbers that administrators allow: kept, counted as a change of rules, obeyed by the decision."""

from datetime import UTC, datetime
from pathlib import Path

from comunik_pbx.accounts.account import AllowedNumber
from comunik_pbx.store import Store
from tests.forwarding.company import directory as company
from tests.forwarding.company import extension

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LONDON = AllowedNumber(number="+442079460000", name="London", changed_by="test", changed_at=NOW)


async def test_a_change_is_a_change_of_rules(store: Store) -> None:
    before = await store.rules_written()
    await store.allow_list.put(LONDON)
    assert await store.rules_written() == before + 1
    assert await store.allow_list.all() == [LONDON]
    assert await store.allow_list.enabled() == (LONDON.number,)
    assert await store.allow_list.remove(LONDON.number, by="test", at=NOW)
    assert not await store.allow_list.remove(LONDON.number, by="test", at=NOW)
    assert await store.rules_written() == before + 2
    assert await store.allow_list.enabled() == ()


async def test_the_directory_allows_it_and_nothing_else(path: Path) -> None:
    directory = company(extension("101"))
    allowing = directory.allowing((LONDON.number,))
    assert directory.numbers.refusal(LONDON.number) is not None
    assert allowing.numbers.refusal(LONDON.number) is None
    assert allowing.numbers.refusal("+442079460001") is not None
    assert allowing.numbers.refusal("+33899123456") is not None
    assert directory.allowing(()) is directory
