"""The calls that prove numbers, on a fake ARI: what is asked of it, what is not, and what is left when it fails."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from comunik_pbx.calls import proving as calls
from comunik_pbx.calls.proofs import Progress
from comunik_pbx.calls.proving import Proving, proving
from comunik_pbx.calls.snapshot import Snapshot
from comunik_pbx.calls.usage import ForwardUsage
from comunik_pbx.forwarding.directory import CallerIdPolicy
from comunik_pbx.forwarding.plan import Usage
from comunik_pbx.forwarding.refusals import RefusalCode
from tests.asterisk.fake_ari import FakeAri
from tests.forwarding.company import BACKUP, CARRIER, MOBILE, directory, extension

ALICE = extension("101", language="fr")
COMPANY = msgspec.structs.replace(CARRIER, caller_id=CallerIdPolicy.COMPANY, company_number="+33170000000")


@pytest.fixture
async def ari() -> AsyncIterator[FakeAri]:
    async with FakeAri() as fake:
        yield fake


class Tried:
    """Proofs on the fake; `usage` counts, `kept` was proven. At the end of it every call has ended."""

    def __init__(self) -> None:
        self.usage = ForwardUsage()
        self.kept: list[tuple[str, str, str]] = []
        self.proving: Proving

    def used(self) -> Usage:
        return self.usage.at(datetime.now(UTC)).get("101", Usage())

    @asynccontextmanager
    async def on(self, ari: FakeAri, *trunks: Any, alice: Any = ALICE, **changes: Any) -> AsyncIterator[Proving]:
        company = directory(alice, extension("102"), trunks=trunks or (CARRIER, BACKUP))
        company = msgspec.structs.replace(company, **({"proven": {}} | changes))

        async def keep(*proven: str) -> None:
            self.kept.append(proven)  # type: ignore[arg-type]

        async with ari.client() as client, proving(client, lambda: Snapshot(company, {}), self.usage, keep) as made:
            yield made


def originated(ari: FakeAri) -> list[dict[str, Any]]:
    return [body for method, path, body in ari.commands if method == "POST" and path.startswith("channels/")]


async def test_by_each_trunk_as_it_wants_numbers_until_one_rings(ari: FakeAri) -> None:
    """The fake's channels are gone at once: neither trunk rings."""
    tried = Tried()
    async with tried.on(ari) as proofs:
        assert proofs.call(ALICE, "06 12 34 56 78", "portal:101") is None
        assert tried.used() == Usage(1, 0), "from the very beginning"
        assert proofs.progress("101", MOBILE) is Progress.CALLING
    assert proofs.progress("101", MOBILE) is Progress.UNANSWERED
    assert tried.used() == Usage(0, 1)
    first, second = originated(ari)
    assert (first["endpoint"], second["endpoint"]) == (f"PJSIP/{MOBILE}@carrier", "PJSIP/0612345678@backup")
    assert (first["callerId"], second["callerId"]) == ("<+33170000101>", "<0170000101>")
    assert (first["context"], first["extension"]) == ("comunik-prove", "s")
    code = first["variables"].pop("CK_CODE")
    assert code.isdigit()
    assert first["variables"] == {"CK_EXTENSION": "101", "CK_LANGUAGE": "fr", "CK_SHOWN": "0170000101"}
    assert tried.kept == []


async def test_the_companys_number_where_the_trunk_shows_it(ari: FakeAri) -> None:
    tried, nobody = Tried(), extension("101", did=())
    async with tried.on(ari, COMPANY) as proofs:
        assert proofs.call(ALICE, MOBILE, "portal:101") is None
    async with Tried().on(ari, CARRIER, alice=nobody) as proofs:
        assert proofs.call(nobody, MOBILE, "portal:101") is None
    shown = [body["callerId"] for body in originated(ari)]
    assert shown == ["<+33170000000>", ""], "never an extension's number"


async def test_asterisk_that_refuses_or_is_away(ari: FakeAri) -> None:
    tried = Tried()
    ari.status = 500
    async with tried.on(ari) as proofs:
        assert proofs.call(ALICE, MOBILE, "portal:101") is None
    assert proofs.progress("101", MOBILE) is Progress.FAILED
    assert tried.used() == Usage(), "nothing was called"


async def test_a_fault_of_ours_ends_one_proof_only(ari: FakeAri, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = Tried()

    def broken(*_: object) -> str:
        raise ValueError("a fault")

    monkeypatch.setattr(calls, "_shown", broken)
    async with tried.on(ari) as proofs:
        assert proofs.call(ALICE, MOBILE, "portal:101") is None
    assert proofs.progress("101", MOBILE) is Progress.FAILED
    assert tried.used() == Usage()


@pytest.mark.parametrize(
    ("number", "alice", "changes", "code"),
    [
        ("0899123456", {}, {}, RefusalCode.PREMIUM),
        ("+442079460000", {}, {}, RefusalCode.COUNTRY),
        ("112", {}, {}, RefusalCode.EMERGENCY),
        ("*98", {}, {}, RefusalCode.STAR_CODE),
        ("Zoé", {}, {}, RefusalCode.NOT_A_NUMBER),
        (MOBILE, {"outside": False}, {}, RefusalCode.OUTSIDE),
        (MOBILE, {"max_outside_calls": 0}, {}, RefusalCode.AT_ONCE),
        (MOBILE, {"max_outside_calls_per_day": 0}, {}, RefusalCode.PER_DAY),
        (MOBILE, {}, {"trunks": ()}, RefusalCode.NO_TRUNK),
        (MOBILE, {}, {"proven": None}, RefusalCode.NEEDLESS),
        (MOBILE, {}, {"proven": {"101": frozenset({MOBILE})}}, RefusalCode.NEEDLESS),
        ("+33170000102", {}, {}, RefusalCode.NEEDLESS),
    ],
)
async def test_what_may_not_be_called_is_not(
    ari: FakeAri, number: str, alice: dict[str, object], changes: dict[str, object], code: RefusalCode
) -> None:
    tried, user = Tried(), extension("101", **alice)
    async with tried.on(ari, alice=user, **changes) as proofs:
        refusal = proofs.call(user, number, "portal:101")
        assert refusal is not None
        assert refusal.code is code
    assert originated(ari) == []
    assert tried.used() == Usage()
