from datetime import UTC, datetime, timedelta

import pytest

from comunik_pbx.asterisk.plan_encoding import encode
from comunik_pbx.calls.call_end import CallEnd, Decided, StepOutcome, call_end
from comunik_pbx.calls.records import UNKNOWN, CallRecord, Records
from comunik_pbx.calls.snapshot import Snapshot
from comunik_pbx.forwarding.call import Call, Caller
from comunik_pbx.forwarding.plan import Plan, Usage, plan
from comunik_pbx.forwarding.steps import Forward
from tests.forwarding.company import BACKUP, CARRIER, MOBILE, NOW, directory, rules

COMPANY = Snapshot(directory(trunks=(CARRIER, BACKUP)), rules(f"101 external 3 {MOBILE}"))
OUTSIDE = Call(caller=Caller(number="+33140000000"), called="101")
CHANNEL = "1772443800.7"


class Kept:
    """A sink that keeps everything, in order."""

    def __init__(self) -> None:
        self.all: list[CallRecord] = []

    def put(self, record: CallRecord) -> None:
        self.all.append(record)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **time: float) -> None:
        self.now += timedelta(**time)


@pytest.fixture
def sink() -> Kept:
    return Kept()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def records(sink: Kept, clock: Clock) -> Records:
    return Records(sink, lambda: COMPANY, clock=clock)


def decision(call: Call = OUTSIDE) -> Plan:
    return plan(call, COMPANY.directory, COMPANY.rules, NOW)


def end(channel: str = CHANNEL, steps: str = "", **changes: str) -> CallEnd:
    usual = {
        "call": channel,
        "called": "101",
        "endpoint": "carrier",
        "callernum": "0140000000",
        "callerpres": "allowed",
        "decided": "live",
        "plan": encode(decision().steps),
        "steps": steps,
        "status": "answered",
        "cause": "16",
    }
    return call_end(usual | changes)


def usage(records: Records, clock: Clock) -> Usage:
    return records.usage.at(clock()).get("101", Usage())


def test_a_call_is_recorded_when_decided_and_completed_when_it_ends(records: Records, sink: Kept, clock: Clock) -> None:
    decided = decision()
    records.decided(CHANNEL, OUTSIDE, decided, clock())
    clock.pass_by(seconds=30)
    records.ended(end(steps="1~NOANSWER~19~15000~~0|2~ANSWER~16~3000~PJSIP/carrier-1~9000"))
    opened, closed = sink.all
    assert (opened.id, opened.extension, opened.decided, opened.ended_at) == (CHANNEL, "101", Decided.LIVE, None)
    assert (opened.steps, opened.trace) == (decided.steps, decided.trace)
    assert (closed.started_at, closed.ended_at) == (NOW, NOW + timedelta(seconds=30))
    assert (closed.status, closed.cause, closed.trace) == ("answered", 16, decided.trace)
    assert [outcome.status for outcome in closed.outcomes] == ["NOANSWER", "ANSWER"]
    assert len(records) == 0


def test_its_json_is_that_of_explain(records: Records, sink: Kept, clock: Clock) -> None:
    records.decided(CHANNEL, OUTSIDE, decision(), clock())
    records.ended(end(steps="1~NOANSWER~19~15000~~0"))
    record = sink.all[-1]
    assert [step["kind"] for step in record.plan_json()] == ["ring", "forward", "forward", "voicemail"]
    assert all(entry["why"] for entry in record.trace_json())
    assert record.outcomes_json() == [
        {"index": 1, "status": "NOANSWER", "cause": 19, "ring_ms": 15000, "answered_by": None, "answered_ms": 0}
    ]


def test_a_call_that_the_dialplan_decided_alone(records: Records, sink: Kept, clock: Clock) -> None:
    records.ended(end(decided="default", plan="1|ring~101~101~6~29.9~next~~~~|end~19"))
    (record,) = sink.all
    assert (record.decided, record.extension, record.call) == (Decided.DEFAULT, "101", OUTSIDE)
    assert record.started_at == datetime.fromtimestamp(1772443800, UTC)
    assert [step["kind"] for step in record.plan_json()] == ["ring", "end"]
    assert record.trace == ()


def test_the_guard_was_quicker_than_our_decision(records: Records, sink: Kept, clock: Clock) -> None:
    clock.now = datetime.fromtimestamp(1772443800 + 7, UTC)  # the service hung for seven seconds
    records.decided(CHANNEL, OUTSIDE, decision(), clock())
    records.ended(end(decided="published", plan="1|end~19"))
    record = sink.all[-1]
    assert (record.decided, record.trace) == (Decided.PUBLISHED, ())
    assert [step["kind"] for step in record.plan_json()] == ["end"]
    assert record.started_at == datetime.fromtimestamp(1772443800, UTC), "when it called, not when the service woke"
    assert usage(records, clock) == Usage()


def test_a_call_lives_from_its_decision_to_its_end(records: Records, clock: Clock) -> None:
    assert not records.lives(CHANNEL, 1)
    records.decided(CHANNEL, OUTSIDE, decision(), clock())
    assert records.lives(CHANNEL, 1)
    assert not records.lives(CHANNEL, 2)
    records.decided(CHANNEL, OUTSIDE, decision(), clock(), 2)  # transferred
    records.ended(end())
    assert (records.lives(CHANNEL, 1), records.lives(CHANNEL, 2)) == (False, True)
    records.close_missing([], clock() + timedelta(seconds=1))
    assert not records.lives(CHANNEL, 2)


def test_an_end_told_before_its_beginning(records: Records, sink: Kept, clock: Clock) -> None:
    records.ended(end(decided="", plan="", status="abandoned", cause=""))
    records.decided(CHANNEL, OUTSIDE, decision(), clock())
    assert len(records) == 0
    assert [record.status for record in sink.all] == ["abandoned"]
    assert usage(records, clock) == Usage()


def test_a_transferred_caller_has_a_second_record(records: Records, sink: Kept, clock: Clock) -> None:
    records.decided(CHANNEL, OUTSIDE, decision(), clock())
    records.ended(end(**{"pass": "1"}))
    records.decided(CHANNEL, OUTSIDE, decision(), clock(), passes=2)
    assert len(records) == 1
    records.ended(end(**{"pass": "2"}))
    assert [record.id for record in sink.all] == [CHANNEL, CHANNEL, f"{CHANNEL}#2", f"{CHANNEL}#2"]
    assert records.close_missing([], clock() + timedelta(seconds=1)) == 0


def test_a_plan_that_cannot_be_read_still_gives_a_record(records: Records, sink: Kept) -> None:
    records.ended(end(decided="default", plan="9|what"))
    assert sink.all[0].steps == ()


def test_calls_whose_end_nobody_told_are_closed_as_unknown(records: Records, sink: Kept, clock: Clock) -> None:
    for channel in ("1.1", "1.2", "1.3"):
        records.decided(channel, OUTSIDE, decision(), clock())
        clock.pass_by(seconds=1)
    # 1.3 began while the list of channels was fetched, so its absence there says nothing.
    assert records.close_missing({"1.2"}, NOW + timedelta(seconds=2)) == 1
    assert [(record.id, record.status) for record in sink.all[3:]] == [("1.1", UNKNOWN)]
    assert usage(records, clock) == Usage(at_once=2)
    records.ended(end("1.1"))  # it was only late
    assert (sink.all[-1].status, sink.all[-1].trace) == ("answered", decision().trace)
    assert usage(records, clock) == Usage(at_once=2)


def test_an_earlier_call_of_a_transferred_caller_is_closed_with_the_later_one(
    records: Records, sink: Kept, clock: Clock
) -> None:
    records.decided("1.1", OUTSIDE, decision(), clock())
    records.decided("1.1", OUTSIDE, decision(), clock(), passes=2)
    records.decided("1.1", OUTSIDE, decision(), clock(), passes=3)
    records.ended(end("1.1", **{"pass": "2"}))  # the end of the first was missed; the third goes on
    assert [(record.id, record.status) for record in sink.all[3:]] == [("1.1", UNKNOWN), ("1.1#2", "answered")]
    assert usage(records, clock) == Usage(at_once=1)


def test_open_records_are_bounded(sink: Kept, clock: Clock) -> None:
    records = Records(sink, lambda: COMPANY, most_open=2, clock=clock)
    for channel in ("1.1", "1.2", "1.3"):
        records.decided(channel, OUTSIDE, decision(), clock())
    assert len(records) == 2
    assert [record.id for record in sink.all if record.status == UNKNOWN] == ["1.1"]


# Usage, for the limits.


def test_a_possible_forward_counts_while_the_call_lasts_and_today_if_it_was_carried_out(
    records: Records, clock: Clock
) -> None:
    assert [type(step) for step in decision().steps].count(Forward) == 2  # two trunks, one forward
    records.decided(CHANNEL, OUTSIDE, decision(), clock())
    assert usage(records, clock) == Usage(at_once=1)
    records.ended(end(steps="1~NOANSWER~19~0~~0|2~CHANUNAVAIL~34~0~~0|3~ANSWER~16~0~x~1"))
    assert usage(records, clock) == Usage(today=1)
    clock.pass_by(days=1)
    assert usage(records, clock) == Usage()


def test_a_forward_that_was_not_needed_does_not_count(records: Records, clock: Clock) -> None:
    records.decided(CHANNEL, OUTSIDE, decision(), clock())
    records.ended(end(steps="1~ANSWER~16~3000~PJSIP/101-1~9000|2~SKIPPED~0~0~~0"))
    assert usage(records, clock) == Usage()


def test_the_day_turns_while_a_forward_lasts(records: Records, clock: Clock) -> None:
    records.decided(CHANNEL, OUTSIDE, decision(), clock())
    records.usage.restore({"101": 7}, clock())
    assert usage(records, clock) == Usage(at_once=1, today=7)
    clock.pass_by(days=1)
    assert usage(records, clock) == Usage(at_once=1)


def test_outcomes_of_a_plan_count_from_one() -> None:
    assert end(steps="1~BUSY~17~0~~0").outcomes == (StepOutcome(1, "BUSY", 17),)


def test_calls_of_one_number_going_round_are_counted_for_a_minute_and_while_they_last(
    records: Records, clock: Clock
) -> None:
    who = OUTSIDE.caller
    for channel in ("1.1", "1.2"):
        records.decided(channel, OUTSIDE, decision(), clock())
        clock.pass_by(seconds=30)
    assert records.rounds.of(who, "101", clock()) == 1
    assert records.rounds.of(Caller(number="+33140000001"), "101", clock()) == 0
    assert records.rounds.of(who, "102", clock()) == 0
    inside = Call(caller=Caller(extension="102", number="102"), called="101")
    records.decided("1.3", inside, decision(), clock())
    assert records.rounds.of(inside.caller, "101", clock()) == 0
    for channel in ("1.1", "1.2", "1.3"):
        records.ended(end(channel))
    assert records.rounds.of(who, "101", clock()) == 0
    assert records.rounds._begun == {}
