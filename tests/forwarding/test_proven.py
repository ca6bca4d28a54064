"""Outside numbers proven before use: an unproven one is refused when saved, and not followed on a call."""

from datetime import timedelta

import msgspec
from hypothesis import given

from comunik_pbx.calls.fallback_plans import fallback_plans
from comunik_pbx.forwarding.directory import Directory
from comunik_pbx.forwarding.explain import as_json, words
from comunik_pbx.forwarding.plan import Plan, plan
from comunik_pbx.forwarding.refusals import Refusal, RefusalCode
from comunik_pbx.forwarding.rules import Rules, outside_numbers
from comunik_pbx.forwarding.saving import refusal_to_save
from comunik_pbx.forwarding.steps import Forward, Ring
from tests.forwarding.company import MOBILE, NOW, directory, inside_call, outside_call, rules
from tests.forwarding.company import any_rules as strange_rules

OTHER = "+33612345679"


def proving(**numbers: str) -> Directory:
    """The company where a proof is needed; `of_101=…` are proven."""
    needed = msgspec.structs.replace(directory(), proven={})
    return needed.proving({name.removeprefix("of_"): frozenset({number}) for name, number in numbers.items()})


def forwards(decided: Plan) -> list[str]:
    return [step.to for step in decided.steps if isinstance(step, Forward)]


def test_an_unproven_number_is_refused_when_saved_and_a_proven_one_is_not() -> None:
    its = rules(f"101 external 3 {MOBILE}")["101"].external
    assert its is not None
    assert refusal_to_save(its, proving(), {}) == Refusal(RefusalCode.UNPROVEN, MOBILE)
    assert refusal_to_save(its, proving(of_101=OTHER), {}) == Refusal(RefusalCode.UNPROVEN, MOBILE)
    assert refusal_to_save(its, proving(of_102=MOBILE), {}) == Refusal(RefusalCode.UNPROVEN, MOBILE), "of another"
    assert refusal_to_save(its, proving(of_101=MOBILE), {}) is None
    assert refusal_to_save(its, proving().trusting(), {}) is None
    assert refusal_to_save(its, directory(), {}) is None, "no proof is needed"


def test_on_a_call_it_is_not_followed_and_the_trace_says_why() -> None:
    company, its = proving(), rules(f"101 always 0 {MOBILE}")
    decided = plan(outside_call(), company, its, NOW)
    assert isinstance(decided.steps[0], Ring)
    assert forwards(decided) == []
    assert as_json(outside_call(), decided)["trace"][0]["why"] == (
        f"refused: {MOBILE} has not been proven: have the system call it, and type the code it says"
    )
    assert words(decided.trace[0], decided.origin, "fr") == (
        f"renvoi permanent vers {MOBILE} non suivi : {MOBILE} n’a pas été vérifié : "
        "faites-le appeler par le système, puis tapez le code entendu"
    )
    assert forwards(plan(outside_call(), proving(of_101=MOBILE), its, NOW)) == [MOBILE]


def test_along_a_chain_the_proof_of_who_forwards_counts() -> None:
    its = rules("101 always 0 102", f"102 always 0 {MOBILE}")
    assert forwards(plan(outside_call(), proving(of_101=MOBILE), its, NOW)) == []
    assert forwards(plan(outside_call(), proving(of_102=MOBILE), its, NOW)) == [MOBILE]


def test_our_own_did_and_extensions_need_no_proof() -> None:
    for to in ("+33170000102", "102", "voicemail"):
        its = rules(f"101 always 0 {to}")["101"].always
        assert its is not None
        assert refusal_to_save(its, proving(), {}) is None


def test_a_phones_302_needs_one_too() -> None:
    call = msgspec.structs.replace(outside_call(MOBILE), sent_by="101", passed=("101",))
    (entry,) = plan(call, proving(), {}, NOW).trace
    assert entry.why == Refusal(RefusalCode.UNPROVEN, MOBILE)
    assert forwards(plan(call, proving(of_101=MOBILE), {}, NOW)) == [MOBILE]


def test_published_plans_need_one_too() -> None:
    its = rules(f"101 always 0 {MOBILE}", until=NOW + timedelta(hours=1))
    assert not any(MOBILE in entry for entry in fallback_plans("101", proving(), its, NOW).entries.values())
    assert any(MOBILE in entry for entry in fallback_plans("101", proving(of_101=MOBILE), its, NOW).entries.values())


def test_more_proofs_are_added_to_those_there_are() -> None:
    company = proving(of_101=MOBILE).proving({"101": frozenset({OTHER}), "102": frozenset({OTHER})})
    assert company.proven == {"101": frozenset({MOBILE, OTHER}), "102": frozenset({OTHER})}
    assert directory().proving({"101": frozenset({OTHER})}).proven is None
    assert outside_numbers(rules(f"101 always 0 {MOBILE}", "102 always 0 voicemail")) == {"101": frozenset({MOBILE})}


@given(strange_rules())
def test_no_unproven_number_is_ever_called(written: Rules) -> None:
    company = proving(of_101=MOBILE)
    for call in (outside_call(), inside_call("104"), inside_call("105", "102")):
        for step in plan(call, company, written, NOW).steps:
            if isinstance(step, Forward):
                assert (step.diversion.extension, step.to) == ("101", MOBILE)
