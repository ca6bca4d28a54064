"""Whatever the rules say: properties that hold for every plan."""

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from comunik_pbx.asterisk.plan_encoding import NotAPlan, decode, encode
from comunik_pbx.forwarding.call import Call
from comunik_pbx.forwarding.directory import Directory
from comunik_pbx.forwarding.explain import as_json, as_text
from comunik_pbx.forwarding.plan import Plan, plan
from comunik_pbx.forwarding.rules import MAX_RINGS, Rules
from comunik_pbx.forwarding.steps import End, Forward, Ring, Voicemail
from tests.forwarding.company import NOW, any_directory, any_rules, calls

SYNTAX = set(";,$[]{}()\"'\\^! \n\r\t")


def decided(call: Call, directory: Directory, rules: Rules) -> Plan:
    return plan(call, directory, rules, NOW)


@settings(max_examples=300)
@given(calls, any_directory(), any_rules())
def test_every_plan_ends_and_offers_somebody_a_mailbox_or_a_clear_end(
    call: Call, directory: Directory, rules: Rules
) -> None:
    steps = decided(call, directory, rules).steps
    assert steps
    assert isinstance(steps[-1], Voicemail | End)
    assert not any(isinstance(step, Voicemail | End) for step in steps[:-1])
    if isinstance(steps[0], End):
        assert steps[0].cause in {1, 17, 20}


@settings(max_examples=300)
@given(calls, any_directory(), any_rules())
def test_no_extension_rings_twice_nor_the_caller(call: Call, directory: Directory, rules: Rules) -> None:
    steps = decided(call, directory, rules).steps
    rung = [step.extension for step in steps if isinstance(step, Ring)]
    assert len(rung) == len(set(rung))
    assert call.caller.extension not in rung
    assert all(step.to != call.caller.number for step in steps if isinstance(step, Forward))


@settings(max_examples=300)
@given(calls, any_directory(), any_rules())
def test_nobody_is_diverted_to_himself_and_no_more_often_than_allowed(
    call: Call, directory: Directory, rules: Rules
) -> None:
    for step in decided(call, directory, rules).steps:
        if isinstance(step, Ring) and step.diversion:
            assert step.diversion.extension != step.extension
            assert 1 <= step.diversion.count <= directory.max_hops
        if isinstance(step, Forward):
            assert step.to not in directory.extensions[step.diversion.extension].did
            assert 1 <= step.diversion.count <= directory.max_hops


@settings(max_examples=300)
@given(calls, any_directory(), any_rules())
def test_the_ringing_is_bounded(call: Call, directory: Directory, rules: Rules) -> None:
    steps = decided(call, directory, rules).steps
    ringing = sum(step.seconds for step in steps if isinstance(step, Ring))
    assert ringing <= (directory.max_hops + 1) * MAX_RINGS * directory.cycle_seconds
    forwards = [step for step in steps if isinstance(step, Forward)]
    assert len(forwards) <= len(directory.trunks)
    assert [step.fallback for step in forwards] == [False, True][: len(forwards)]


@settings(max_examples=300)
@given(calls, any_directory(), any_rules())
def test_every_step_has_its_reason_and_every_rule_its_word(call: Call, directory: Directory, rules: Rules) -> None:
    made = decided(call, directory, rules)
    assert sum(entry.asked for entry in made.trace) == len(made.steps)
    assert all(entry.followed or not entry.asked for entry in made.trace)
    json = as_json(call, made)
    assert len(json["steps"]) == len(made.steps)
    assert all(entry["why"] for entry in json["trace"])
    assert as_text(call, made, directory)
    assert as_json(call, made, "fr")["steps"] == json["steps"]


@settings(max_examples=300)
@given(calls, any_directory(), any_rules())
def test_a_refused_rule_lets_its_extension_ring_or_follow_its_next_rule(
    call: Call, directory: Directory, rules: Rules
) -> None:
    made = decided(call, directory, rules)
    for entry in made.trace:
        if entry.followed:
            continue
        later = [other for other in made.trace if other.extension == entry.extension and other.followed]
        assert later


@settings(max_examples=300)
@given(calls, any_directory(), any_rules())
def test_the_encoding_decodes_to_the_same_steps_and_holds_no_dialplan_syntax(
    call: Call, directory: Directory, rules: Rules
) -> None:
    steps = decided(call, directory, rules).steps
    text = encode(steps)
    assert decode(text) == steps
    assert not SYNTAX & set(text)


@given(st.text(), st.text(), st.text())
def test_nothing_smuggles_dialplan_into_an_encoded_plan(extension: str, endpoint: str, mailbox: str) -> None:
    try:
        text = encode((Ring(extension, (endpoint,), 1, 5.0), Voicemail(extension, mailbox)))
    except NotAPlan:
        return
    assert not SYNTAX & set(text)
    assert decode(text) == (Ring(extension, (endpoint,) if endpoint else (), 1, 5.0), Voicemail(extension, mailbox))


@given(st.text(alphabet="1|~ringforwadvoceml&0.-@:+x;"))
def test_decoding_anything_gives_steps_or_says_that_it_is_no_plan(text: str) -> None:
    with contextlib.suppress(NotAPlan):
        assert isinstance(decode(text), tuple)
