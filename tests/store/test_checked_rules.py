"""Rules that are checked as they are written, by several who change them at the same moment."""

import asyncio
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from comunik_pbx.forwarding.refusals import RefusalCode
from comunik_pbx.forwarding.rules import ExtensionRules, Rule, RuleKind, ToExtension, ToNumber, of_kind
from comunik_pbx.store import RuleMissing, Store, StoreLocked
from tests.forwarding.company import directory

NUMBERS = ("101", "102", "103")


def always(extension: str, to: str, enabled: bool = True) -> Rule:
    return Rule(extension=extension, kind=RuleKind.ALWAYS, to=ToExtension(to), enabled=enabled)


async def test_a_cycle_cannot_be_closed_by_changes_at_the_same_moment(tmp_path: Path) -> None:
    """Each process checks against what the others have just written: of three changes one is refused."""
    url = f"sqlite:///{tmp_path / 'comunik.db'}"
    for round_ in range(5):
        stores = [await Store.open(url) for _ in NUMBERS]
        pairs = zip(NUMBERS, (*NUMBERS[1:], NUMBERS[0]), strict=True)
        changes = (
            store.checked(directory(), {}).save(always(one, other), by="test")
            for store, (one, other) in zip(stores, pairs, strict=True)
        )
        refusals = [refusal.code for refusal in await asyncio.gather(*changes) if refusal is not None]
        assert refusals == [RefusalCode.CYCLE], round_
        for number in NUMBERS:
            await stores[0].clear_rule(number, RuleKind.ALWAYS, by="test")
        for store in stores:
            await store.close()


async def test_nor_by_switching_on_nor_by_falling_back_to_a_default(tmp_path: Path) -> None:
    async with await Store.open(f"sqlite:///{tmp_path / 'comunik.db'}") as store:
        defaults = {"102": ExtensionRules(always=always("102", "101"))}
        rules = store.checked(directory(), defaults)
        assert await rules.save(always("102", "103"), by="test") is None
        assert await rules.save(always("101", "102", enabled=False), by="test") is None
        both = await asyncio.gather(
            rules.switch("101", RuleKind.ALWAYS, True, by="test"), rules.clear("102", RuleKind.ALWAYS, by="test")
        )
        assert sorted(refusal is None for refusal in both) == [False, True]
        found = await store.rules()
        mine, other = of_kind(found, "101", RuleKind.ALWAYS), of_kind(found, "102", RuleKind.ALWAYS)
        assert mine is not None
        assert not (mine.enabled and other is None)


async def test_what_is_not_there(tmp_path: Path) -> None:
    async with await Store.open(f"sqlite:///{tmp_path / 'comunik.db'}") as store:
        rules = store.checked(directory(), {})
        for change in (
            rules.switch("101", RuleKind.ALWAYS, True, by="test"),
            rules.clear("101", RuleKind.ALWAYS, by="test"),
        ):
            with pytest.raises(RuleMissing, match=r"^Extension 101 has no always rule"):
                await change


async def test_several_are_set_together_or_not_at_all(tmp_path: Path) -> None:
    async with await Store.open(f"sqlite:///{tmp_path / 'comunik.db'}") as store:
        rules = store.checked(directory(), {})
        cycle = [always("101", "102"), always("102", "101")]
        assert [refusal and refusal.code for refusal in await rules.save_all(cycle, by="test")] == [
            RefusalCode.CYCLE,
            RefusalCode.CYCLE,
        ]
        assert await rules.save_all([always("101", "102")], by="test", try_only=True) == [None]
        assert await store.rules() == {}
        assert await rules.save_all([always("101", "102"), always("102", "103")], by="test") == [None, None]
        (newest, *_) = await store.history()
        assert (newest.changed_by, type(newest.changed_at)) == ("test", datetime)


async def test_what_an_administrator_vouches_for_is_proven_with_the_change(tmp_path: Path) -> None:
    mobile = Rule(extension="101", kind=RuleKind.EXTERNAL, to=ToNumber("+33612345678"), rings=3)
    asks = msgspec.structs.replace(directory(), proven={})
    async with await Store.open(f"sqlite:///{tmp_path / 'comunik.db'}") as store:
        user, admin = store.checked(asks, {}), store.checked(asks, {}, vouched=True)
        refused = await user.save(mobile, by="portal:101")
        assert refused is not None
        assert refused.code is RefusalCode.UNPROVEN
        cycle = [mobile, always("101", "102"), always("102", "101")]
        assert any(await admin.save_all(cycle, by="cli:root"))
        assert await admin.save_all([mobile], by="cli:root", try_only=True) == [None]
        assert await store.proven.all() == []
        assert await store.checked(directory(), {}, vouched=True).save(mobile, by="cli:root") is None
        assert await store.proven.all() == []  # where none is asked for, none is kept
        assert await admin.switch("101", RuleKind.EXTERNAL, False, by="cli:root") is None
        assert await store.proven.all() == []
        assert await admin.switch("101", RuleKind.EXTERNAL, True, by="cli:root") is None
        (one,) = await store.proven.all()
        assert (one.extension, one.number, one.proven_by) == ("101", "+33612345678", "cli:root")
        assert await admin.save(always("102", "103"), by="cli:root") is None
        assert await store.proven.all() == [one]


async def test_who_asks_first_is_written_first(tmp_path: Path) -> None:
    """Nobody waits for others who came later, as SQLite's own waiting would have it."""
    async with await Store.open(f"sqlite:///{tmp_path / 'comunik.db'}") as store:
        rules = store.checked(directory(), {})
        await asyncio.gather(*(rules.save(always("101", "102"), by=str(place)) for place in range(40)))
        assert [line.changed_by for line in await store.history()] == [str(place) for place in reversed(range(40))]


async def test_who_waits_too_long_is_told(tmp_path: Path) -> None:
    async with await Store.open(f"sqlite:///{tmp_path / 'comunik.db'}", lock_seconds=0.05) as store:
        async with store._one_writer:
            with pytest.raises(StoreLocked, match="still being written"):
                await store.checked(directory(), {}).save(always("101", "102"), by="test")
        assert await store.checked(directory(), {}).save(always("101", "102"), by="test") is None
