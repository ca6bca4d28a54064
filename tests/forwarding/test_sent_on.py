"""A phone sends a call to an outside number (302): the rights, limits and loops of its extension's rules hold."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comunik_pbx.forwarding.explain import words
from comunik_pbx.forwarding.plan import Plan, Usage, plan
from comunik_pbx.forwarding.steps import End, Forward, Reason
from tests.forwarding.company import NOW, directory, extension, inside_call, outside_call

MOBILE = "0612345678"


def sent(number: str, **changes: object) -> Plan:
    call = msgspec.structs.replace(outside_call(number), sent_by="101", passed=("101",))
    alice = extension("101", did=("+33170000101",), **changes)
    return plan(call, directory(alice, extension("102")), {}, NOW, {"101": Usage(at_once=1, today=5)})


def test_an_allowed_number_is_called_as_if_a_rule_had_said_so() -> None:
    decided = sent(MOBILE)
    forward, end = decided.steps
    assert isinstance(forward, Forward)
    assert isinstance(end, End)
    assert forward.to == "+33612345678"
    assert (forward.diversion.extension, forward.diversion.number) == ("101", "+33170000101")
    assert forward.diversion.reason is Reason.UNCONDITIONAL
    assert [words(entry, decided.origin) for entry in decided.trace] == [
        "the phone of 101 sends the call to +33612345678"
    ]


@pytest.mark.parametrize(
    ("number", "changes", "code"),
    [
        ("0899123456", {}, "premium"),
        ("+442079460000", {}, "country"),
        ("06123", {}, "not-a-number"),
        (MOBILE, {"outside": False}, "outside"),
        (MOBILE, {"max_outside_calls": 1}, "limit-at-once"),
        (MOBILE, {"max_outside_calls_per_day": 5}, "limit-per-day"),
        ("0140000000", {}, "caller"),
    ],
)
def test_what_a_rule_may_not_do_a_phone_may_not(number: str, changes: dict[str, object], code: str) -> None:
    decided = sent(number, **changes)
    assert [type(step) for step in decided.steps] == [End]
    (entry,) = decided.trace
    assert not entry.followed
    assert getattr(entry.why, "code", None) == code


def test_round_and_round_ends() -> None:
    call = msgspec.structs.replace(outside_call(MOBILE), sent_by="101", passed=tuple("123456"))
    decided = plan(call, directory(extension("101")), {}, NOW)
    assert [type(step) for step in decided.steps] == [End]


def test_a_call_that_came_back_is_not_sent_there_again() -> None:
    for changes in ({"diverted_by": ("0170000101",)}, {"repeats": 5}):
        call = msgspec.structs.replace(outside_call(MOBILE), sent_by="101", passed=("101",), **changes)
        decided = plan(call, directory(extension("101", did=("+33170000101",))), {}, NOW)
        assert [type(step) for step in decided.steps] == [End]


def test_nobodys_phone_sends_nothing_outside() -> None:
    call = msgspec.structs.replace(outside_call(MOBILE), sent_by="199")
    assert [type(step) for step in plan(call, directory(extension("101")), {}, NOW).steps] == [End]
    assert [type(step) for step in plan(inside_call("102", MOBILE), directory(extension("101")), {}, NOW).steps] == [
        End
    ]


@given(st.text("0123456789+", min_size=1, max_size=20))
def test_only_allowed_numbers_are_ever_called(number: str) -> None:
    decided = sent(number)
    policy = directory(extension("101")).numbers
    for step in decided.steps:
        if isinstance(step, Forward):
            assert policy.refusal(number) is None
    assert isinstance(decided.steps[-1], End) or decided.called
