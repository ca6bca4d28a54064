"""The rules of the design, each as a row: a call and rules on the left, the steps on the right."""

from datetime import timedelta

import pytest

from comunik_pbx.forwarding.call import Call, Caller
from comunik_pbx.forwarding.directory import BusyPolicy, Directory
from comunik_pbx.forwarding.explain import as_json, trace_json
from comunik_pbx.forwarding.plan import Plan, Usage, plan
from comunik_pbx.forwarding.rules import Rules
from comunik_pbx.forwarding.steps import End, Forward, OnBusy, Ring, Voicemail
from tests.forwarding.company import (
    BACKUP,
    CARRIER,
    MOBILE,
    NOW,
    directory,
    extension,
    inside_call,
    outside_call,
    rules,
)


def brief(made: Plan) -> str:
    """A plan in a line: `101×3 +336…(no-answer) vm:101`."""
    words = []
    for step in made.steps:
        match step:
            case Ring():
                reason = f"({step.diversion.reason}<{step.diversion.extension})" if step.diversion else ""
                words.append(f"{step.extension}x{step.rings}{reason}")
            case Forward():
                words.append(f"{step.to}@{step.trunk}({step.diversion.reason}<{step.diversion.extension})")
            case Voicemail():
                words.append(f"vm:{step.mailbox}")
            case End():
                words.append(f"end:{step.cause}")
    return " ".join(words)


def decide(call: Call, its: Rules, company: Directory | None = None) -> Plan:
    return plan(call, company or directory(), its, NOW)


def refusals(made: Plan) -> list[str]:
    return [trace_json(entry, made.origin)["why"] for entry in made.trace if not entry.followed]


CASES = {
    "no rule: rings, then voicemail": (outside_call(), [], "101x6 vm:101@default"),
    "always to a number": (
        outside_call(),
        ["101 always 0 " + MOBILE],
        f"{MOBILE}@carrier(unconditional<101) vm:101@default",
    ),
    "always to an extension": (outside_call(), ["101 always 0 102"], "102x6(unconditional<101) vm:101@default"),
    "always to voicemail": (outside_call(), ["101 always 0 voicemail"], "vm:101@default"),
    "outside, 3 rings, to a mobile": (
        outside_call(),
        ["101 external 3 " + MOBILE],
        f"101x3 {MOBILE}@carrier(no-answer<101) vm:101@default",
    ),
    "inside, 2 rings, to a colleague": (
        inside_call("103"),
        ["101 internal 2 102"],
        "101x2 102x6(no-answer<101) vm:101@default",
    ),
    "the rule of the other origin is not for this call": (
        inside_call("103"),
        ["101 external 3 " + MOBILE],
        "101x6 vm:101@default",
    ),
    "always comes before the others": (
        inside_call("103"),
        ["101 internal 2 102", "101 always 0 104"],
        "104x6(unconditional<101) vm:101@default",
    ),
    "0 rings forwards at once": (
        outside_call(),
        ["101 external 0 102"],
        "102x6(unconditional<101) vm:101@default",
    ),
    "after rings to voicemail": (outside_call(), ["101 external 4 voicemail"], "101x4 vm:101@default"),
    "a chain obeys each one's rules": (
        outside_call(),
        ["101 external 3 102", "102 external 2 103", "103 always 0 " + MOBILE],
        f"101x3 102x2(no-answer<101) {MOBILE}@carrier(unconditional<103) vm:101@default",
    ),
    "a chain keeps the first caller's origin": (
        outside_call(),
        ["101 external 3 102", "102 internal 1 103"],
        "101x3 102x6(no-answer<101) vm:101@default",
    ),
    "a chain into somebody's own voicemail": (
        outside_call(),
        ["101 always 0 102", "102 external 2 voicemail"],
        "102x2(unconditional<101) vm:102@default",
    ),
    "colleagues back each other up": (
        outside_call(),
        ["101 external 3 102", "102 external 3 101"],
        "101x3 102x6(no-answer<101) vm:101@default",
    ),
    "a cycle of always rules": (
        outside_call(),
        ["101 always 0 102", "102 always 0 101"],
        "102x6(unconditional<101) vm:101@default",
    ),
    "a forward to oneself": (outside_call(), ["101 always 0 101"], "101x6 vm:101@default"),
    "a forward to the caller": (inside_call("102"), ["101 always 0 102"], "101x6 vm:101@default"),
    "a refused always leaves the next rule": (
        inside_call("102"),
        ["101 always 0 102", "101 internal 2 103"],
        "101x2 103x6(no-answer<101) vm:101@default",
    ),
    "a forward to one of our DIDs stays inside": (
        outside_call(),
        ["101 always 0 +33170000102"],
        "102x6(unconditional<101) vm:101@default",
    ),
    "a forward to one's own DID": (outside_call(), ["101 always 0 +33170000101"], "101x6 vm:101@default"),
    "a forward to a number that calls": (
        outside_call(number=MOBILE),
        ["101 external 3 " + MOBILE],
        "101x6 vm:101@default",
    ),
    "a premium number": (outside_call(), ["101 always 0 +33899123456"], "101x6 vm:101@default"),
    "a DID is its extension": (outside_call("+33170000101"), [], "101x6 vm:101@default"),
    "a DID as carriers may send it": (outside_call("0170000101"), [], "101x6 vm:101@default"),
    "an unknown extension": (outside_call("199"), [], "end:1"),
    "an anonymous caller is from outside": (
        outside_call(number=None),
        ["101 external 1 102", "101 internal 1 103"],
        "101x1 102x6(no-answer<101) vm:101@default",
    ),
    "a forged caller id is from outside": (
        outside_call(number="102"),
        ["101 external 1 103"],
        "101x1 103x6(no-answer<101) vm:101@default",
    ),
    "calling oneself does not ring": (inside_call("101"), [], "vm:101@default"),
    "calling oneself follows always": (
        inside_call("101"),
        ["101 always 0 102"],
        "102x6(unconditional<101) vm:101@default",
    ),
}


@pytest.mark.parametrize(("call", "its", "expected"), CASES.values(), ids=CASES.keys())
def test_the_plan_of(call: Call, its: list[str], expected: str) -> None:
    assert brief(decide(call, rules(*its))) == expected


WHY_NOT = {
    "loop": (outside_call(), ["101 always 0 102", "102 always 0 101"], ["loop"]),
    "self": (outside_call(), ["101 always 0 101"], ["self"]),
    "own DID": (outside_call(), ["101 always 0 +33170000101"], ["self"]),
    "caller": (inside_call("102"), ["101 internal 3 102"], ["caller"]),
    "unknown extension": (outside_call(), ["101 always 0 199"], ["refused: there is no extension 199"]),
    "emergency": (outside_call(), ["101 always 0 +112", "101 external 0 voicemail"], None),
    "premium": (outside_call(), ["101 always 0 +33899123456"], ["refused: +33899123456 is a premium-rate number"]),
    "denied": (
        outside_call(),
        ["101 always 0 +33187123456"],
        ["refused: +33187123456 is on the administrator's list of denied numbers"],
    ),
    "country": (
        outside_call(),
        ["101 always 0 +14155550123"],
        ["refused: +14155550123 is in a country that calls may not be forwarded to"],
    ),
}


@pytest.mark.parametrize(("call", "its", "expected"), WHY_NOT.values(), ids=WHY_NOT.keys())
def test_why_a_rule_is_not_followed(call: Call, its: list[str], expected: list[str] | None) -> None:
    found = refusals(decide(call, rules(*its)))
    assert found == expected if expected is not None else found[0].startswith("refused: ")


def test_a_rule_that_is_off_or_expired_does_not_act() -> None:
    off = decide(outside_call(), rules("101 always 0 102", enabled=False))
    expired = decide(outside_call(), rules("101 always 0 102", until=NOW))
    still = decide(outside_call(), rules("101 always 0 102", until=NOW + timedelta(seconds=1)))
    assert (brief(off), refusals(off)) == ("101x6 vm:101@default", ["off"])
    assert (brief(expired), refusals(expired)) == ("101x6 vm:101@default", ["expired"])
    assert brief(still) == "102x6(unconditional<101) vm:101@default"


def test_the_hop_after_the_last_one_allowed_is_refused() -> None:
    chain = rules(*[f"10{n} always 0 10{n + 1}" for n in range(1, 7)])
    made = decide(outside_call(), chain)
    assert brief(made) == "106x6(unconditional<105) vm:101@default"
    assert refusals(made) == ["max-hops"]
    assert brief(decide(outside_call(), chain, directory(max_hops=0))) == "101x6 vm:101@default"


def test_without_mailbox_the_call_ends_with_a_cause() -> None:
    company = directory(extension("101", mailbox=None), extension("102"), extension("103", mailbox=None, endpoints=()))
    assert brief(decide(outside_call(), {}, company)) == "101x6 end:19"
    assert brief(decide(outside_call(), rules("101 always 0 102"), company)) == "102x6(unconditional<101) end:19"
    assert brief(decide(outside_call("103"), {}, company)) == "end:20"
    assert brief(decide(inside_call("101"), {}, company)) == "end:17"
    voicemail = decide(outside_call(), rules("101 always 0 voicemail"), company)
    assert (brief(voicemail), refusals(voicemail)) == ("101x6 end:19", ["refused: extension 101 has no mailbox"])


def test_trunks_are_tried_in_order_each_with_its_format() -> None:
    made = decide(outside_call(), rules("101 always 0 " + MOBILE), directory(trunks=(CARRIER, BACKUP)))
    first, second = (step for step in made.steps if isinstance(step, Forward))
    assert (first.dial, first.fallback, first.diversion.number) == (f"PJSIP/{MOBILE}@carrier", False, "+33170000101")
    assert (second.dial, second.fallback, second.diversion.number) == ("PJSIP/0612345678@backup", True, "0170000101")


def test_without_a_trunk_a_number_is_refused() -> None:
    made = decide(outside_call(), rules("101 always 0 " + MOBILE), directory(trunks=()))
    assert brief(made) == "101x6 vm:101@default"
    assert refusals(made) == [f"refused: no trunk leads outside, so {MOBILE} cannot be called"]


def test_busy_is_the_extensions_choice() -> None:
    company = directory(extension("101", busy=BusyPolicy.BUSY), extension("102"))
    step = decide(outside_call(), rules("101 external 3 102"), company).steps[0]
    assert isinstance(step, Ring)
    assert step.on_busy is OnBusy.END
    without = decide(outside_call(), {}, company).steps[0]
    assert isinstance(without, Ring)
    assert without.on_busy is OnBusy.NEXT  # no rule: the voicemail with its busy greeting


def test_limits_on_forwarded_calls_to_outside() -> None:
    company = directory(extension("101", max_outside_calls=2, max_outside_calls_per_day=10))
    its = rules("101 always 0 " + MOBILE)
    for usage, expected in [
        (Usage(1, 9), []),
        (Usage(2, 9), ["refused: extension 101 has as many forwarded calls to outside as it may have at a time"]),
        (Usage(1, 10), ["refused: extension 101 has used up its forwarded calls to outside of today"]),
    ]:
        assert refusals(plan(outside_call(), company, its, NOW, {"101": usage})) == expected


def test_an_extension_may_be_kept_inside() -> None:
    company = directory(extension("101", outside=False), extension("102"))
    made = decide(outside_call(), rules("101 always 0 " + MOBILE), company)
    assert refusals(made) == ["refused: extension 101 may not forward calls to outside numbers"]


def test_the_json_of_the_contract() -> None:
    call = Call(caller=Caller(extension="102", number="102"), called="101")
    made = as_json(call, decide(call, rules("101 internal 3 " + MOBILE)))
    assert made["caller"] == "102"
    assert made["called"] == "101"
    assert made["origin"] == "internal"
    assert made["steps"] == [
        {"kind": "ring", "extension": "101", "endpoints": ["101"], "rings": 3, "seconds": 15.0},
        {
            "kind": "forward",
            "to": MOBILE,
            "trunk": "carrier",
            "seconds": 60.0,
            "reason": "no-answer",
            "diverting": "101",
        },
        {"kind": "voicemail", "mailbox": "101@default", "greeting": "unavailable"},
    ]
    assert made["trace"][0] == {
        "extension": "101",
        "rule": "internal",
        "version": 1,
        "followed": True,
        "why": f"inside calls to 101 go to {MOBILE} after 3 rings (15 s)",
    }
