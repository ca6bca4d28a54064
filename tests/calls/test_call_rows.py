"""Rows of records: what is remembered of a call's beginning is its end's too, unless something else came of it."""

from datetime import timedelta

import msgspec
import pytest

from comunik_pbx import call_rows
from comunik_pbx.call_rows import CallRows, call_row
from comunik_pbx.calls.call_end import Decided, StepOutcome
from comunik_pbx.calls.records import CallRecord
from comunik_pbx.forwarding.call import Call, Caller
from comunik_pbx.forwarding.plan import plan
from comunik_pbx.store import CallRow
from tests.forwarding.company import MOBILE, NOW, directory, rules

CALL = Call(caller=Caller(number="+33140000000"), called="101")
PLAN = plan(CALL, directory(), rules(f"101 external 3 {MOBILE}"), NOW)
BEGUN = CallRecord(
    id="7.1", started_at=NOW, call=CALL, extension="101", decided=Decided.LIVE, steps=PLAN.steps, trace=PLAN.trace
)
ENDED = msgspec.structs.replace(
    BEGUN,
    ended_at=NOW + timedelta(seconds=30),
    outcomes=(StepOutcome(1, "ANSWER", 16, 2000, "PJSIP/101-0000000a", 20000),),
    status="answered",
    cause=16,
)


def test_an_end_is_the_row_that_it_would_be_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, made = CallRows(), list[str]()

    def counted(record: CallRecord) -> CallRow:
        made.append(record.id)
        return call_row(record)

    monkeypatch.setattr(call_rows, "call_row", counted)
    assert (rows.of(BEGUN), rows.of(ENDED)) == (call_row(BEGUN), call_row(ENDED))
    assert made == ["7.1"]
    assert rows.of(ENDED) == call_row(ENDED), "written once more, for the store would not take it"


@pytest.mark.parametrize(
    "change",
    [
        {"decided": Decided.PUBLISHED},
        {"steps": PLAN.steps[1:]},
        {"trace": ()},
        {"started_at": NOW - timedelta(seconds=2)},
        {"call": Call(caller=Caller(number="+33140000001"), called="101")},
        {"extension": "102"},
    ],
)
def test_an_end_of_another_plan_than_was_begun(change: dict[str, object]) -> None:
    rows = CallRows()
    rows.of(BEGUN)
    other = msgspec.structs.replace(ENDED, **change)
    assert rows.of(other) == call_row(other)


def test_calls_of_which_no_end_comes_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_rows, "BEGUN_REMEMBERED", 10)
    rows = CallRows()
    for number in range(50):
        rows.of(msgspec.structs.replace(BEGUN, id=f"7.{number}"))
    assert len(rows._begun) == 10
