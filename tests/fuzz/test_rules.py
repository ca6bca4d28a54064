"""What users, admins and hands in the database may write: numbers, destinations, rules, configurations, plans."""

import asyncio
import contextlib
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comunik_pbx import config
from comunik_pbx.asterisk.ami_lines import safe
from comunik_pbx.asterisk.plan_encoding import NotAPlan, decode, encode
from comunik_pbx.calls.fallback_plans import FAMILY
from comunik_pbx.calls.publishing import Publisher
from comunik_pbx.calls.snapshot import Snapshot
from comunik_pbx.cli.dialplan import dialplan
from comunik_pbx.forwarding.call import Call, Caller
from comunik_pbx.forwarding.explain import as_json, as_text
from comunik_pbx.forwarding.numbers import NumberFormat
from comunik_pbx.forwarding.plan import plan
from comunik_pbx.forwarding.refusals import Refusal
from comunik_pbx.forwarding.rules import Rule, RuleKind
from comunik_pbx.forwarding.saving import read_destination, refusal_to_save
from comunik_pbx.sandbox import company
from comunik_pbx.sandbox.layout import Addresses, Layout
from comunik_pbx.store import Store, StoreError
from tests.forwarding.company import NOW, any_directory, any_rules, calls, directory, rules
from tests.fuzz.mutations import FUZZ, HOSTILE, anything, hostile, spoiled

CARRIED_OUT = re.compile(r"[A-Za-z0-9_.@:/+&~|-]*")
DEFAULT_PLAN = re.compile(
    rf"|\[comunik-default\]|exten => \+?[0-9]+,1,Set\(CK_PLAN={CARRIED_OUT.pattern}\)| same => n,Return\(\)"
    r"|;(?!--)(?:(?!;--|--;).)*"  # no block comment
)
WRITTEN = ["+33612345678", "06 12 34 56 78", "number 0612345678", "extension 102", "voicemail", "102", "0033612345678"]
written = st.one_of(
    hostile,
    spoiled([text.encode() for text in WRITTEN]).map(lambda octets: octets.decode("utf-8", "replace")),
    st.text(st.sampled_from("0123456789+ ()-./*#;,x "), max_size=30),
)


@FUZZ
@given(written, st.sampled_from(RuleKind))
def test_no_destination_that_may_be_saved_is_anything_but_digits(text: str, kind: RuleKind) -> None:
    people = directory()
    number = people.numbers.e164(text)
    assert number is None or re.fullmatch(r"\+[0-9]{4,20}", number)
    to = read_destination(text, people)
    if isinstance(to, Refusal):
        assert to.words("en")
        assert to.words("fr")
        return
    rule = Rule(extension="101", kind=kind, to=to, rings=0, version=1)
    refused = refusal_to_save(rule, people, {})
    if refused is not None:
        assert refused.words("fr")
        return
    steps = plan(Call(caller=Caller(number="+33140000000"), called="101"), people, rules_of(rule), NOW).steps
    assert CARRIED_OUT.fullmatch(encode(steps))
    if number is not None:
        for style in NumberFormat:
            assert re.fullmatch(r"\+?[0-9]+", people.numbers.formatted(number, style))


def rules_of(rule: Rule) -> dict[str, Any]:
    base = rules(f"101 {rule.kind.value} 0 voicemail")
    return {"101": msgspec.structs.replace(base["101"], **{rule.kind.value: rule})}


@FUZZ
@given(
    calls.flatmap(
        lambda call: st.builds(
            lambda called, number, diverted: msgspec.structs.replace(
                call, called=called, caller=msgspec.structs.replace(call.caller, number=number), diverted_by=(diverted,)
            ),
            written,
            written,
            written,
        )
    ),
    any_directory(),
    any_rules(),
)
def test_no_caller_breaks_the_decision(call: Call, people: Any, its: Any) -> None:
    decided = plan(call, people, its, NOW)
    with contextlib.suppress(NotAPlan):
        assert CARRIED_OUT.fullmatch(encode(decided.steps))
    as_text(call, decided, people)
    as_json(call, decided, "fr")


REAL_PLANS = [
    encode(
        plan(Call(caller=Caller(number="+33140000000"), called="101"), directory(), its, NOW).steps, watched=True
    ).encode()
    for its in (
        {},
        rules("101 external 3 +33612345678"),
        rules("101 always 0 102", "102 external 0 +33612345678"),
        rules("101 external 2 voicemail"),
    )
]


@FUZZ
@given(st.one_of(spoiled(REAL_PLANS), st.binary(max_size=30)))
def test_no_stored_plan_is_read_as_anything_but_a_plan(octets: bytes) -> None:
    text = octets.decode("utf-8", "replace")
    try:
        steps = decode(text)
    except NotAPlan:
        return
    with contextlib.suppress(NotAPlan):  # read for the record, yet not fit to be carried out
        assert CARRIED_OUT.fullmatch(encode(steps))


class AstDB:
    """Holds whatever somebody put there."""

    connected = True

    def __init__(self, entries: dict[str, str]) -> None:
        self.entries = entries

    async def db_get_tree(self, family: str) -> dict[str, str]:
        return {key: value for key, value in self.entries.items() if key.startswith(f"/{family}/")}

    async def db_write(self, family: str, changes: Sequence[tuple[str, str | None]]) -> None:
        for key, value in changes:
            full = f"/{family}/{key}"
            if value is None:
                self.entries.pop(full, None)
            else:
                assert safe("Val", value) == value
                self.entries[full] = value


@FUZZ
@given(
    st.dictionaries(
        st.one_of(st.sampled_from(["external/101", "internal/101", "mark/service", "did/1"]), hostile),
        st.one_of(hostile, spoiled(REAL_PLANS).map(lambda octets: octets.decode("latin-1"))),
        max_size=6,
    ),
    any_rules(),
)
def test_whatever_astdb_holds_it_comes_to_hold_the_published_plans(held: dict[str, str], its: Any) -> None:
    async def published(database: AstDB) -> dict[str, str]:
        snapshot = Snapshot(directory(), its)
        publisher = Publisher(database, lambda: snapshot, clock=lambda: NOW)
        publisher.changed()
        running = asyncio.create_task(publisher.run())
        async with asyncio.timeout(10):
            await publisher.in_step()
        running.cancel()
        await asyncio.wait([running])
        return {key: value for key, value in database.entries.items() if not key.endswith("/mark/service")}

    others = {"/admins-own/key": "value"}
    filled = AstDB({f"/{FAMILY}/{key}": value for key, value in held.items()} | others)
    assert asyncio.run(published(filled)) == asyncio.run(published(AstDB(dict(others))))


@pytest.fixture(scope="module")
def real_configuration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    layout = Layout(tmp_path_factory.mktemp("company"), Path("/nowhere"), Addresses())
    return company.write_comunik_toml(layout, company.load_secrets(layout))


@FUZZ
@given(data=st.data())
def test_no_configuration_gives_a_traceback_nor_dialplan_of_its_own(
    real_configuration: Path, data: st.DataObject
) -> None:
    good = real_configuration.read_bytes()
    spoilt = real_configuration.with_name("spoilt.toml")
    spoilt.write_bytes(data.draw(spoiled([good])))
    try:
        loaded = config.load(spoilt)
    except config.ConfigProblems:
        return
    for line in dialplan(loaded)["default-plans.conf"].splitlines():
        assert DEFAULT_PLAN.fullmatch(line), line


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "comunik.db"

    async def make() -> None:
        await (await Store.open(f"sqlite:///{path}")).close()

    asyncio.run(make())
    return path


@FUZZ
@given(
    st.lists(
        st.tuples(
            st.one_of(st.sampled_from(["101", "102"]), hostile),
            st.one_of(st.sampled_from(["always", "internal"]), hostile),
            st.one_of(st.sampled_from(["extension", "number", "voicemail"]), hostile),
            st.one_of(st.sampled_from(["102", "+33612345678"]), anything),
            st.one_of(st.integers(0, 12), anything),
            st.one_of(st.just("2026-11-24T10:00:00.000000+00:00"), anything),
        ),
        max_size=4,
    )
)
def test_no_row_by_a_hand_in_the_database_breaks_the_reading_of_the_others(
    empty_store: Path, rows: list[tuple[Any, ...]]
) -> None:
    async def read(path: Path) -> None:
        async with await Store.open(f"sqlite:///{path}") as store:
            hand = sqlite3.connect(path, isolation_level=None)
            hand.execute("PRAGMA ignore_check_constraints = ON")
            for extension, kind, to_kind, to_number, rings, until in rows:
                values = (extension, kind, to_kind, to_number, rings, 1, until, 1, "hand", "2026-11-24T10:00:00+00:00")
                columns = "extension, kind, to_kind, to_number, rings, enabled, until, version, changed_by, changed_at"
                with contextlib.suppress(sqlite3.Error, OverflowError, UnicodeEncodeError):
                    hand.execute(f"INSERT OR REPLACE INTO rules ({columns}) VALUES (?,?,?,?,?,?,?,?,?,?)", values)
            hand.close()
            its = await store.rules()
            people = directory()
            for number in people.extensions:
                decided = plan(
                    Call(caller=Caller(number="+33140000000"), called=number), people, its, datetime.now(UTC)
                )
                with contextlib.suppress(NotAPlan):
                    assert CARRIED_OUT.fullmatch(encode(decided.steps))
            for text in HOSTILE[:5]:
                with contextlib.suppress(StoreError):
                    await store.clear_rule(text, RuleKind.ALWAYS, by=text)

    with tempfile.TemporaryDirectory() as place:
        asyncio.run(read(Path(shutil.copy(empty_store, place))))
