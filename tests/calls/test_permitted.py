"""A proven number is a change for those it concerns, not for everybody."""

from types import MappingProxyType

import msgspec
import pytest

from comunik_pbx.calls import wanted_plans
from comunik_pbx.calls.fallback_plans import FallbackPlans, fallback_plans
from comunik_pbx.calls.snapshot import Permitted, Snapshot
from comunik_pbx.calls.wanted_plans import WantedPlans
from tests.forwarding.company import MOBILE, NOW, directory, rules

LONDON = ("+442079460000",)
PROVEN = {"101": frozenset({MOBILE})}


def test_the_same_directory_while_nothing_changes() -> None:
    permitted, company = Permitted(), msgspec.structs.replace(directory(), proven={})
    made = permitted.directory(company, LONDON, PROVEN)
    assert made.numbers.refusal(LONDON[0]) is None
    assert made.proven == PROVEN
    assert permitted.directory(company, LONDON, dict(PROVEN)) is made
    other = permitted.directory(company, LONDON, {})
    assert other.proven == {}
    assert other.numbers is made.numbers
    assert permitted.directory(company, (), {}).numbers.refusal(LONDON[0]) is not None
    reloaded = msgspec.structs.replace(directory(), max_hops=3)
    assert permitted.directory(reloaded, (), {}) is reloaded


def test_plans_are_compiled_again_for_whom_it_concerns(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []

    def compiles(extension: str, *rest: object) -> FallbackPlans:
        compiled.append(extension)
        return fallback_plans(extension, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(wanted_plans, "fallback_plans", compiles)
    permitted, company = Permitted(), msgspec.structs.replace(directory(), proven={})
    written = MappingProxyType(rules(f"101 always 0 {MOBILE}", "102 always 0 101", f"103 always 0 {MOBILE}"))
    wanted = WantedPlans()
    list(wanted.follow(Snapshot(permitted.directory(company, LONDON, {}), written), NOW))
    assert len(compiled) == 7
    assert not any(MOBILE in entry for entry in wanted.entries.values())

    compiled.clear()
    list(wanted.follow(Snapshot(permitted.directory(company, LONDON, PROVEN), written), NOW))
    assert sorted(compiled) == ["101", "102"], "and who forwards to 101"
    assert {key for key, entry in wanted.entries.items() if MOBILE in entry} == {
        f"{origin}/{extension}" for origin in ("external", "internal") for extension in ("101", "102")
    }

    compiled.clear()
    list(wanted.follow(Snapshot(permitted.directory(company, LONDON, dict(PROVEN)), written), NOW))
    assert compiled == []
    list(wanted.follow(Snapshot(permitted.directory(company, (), PROVEN), written), NOW))
    assert len(compiled) == 7
