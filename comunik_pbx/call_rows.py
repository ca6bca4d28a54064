"""Call records as the store keeps them."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import msgspec

from comunik_pbx.calls.records import CallRecord
from comunik_pbx.store import CallRow

BEGUN_REMEMBERED = 10_000
"""Of so many calls in progress the row written last is remembered."""


class CallRows:
    """Makes rows of records. At its end most of a call's row is what it was at its beginning, which is remembered."""

    def __init__(self) -> None:
        self._begun: OrderedDict[str, tuple[CallRecord, CallRow]] = OrderedDict()

    def of(self, record: CallRecord) -> CallRow:
        """The row of a record."""
        begun = self._begun.pop(record.id, None)
        if begun is not None and _is_its_end(record, begun[0]):
            return msgspec.structs.replace(begun[1], **_outcome(record))
        row = call_row(record)
        if record.ended_at is None:
            self._begun[record.id] = record, row
            if len(self._begun) > BEGUN_REMEMBERED:
                self._begun.popitem(last=False)
        return row


def _is_its_end(record: CallRecord, begun: CallRecord) -> bool:
    """Whether all that was known at the beginning is still true: the very same objects."""
    return (
        record.ended_at is not None
        and record.steps is begun.steps
        and record.trace is begun.trace
        and record.call is begun.call
        and record.started_at is begun.started_at
        and record.decided is begun.decided
        and record.extension == begun.extension
    )


def _outcome(record: CallRecord) -> dict[str, Any]:
    """What the end of a call adds to its row."""
    outcome = record.outcomes_json()
    return {"ended_at": record.ended_at, "outcome": outcome, "status": record.status, "cause": record.cause}


def call_row(record: CallRecord) -> CallRow:
    """A call record as the store keeps it."""
    return CallRow(
        id=record.id,
        started_at=record.started_at,
        caller=str(record.call.caller),
        called=record.call.called,
        extension=record.extension,
        origin=record.call.caller.origin.value,
        decided=record.decided.value,
        plan=record.plan_json(),
        trace=record.trace_json(),
        **_outcome(record),
    )


def forwarded_today(rows: Iterable[CallRow]) -> dict[str, int]:
    """How many calls each extension forwarded to outside, in these records."""
    counts: dict[str, int] = {}
    for row in rows:
        done = {outcome["index"] for outcome in row.outcome if outcome["status"] != "SKIPPED"}
        forwarders = {
            step["diverting"] for index, step in enumerate(row.plan, 1) if step["kind"] == "forward" and index in done
        }
        for extension in forwarders:
            counts[extension] = counts.get(extension, 0) + 1
    return counts
