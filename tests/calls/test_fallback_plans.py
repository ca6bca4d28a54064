"""What is published: the dialplan, reading it at any later moment, does what the service would have decided then."""

from datetime import datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comunik_pbx.asterisk.plan_encoding import decode, encode
from comunik_pbx.calls.fallback_plans import LONGEST_VALUE, addresses, fallback_plans
from comunik_pbx.forwarding.call import Call, Caller
from comunik_pbx.forwarding.directory import Directory
from comunik_pbx.forwarding.plan import plan
from comunik_pbx.forwarding.rules import ExtensionRules, Rule, Rules
from comunik_pbx.forwarding.steps import Forward
from tests.calls.dialplan_reading import fallback, without_caller
from tests.forwarding.company import MOBILE, NOW, any_directory, any_rules, directory, extension, rules

LATER = NOW + timedelta(hours=2)
MUCH_LATER = NOW + timedelta(days=2)


def published(its: Directory, rules: Rules, now: datetime = NOW) -> dict[str, str]:
    stored = dict(addresses(its))
    for number in its.extensions:
        stored |= fallback_plans(number, its, rules, now).entries
    return stored


def live(its: Directory, rules: Rules, called: str, endpoint: str, at: datetime) -> str:
    caller = Caller(extension=its.by_endpoint.get(endpoint))
    return encode(plan(Call(caller=caller, called=called), its, rules, at).steps)


def test_a_rule_that_ends_is_published_with_what_follows_it() -> None:
    its = directory()
    ends = rules("101 external 3 " + MOBILE, until=LATER)
    plans = fallback_plans("101", its, ends, NOW)
    moment = str(int(LATER.timestamp()))
    ring, forward = plans.entries["external/101"].split("|")[1:3]
    assert plans.entries["external/101"].startswith(f"{moment}>1|")
    assert ring == "ring~101~101~3~15~next~~~~~10~0"
    assert MOBILE in forward
    assert plans.entries[f"external/101/{moment}"] == live(its, {}, "101", "", NOW)
    assert plans.until == LATER
    assert list(plans.entries).index(f"external/101/{moment}") < list(plans.entries).index("external/101")


def test_what_the_end_of_a_rule_does_not_change_has_no_end() -> None:
    always = rules("101 always 0 102")["101"].always
    external = rules("101 external 3 " + MOBILE, until=LATER)["101"].external
    both = {"101": ExtensionRules(always=always, external=external)}
    plans = fallback_plans("101", directory(), both, NOW)
    assert plans.until is None
    assert set(plans.entries) == {"external/101", "internal/101", "102/101"}


def test_rules_that_end_one_after_the_other() -> None:
    always = rules("101 always 0 102", until=LATER)["101"].always
    external = rules("101 external 3 " + MOBILE, until=MUCH_LATER)["101"].external
    ends = {"101": ExtensionRules(always=always, external=external)}
    its = directory()
    stored = published(its, ends)
    for at in (NOW, LATER - timedelta(seconds=1), LATER, MUCH_LATER - timedelta(seconds=1), MUCH_LATER):
        assert fallback(stored, "101", "", at.timestamp()) == live(its, ends, "101", "", at)


def test_a_rule_never_acts_in_the_second_of_its_end() -> None:
    its, ends = directory(), rules("101 always 0 102", until=LATER + timedelta(milliseconds=700))
    assert fallback(published(its, ends), "101", "", LATER.timestamp()) == live(its, {}, "101", "", LATER)


def test_the_caller_a_rule_leads_back_to_has_a_plan_of_his_own() -> None:
    its, chain = directory(), rules("101 internal 3 102", "102 always 0 103")
    plans = fallback_plans("101", its, chain, NOW)
    assert set(plans.entries) == {"external/101", "internal/101", "102/101", "103/101"}
    assert plans.consulted == {"101", "102", "103"}
    stored = published(its, chain)
    assert fallback(stored, "101", "102", NOW.timestamp()) == live(its, chain, "101", "102", NOW)


def test_a_plan_too_long_for_ami_goes_on_in_the_next_entry() -> None:
    many = tuple(f"phone-{n:02}-of-101" for n in range(80))
    its = directory(extension("101", endpoints=many))
    entries = fallback_plans("101", its, {}, NOW).entries
    assert set(entries) >= {"external/101", "external/101/more"}
    assert all(len(value) <= LONGEST_VALUE for value in entries.values())
    assert fallback(entries, "101", "", NOW.timestamp()) == live(its, {}, "101", "", NOW)
    assert list(entries).index("external/101/more") < list(entries).index("external/101")


@pytest.mark.parametrize("written", ["+33170000101", "33170000101", "0170000101"])
def test_dids_as_carriers_write_them(written: str) -> None:
    its = directory()
    assert fallback(published(its, {}), written, "", NOW.timestamp()) == live(its, {}, "101", "", NOW)


def test_what_nobody_has_goes_to_the_default_plans() -> None:
    assert fallback(published(directory(), {}), "199", "", NOW.timestamp()) is None


def test_a_did_that_reads_like_an_extension_is_the_extension() -> None:
    its = directory(extension("101"), extension("33170000101", did=()))
    assert "did/33170000101" not in dict(addresses(its))


def test_a_forwarded_inside_call_shows_the_forwarders_number() -> None:
    """One plan serves all callers inside, so it cannot show each one's own DID, as the service does."""
    its, chosen = directory(), rules("101 always 0 " + MOBILE)
    found = fallback(published(its, chosen), "101", "102", NOW.timestamp())
    assert found is not None
    (forward,) = (step for step in decode(found) if isinstance(step, Forward))
    assert forward.shown == forward.diversion.number == "+33170000101"


def shown_aside(encoded: str) -> str:
    """A plan without the number that forwarded legs show."""
    steps = decode(encoded)
    return encode(tuple(msgspec.structs.replace(s, shown=None) if isinstance(s, Forward) else s for s in steps))


soon = st.none() | st.integers(-2, 8).map(lambda hours: NOW + timedelta(hours=hours, milliseconds=hours % 3 * 400))


@st.composite
def rules_that_end(draw: st.DrawFn) -> dict[str, ExtensionRules]:
    def ending(rule: Rule | None) -> Rule | None:
        return None if rule is None else msgspec.structs.replace(rule, until=draw(soon))

    return {
        number: ExtensionRules(always=ending(its.always), internal=ending(its.internal), external=ending(its.external))
        for number, its in draw(any_rules()).items()
    }


@settings(max_examples=200)
@given(any_directory(), rules_that_end(), st.integers(0, 10 * 3600), st.data())
def test_published_is_what_the_service_would_decide(
    its: Directory, chosen: Rules, seconds: int, data: st.DataObject
) -> None:
    at = NOW + timedelta(seconds=seconds)
    called = data.draw(st.sampled_from(sorted(its.extensions)))
    stored = {**dict(addresses(its)), **fallback_plans(called, its, chosen, NOW).entries}
    endpoint = data.draw(st.sampled_from(["", "carrier", *sorted(its.by_endpoint)]))
    caller = its.by_endpoint.get(endpoint, "")
    found = fallback(stored, called, endpoint, at.timestamp())
    assert found is not None
    found = shown_aside(found)
    # The dialplan counts whole seconds: at the second of an end the rule is already over.
    moments = (at, at + timedelta(seconds=1))
    wanted = {shown_aside(live(its, chosen, called, endpoint, moment)) for moment in moments}
    if caller == called:  # his own phones do not ring, whatever the plan; causes and indexes may differ
        kinds = {"|".join(step.split("~")[0] for step in without_caller(one, caller).split("|")) for one in wanted}
        assert "|".join(step.split("~")[0] for step in found.split("|")) in kinds
    else:
        assert found in wanted
