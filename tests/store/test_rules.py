import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from comunik_pbx.forwarding.rules import (
    Destination,
    ExtensionRules,
    Rule,
    RuleKind,
    ToExtension,
    ToNumber,
    ToVoicemail,
)
from comunik_pbx.store import RuleMissing, Store, StoreRefused

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
ALWAYS, INTERNAL, EXTERNAL = RuleKind.ALWAYS, RuleKind.INTERNAL, RuleKind.EXTERNAL

digits = st.text("0123456789", min_size=1, max_size=15)
destinations: st.SearchStrategy[Destination] = st.one_of(
    digits.map(ToExtension), digits.map(lambda d: ToNumber("+" + d)), st.just(ToVoicemail())
)
offsets = st.integers(-86399, 86399).map(lambda s: timezone(timedelta(seconds=s)))
moments = st.datetimes(
    min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29), timezones=offsets | st.timezones()
)


def by_hand(path: Path, sql: str, *values: Any) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(sql, values)
    connection.close()


async def test_a_rule_set_is_there_for_every_process(store: Store, path: Path) -> None:
    rule = await store.set_rule("101", EXTERNAL, ToNumber("+33612345678"), rings=3, by="cli:alice", at=NOW)
    assert rule == Rule(
        extension="101", kind=EXTERNAL, to=ToNumber("+33612345678"), rings=3,
        version=1, changed_by="cli:alice", changed_at=NOW,
    )  # fmt: skip
    async with await Store.open(f"sqlite:///{path}") as other:
        assert await other.rules() == {"101": ExtensionRules(external=rule)}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    extension=digits,
    kind=st.sampled_from(RuleKind),
    to=destinations,
    rings=st.integers(0, 12),
    until=st.none() | moments,
    enabled=st.booleans(),
    by=st.text(st.characters(exclude_categories=["Cs"])),
    at=moments,
)
@example("101", ALWAYS, ToVoicemail(), 0, datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=UTC), True, "\0é'", NOW)
def test_any_rule_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, extension: str, kind: RuleKind, to: Destination, rings: int,
    until: datetime | None, enabled: bool, by: str, at: datetime,
) -> None:  # fmt: skip
    async def story() -> None:
        async with await Store.open(f"sqlite:///{tmp_path_factory.getbasetemp()}/any.db") as store:
            was = (await store.rules()).get(extension, ExtensionRules())
            rule = await store.set_rule(extension, kind, to, rings=rings, until=until, enabled=enabled, by=by, at=at)
            # In UTC: a wall-clock time that comes twice never equals any other, says Python.
            utc_until = until and until.astimezone(UTC)
            assert (rule.to, rule.rings, rule.until, rule.enabled) == (to, rings, utc_until, enabled)
            assert (rule.changed_by, rule.changed_at) == (by, at.astimezone(UTC))
            before: Rule | None = getattr(was, kind)
            assert rule.version == (before.version if before else 0) + 1
            assert getattr((await store.rules())[extension], kind) == rule
            assert store.complaints == ()

    asyncio.run(story())


@pytest.mark.parametrize(
    "wrong",
    [
        {"rings": 13},
        {"rings": -1},
        {"extension": ""},
        {"extension": "1 01"},
        {"extension": "101\n"},
        {"to": ToNumber("0612345678")},
        {"to": ToNumber("+33;DROP")},
        {"to": ToExtension("+33612345678")},
        {"until": datetime(2026, 1, 1)},
        {"until": datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))},
        {"by": "\udc80"},
    ],
)
async def test_an_impossible_rule_is_refused_and_nothing_changes(store: Store, wrong: dict[str, Any]) -> None:
    rule: dict[str, Any] = {"extension": "101", "kind": ALWAYS, "to": ToVoicemail(), "by": "test"}
    with pytest.raises(StoreRefused):
        await store.set_rule(**(rule | wrong))
    assert await store.rules() == {}
    assert await store.history() == []


@pytest.mark.parametrize(
    "wrong",
    ["rings = 13", "kind = 'never'", "to_kind = 'fax'", "to_number = NULL", "enabled = 2", "to_number = '06'",
     "version = 0", "extension = ''"],
)  # fmt: skip
async def test_the_tables_refuse_impossible_rows_by_hand(store: Store, path: Path, wrong: str) -> None:
    await store.set_rule("101", ALWAYS, ToNumber("+33612345678"), by="test")
    with pytest.raises(sqlite3.IntegrityError):
        by_hand(path, f"UPDATE rules SET {wrong}")


async def test_switching_keeps_the_destination_and_counts_a_version(store: Store) -> None:
    await store.set_rule("101", ALWAYS, ToExtension("102"), by="alice")
    off = await store.set_enabled("101", ALWAYS, False, by="bob", at=NOW)
    assert (off.enabled, off.to, off.version, off.changed_by) == (False, ToExtension("102"), 2, "bob")
    assert await store.set_enabled("101", ALWAYS, False, by="carol") == off
    assert (await store.rules())["101"].always == off
    assert [change.action for change in await store.history("101")] == ["off", "set"]
    with pytest.raises(RuleMissing, match="Extension 101 has no internal rule"):
        await store.set_enabled("101", INTERNAL, True, by="bob")


async def test_versions_keep_counting_after_a_clear_and_history_tells_all(store: Store) -> None:
    await store.set_rule("101", ALWAYS, ToExtension("102"), by="alice", at=NOW)
    assert await store.clear_rule("101", ALWAYS, by="bob", at=NOW)
    assert not await store.clear_rule("101", ALWAYS, by="bob")
    again = await store.set_rule("101", ALWAYS, ToExtension("103"), by="carol", at=NOW)
    assert again.version == 3
    await store.set_rule("102", ALWAYS, ToVoicemail(), by="dan")
    newest, cleared, first = await store.history("101")
    assert len(await store.history(limit=2)) == 2
    assert (first.version, first.action, first.changed_by, first.before) == (1, "set", "alice", None)
    assert (cleared.version, cleared.action, cleared.changed_by, cleared.after) == (2, "clear", "bob", None)
    assert cleared.before == first.after
    assert first.after is not None
    assert (first.after["to_number"], first.after["enabled"]) == ("102", True)
    assert (newest.version, newest.changed_at) == (3, NOW)


async def test_history_is_append_only(store: Store, path: Path) -> None:
    await store.set_rule("101", ALWAYS, ToExtension("102"), by="alice")
    for sql in ("DELETE FROM history", "UPDATE history SET changed_by = 'x'"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            by_hand(path, sql)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("rings", 1.5),
        ("until", "tomorrow"),
        ("until", "2026-01-01T00:00:00"),
        ("changed_at", b"\xff"),
        ("to_number", "10 2"),
        ("to_number", "102\n"),
        ("version", "many"),
        ("to_kind", "voicemail\xff"),
    ],
)
async def test_a_row_that_does_not_decode_is_left_out_and_reported(
    store: Store, path: Path, column: str, value: object
) -> None:
    await store.set_rule("101", ALWAYS, ToExtension("102"), by="alice")
    good = await store.set_rule("102", ALWAYS, ToVoicemail(), by="alice")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    with connection:
        connection.execute(f"UPDATE rules SET {column} = ? WHERE extension = '101'", (value,))
    connection.close()
    assert await store.rules() == {"102": ExtensionRules(always=good)}
    [complaint] = store.complaints
    assert complaint.startswith("rule 101/always in the store is not obeyed: ")
    assert column in complaint
    with pytest.raises(StoreRefused, match="set it again, or clear it"):
        await store.set_enabled("101", ALWAYS, False, by="bob")
    assert (await store.set_rule("101", ALWAYS, ToExtension("103"), by="bob")).to == ToExtension("103")
    await store.rules()
    assert store.complaints == ()


async def test_bytes_that_are_not_text_spoil_only_their_row(store: Store, path: Path) -> None:
    await store.set_rule("101", ALWAYS, ToExtension("102"), by="alice")
    by_hand(path, "UPDATE rules SET extension = CAST(x'31ff' AS TEXT)")
    assert await store.rules() == {}
    assert len(store.complaints) == 1


async def test_several_rules_are_set_all_or_none(store: Store) -> None:
    good = Rule(extension="101", kind=ALWAYS, to=ToVoicemail())
    bad = Rule(extension="102", kind=ALWAYS, to=ToExtension("not digits"))
    with pytest.raises(StoreRefused):
        await store.set_rules([good, bad], by="import", at=NOW)
    assert await store.rules() == {}
    assert await store.history() == []
    (kept,) = await store.set_rules([good], by="import", at=NOW)
    assert (kept.version, kept.changed_by, kept.changed_at) == (1, "import", NOW)
    assert await store.rules() == {"101": ExtensionRules(always=kept)}
