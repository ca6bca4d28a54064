"""The mirror: whatever happens, AstDB comes to hold what is wanted, and only differences are written."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comunik_pbx.asterisk.errors import AmiUnreachable
from comunik_pbx.calls.fallback_plans import FAMILY, addresses, fallback_plans
from comunik_pbx.calls.publishing import MARK, Publisher
from comunik_pbx.calls.snapshot import Snapshot
from comunik_pbx.forwarding.directory import Directory
from comunik_pbx.forwarding.rules import Rules
from tests.calls.dialplan_reading import fallback
from tests.forwarding.company import MOBILE, NOW, any_directory, any_rules, directory, extension, rules

Changes = Sequence[tuple[str, str | None]]


class FakeAstDB:
    """AstDB behind AMI: `entries` by key below the family; after `fails_after` further entries the connection goes."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}
        self.writes: list[tuple[str, str | None]] = []
        self.reads: list[str] = []
        self.connected = True
        self.fails_after: int | None = None
        self.news = asyncio.Event()

    async def db_get_tree(self, family: str) -> dict[str, str]:
        await self._there()
        self.reads.append(family)
        all_of_it = {f"/{FAMILY}/{key}": value for key, value in self.entries.items()}
        return {key: value for key, value in all_of_it.items() if key.startswith(f"/{family}/")}

    async def db_write(self, family: str, changes: Changes) -> None:
        assert family == FAMILY
        await self._there()
        for key, value in changes:
            if self.fails_after is not None:
                self.fails_after -= 1
                if self.fails_after < 0:
                    self.fails_after, self.connected = None, False
                    raise AmiUnreachable("the connection is lost")
            assert self.entries.get(key) != value, f"{key} needed no writing"
            self.writes.append((key, value))
            self.news.set()
            if value is None:
                del self.entries[key]
            else:
                self.entries[key] = value

    async def _there(self) -> None:
        await asyncio.sleep(0)
        if not self.connected:
            raise AmiUnreachable("there is no connection")

    def plans(self) -> dict[str, str]:
        return {key: value for key, value in self.entries.items() if key != MARK}


def wanted(snapshot: Snapshot, now: datetime = NOW) -> dict[str, str]:
    """Everything, compiled anew."""
    found = dict(addresses(snapshot.directory))
    for number in snapshot.directory.extensions:
        found |= fallback_plans(number, snapshot.directory, snapshot.rules, now).entries
    return found


class Company:
    """A publisher over a fake AstDB, its snapshot and its clock."""

    def __init__(self, its: Directory, rules: Rules) -> None:
        self.database = FakeAstDB()
        self.snapshot = Snapshot(its, rules)
        self.now = NOW
        self.publisher = Publisher(self.database, lambda: self.snapshot, clock=lambda: self.now, check_seconds=0.02)

    async def published(self) -> None:
        async with asyncio.timeout(5):
            await self.publisher.in_step()
        assert self.database.plans() == wanted(self.snapshot, self.now)

    async def rules_are(self, rules: Rules) -> None:
        self.snapshot = Snapshot(self.snapshot.directory, rules)
        self.publisher.changed()
        await self.published()

    async def until(self, key: str, value: str | None) -> None:
        async with asyncio.timeout(5):
            while self.database.entries.get(key) != value:
                self.database.news.clear()
                await self.database.news.wait()


@asynccontextmanager
async def publishing(its: Directory | None = None, rules: Rules | None = None) -> AsyncIterator[Company]:
    company = Company(its or directory(), rules or {})
    company.publisher.changed()
    running = asyncio.create_task(company.publisher.run())
    try:
        yield company
        assert not running.done()
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def test_everything_is_published_and_marked() -> None:
    async with publishing(rules=rules("101 external 3 " + MOBILE)) as company:
        await company.published()
        assert company.database.writes[-1][0] == MARK
        assert company.publisher.written == len(company.database.plans())
        assert company.publisher.lag_seconds is not None
        assert company.publisher.behind_seconds == 0.0


async def test_one_changed_rule_writes_one_plan() -> None:
    async with publishing() as company:
        await company.published()
        before = len(company.database.writes)
        await company.rules_are(rules("103 external 0 " + MOBILE))
        assert [key for key, _ in company.database.writes[before:]] == ["external/103"]


async def test_who_is_forwarded_to_an_extension_follows_its_rules() -> None:
    chain = rules("101 always 0 102", "104 always 0 101")
    async with publishing(rules=chain) as company:
        await company.published()
        before = len(company.database.writes)
        await company.rules_are(chain | rules("102 always 0 " + MOBILE))
        written = {key for key, _ in company.database.writes[before:]}
        assert {"external/101", "external/102", "external/104"} <= written
        assert not [key for key in written if key.endswith(("/103", "/105"))]


async def test_the_same_rules_read_again_write_nothing() -> None:
    async with publishing(rules=rules("101 always 0 102")) as company:
        await company.published()
        before = len(company.database.writes)
        await company.rules_are(rules("101 always 0 102"))
        company.snapshot = Snapshot(directory(), company.snapshot.rules)  # a reload of the same configuration
        company.publisher.changed()
        await company.published()
        assert company.database.writes[before:] == []


async def test_an_extension_that_goes_takes_its_entries_along() -> None:
    async with publishing() as company:
        await company.published()
        company.snapshot = Snapshot(directory(extension("101")), {})
        company.publisher.changed()
        await company.published()
        assert fallback(company.database.entries, "102", "", NOW.timestamp()) is None


async def test_stale_keys_of_an_earlier_service_go() -> None:
    async with publishing() as company:
        await company.published()
        company.database.entries |= {"external/999": "1|end~1", "did/33999": "999", "mark/service": "another"}
        company.publisher.reconcile()
        await company.published()


async def test_what_is_new_is_written_before_what_goes_and_alternatives_before_what_points_at_them() -> None:
    ends = rules("101 external 3 " + MOBILE, until=NOW + timedelta(hours=1))
    async with publishing(rules=ends) as company:
        await company.published()
        company.now = NOW + timedelta(hours=1)
        before = len(company.database.writes)
        await company.until("external/101", wanted(company.snapshot, company.now)["external/101"])
        await company.until(f"external/101/{int(company.now.timestamp())}", None)
        assert [value is None for _, value in company.database.writes[before:]] == [False, True]
        ends_later = rules("101 external 3 " + MOBILE, until=NOW + timedelta(hours=2))
        before = len(company.database.writes)
        await company.rules_are(ends_later)
        assert [len(key.split("/")) for key, _ in company.database.writes[before:]] == [3, 2]


async def test_a_wiped_astdb_is_noticed_without_being_told() -> None:
    async with publishing() as company:
        await company.published()
        company.database.entries.clear()
        await company.until(MARK, company.publisher._mark)
        await company.published()


async def test_a_plan_that_cannot_be_encoded_costs_nobody_else_his() -> None:
    async with publishing(directory(extension("101", endpoints=("a;b",)), extension("102"))) as company:
        async with asyncio.timeout(5):
            await company.publisher.in_step()
        assert "external/101" not in company.database.entries
        assert "external/102" in company.database.entries


async def test_without_a_connection_it_waits_and_then_catches_up() -> None:
    async with publishing() as company:
        await company.published()
        company.database.connected = False
        company.snapshot = Snapshot(company.snapshot.directory, rules("101 always 0 102"))
        company.publisher.changed()
        await asyncio.sleep(0.05)
        assert company.publisher.behind_seconds > 0.04
        company.database.connected = True
        company.publisher.reconcile()
        await company.published()


async def test_any_other_error_ends_it_loudly() -> None:
    class Broken(FakeAstDB):
        async def db_write(self, family: str, changes: Changes) -> None:
            raise RuntimeError("a bug")

    snapshot = Snapshot(directory(), {})
    publisher = Publisher(Broken(), lambda: snapshot)
    publisher.changed()
    with pytest.raises(RuntimeError, match="a bug"):
        await asyncio.wait_for(publisher.run(), 5)


happenings = st.one_of(
    st.tuples(st.just("rules"), any_rules()),
    st.tuples(st.just("directory"), any_directory()),
    st.tuples(st.just("wiped"), st.none()),
    st.tuples(st.just("edited"), st.dictionaries(st.sampled_from(["external/101", "junk", MARK]), st.just("x"))),
    st.tuples(st.just("lost after"), st.integers(0, 40)),
    st.tuples(st.just("hours pass"), st.integers(1, 3)),
    st.tuples(st.just("a moment"), st.integers(1, 30)),
)


@settings(max_examples=60)
@given(any_directory(), any_rules(), st.lists(happenings, max_size=12))
def test_whatever_happens_astdb_comes_to_hold_what_is_wanted(
    its: Directory, chosen: Rules, story: list[tuple[str, object]]
) -> None:
    asyncio.run(_lives_through(its, chosen, story))


async def _lives_through(its: Directory, chosen: Rules, story: list[tuple[str, object]]) -> None:
    async with publishing(its, chosen) as company:
        database, publisher = company.database, company.publisher
        for what, value in story:
            match what, value:
                case "rules", dict(new):
                    company.snapshot = Snapshot(company.snapshot.directory, new)
                    publisher.changed()
                case "directory", Directory() as new_directory:
                    company.snapshot = Snapshot(new_directory, company.snapshot.rules)
                    publisher.changed()
                case "wiped", _:
                    await _at_rest(company)  # else a write under way would delete what is gone already
                    database.entries.clear()
                    publisher.reconcile()
                case "edited", dict(entries):
                    await _at_rest(company)
                    database.entries |= entries
                    publisher.reconcile()
                case "lost after", int(count):
                    database.fails_after = count
                case "hours pass", int(hours):
                    company.now += timedelta(hours=hours)
                case "a moment", int(turns):
                    for _ in range(turns):
                        await asyncio.sleep(0)
            if not database.connected:
                database.connected = True
                publisher.reconcile()
        database.fails_after, database.connected = None, True
        publisher.reconcile()
        await company.published()
        assert MARK in database.entries


async def _at_rest(company: Company) -> None:
    company.database.fails_after, company.database.connected = None, True
    company.publisher.reconcile()
    await company.published()
