"""A call that we forwarded and that comes back to us is not forwarded again."""

import pytest

from comunik_pbx.forwarding.call import Call, Caller
from comunik_pbx.forwarding.plan import Plan, plan
from comunik_pbx.forwarding.steps import End, Forward, Ring, Voicemail
from tests.forwarding.company import MOBILE, NOW, directory, extension, rules
from tests.forwarding.test_plan import brief, refusals

CUSTOMER = Caller(number="+33140000000")


def decide(call: Call, *written: str, max_hops: int = 5) -> Plan:
    return plan(call, directory(max_hops=max_hops), rules(*written), NOW)


@pytest.mark.parametrize("written", ["+33170000101", "33170000101", "0170000101", "0033170000101"])
def test_our_own_number_in_a_diversion_is_a_loop(written: str) -> None:
    call = Call(caller=CUSTOMER, called="+33170000101", diverted_by=(MOBILE, written))
    made = decide(call, f"101 always 0 {MOBILE}")
    assert brief(made) == "101x6 vm:101@default"
    assert refusals(made) == ["loop"]


def test_it_may_still_go_to_voicemail_and_to_others() -> None:
    back = Call(caller=CUSTOMER, called="101", diverted_by=("+33170000102",))
    assert brief(decide(back, "101 external 2 voicemail")) == "101x2 vm:101@default"
    assert brief(decide(back, "101 always 0 103")) == "103x6(unconditional<101) vm:101@default"
    assert refusals(decide(back, "101 always 0 102")) == ["loop"]


def test_another_pbxs_extension_of_the_same_number_is_not_ours() -> None:
    call = Call(caller=CUSTOMER, called="101", diverted_by=("101",))
    assert refusals(decide(call, f"101 always 0 {MOBILE}")) == []


def test_our_number_as_an_outside_caller_is_a_loop_too() -> None:
    call = Call(caller=Caller(number="+33170000101"), called="101")
    assert refusals(decide(call, f"101 always 0 {MOBILE}")) == ["loop"]
    forged = Call(caller=Caller(number="101"), called="101")
    assert refusals(decide(forged, f"101 always 0 {MOBILE}")) == []


def test_diversions_before_us_count_as_hops() -> None:
    def far(hops: int) -> Plan:
        diverted_by = tuple(f"+3314000000{n}" for n in range(hops))
        return decide(Call(caller=CUSTOMER, called="101", diverted_by=diverted_by), f"101 always 0 {MOBILE}")

    (leg, _) = far(4).steps
    assert isinstance(leg, Forward)
    assert leg.diversion.count == 5
    assert refusals(far(5)) == ["max-hops"]


def test_rounds_without_any_diversion_end_like_a_chain_too_long() -> None:
    def again(repeats: int) -> Plan:
        return decide(Call(caller=CUSTOMER, called="101", repeats=repeats), f"101 external 0 {MOBILE}")

    assert refusals(again(4)) == []
    assert (refusals(again(5)), brief(again(5))) == (["max-hops"], "101x6 vm:101@default")
    inside = Call(caller=CUSTOMER, called="101", repeats=5)
    assert refusals(decide(inside, "101 external 2 102")) == [], "what stays inside is no round by the carrier"


def test_a_302_to_a_phone_that_sent_the_call_on_rings_nobody() -> None:
    call = Call(caller=CUSTOMER, called="101", passed=("+33170000101", "102"))
    made = decide(call, f"101 always 0 {MOBILE}")
    assert made.steps == (Voicemail("101", "101@default"),)
    assert made.called == "101"


def test_its_first_callees_mailbox_takes_it() -> None:
    call = Call(caller=CUSTOMER, called="102", passed=("101", "102", "103"))
    assert brief(decide(call)) == "vm:101@default"
    nobody = directory(extension("101", mailbox=None), extension("102"))
    (end,) = plan(Call(caller=CUSTOMER, called="102", passed=("101", "102")), nobody, {}, NOW).steps
    assert isinstance(end, End)


def test_a_302_to_somebody_new_rings_him_and_leads_nowhere_back() -> None:
    call = Call(caller=CUSTOMER, called="102", passed=("101",))
    made = decide(call, "102 external 2 101")
    assert isinstance(made.steps[0], Ring)
    assert refusals(made) == ["loop"]
