"""Calls as they ask: again too; which plans the dialplan may begin at once, and for how long its Dial() rings then."""

import pytest

from comunik_pbx.calls.deciding import Decided, Decisions
from comunik_pbx.calls.records import Records
from comunik_pbx.calls.snapshot import Snapshot
from comunik_pbx.forwarding.call import Origin
from comunik_pbx.forwarding.directory import Extension
from comunik_pbx.forwarding.plan import Plan
from comunik_pbx.forwarding.steps import Diversion, End, Forward, OnBusy, Reason, Ring, Step
from tests.calls.test_interception import COMPANY
from tests.calls.test_records import Kept
from tests.forwarding.company import MOBILE, NOW, directory, rules

RING = Ring("101", ("101",), 3, 15.0, OnBusy.NEXT, start_seconds=10.0)
BRIEF = Ring("101", ("101",), 1, 0.5, OnBusy.NEXT, start_seconds=10.0)
DIVERTED = Ring("102", ("102",), 3, 15.0, OnBusy.NEXT, Diversion("101", "101", Reason.UNCONDITIONAL, 1))


def decided(*steps: Step, passes: int = 1, **options: bool) -> Decided:
    records = Records(Kept(), lambda: COMPANY, clock=lambda: NOW)
    plan = Plan(Origin.EXTERNAL, "101", steps, ())
    decisions = Decisions(lambda: COMPANY, records, decide=lambda *_: plan, clock=lambda: NOW, **options)
    return decisions.decide("7.1", ["incoming", "101", "carrier", "allowed", str(passes)], "")


@pytest.mark.parametrize(
    ("steps", "passes", "at_once"),
    [
        pytest.param((RING, End(19)), 1, True, id="one phone"),
        pytest.param((RING, End(19)), 2, False, id="a transferred caller, whose channel has been used before"),
        pytest.param((DIVERTED,), 1, False, id="a phone that a call is diverted to"),
        pytest.param((Ring("101", ("101", "101-mobile"), 3, 15.0, OnBusy.NEXT),), 1, False, id="two phones"),
        pytest.param((End(1),), 1, False, id="nobody"),
        pytest.param((), 1, False, id="nothing"),
    ],
)
def test_what_rings_one_phone_first_is_begun_at_once(steps: tuple[Step, ...], passes: int, at_once: bool) -> None:
    assert bool(decided(*steps, passes=passes).at_once) is at_once


@pytest.mark.parametrize(
    ("ring", "watched", "knows_start", "time"),
    [
        pytest.param(RING, True, True, "25.9:^10", id="the service ends it"),
        pytest.param(RING, False, True, "14.9:^10", id="Dial() ends it"),
        pytest.param(RING, True, False, "25.9", id="a Dial() that does not give up what is silent"),
        pytest.param(BRIEF, False, True, "1:^10", id="no Dial() knows less than a second"),
    ],
)
def test_the_time_of_dial(ring: Ring, watched: bool, knows_start: bool, time: str) -> None:
    assert decided(ring, watched=watched, knows_start=knows_start).at_once == time


def test_a_call_that_asks_again_does_not_count_against_itself() -> None:
    """The dialplan has found no plan, or a Diversion header: limits and rounds are those of other calls."""
    extension = Extension(number="101", endpoints=("101",), max_outside_calls=1)
    company = Snapshot(directory(extension, max_hops=1), rules(f"101 always 0 {MOBILE}"))
    records = Records(Kept(), lambda: company, clock=lambda: NOW)
    decisions = Decisions(lambda: company, records, clock=lambda: NOW)

    def asks(channel: str) -> Step:
        return decisions.decide(channel, ["incoming", "101", "carrier", "allowed"], "+33140000000").steps[0]

    assert isinstance(asks("7.1"), Forward)
    assert isinstance(asks("7.1"), Forward)
    assert isinstance(asks("7.2"), Ring), "another call counts"
    assert records.usage.at(NOW)["101"].at_once == 1
