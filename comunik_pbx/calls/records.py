"""Call records: what was decided, joined with what came of it.

A record is opened when the call is decided and closed by what the dialplan reports at its end. A call that the dialplan
decided alone (service away, or too slow) has its record from that report alone.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
import structlog

from comunik_pbx.asterisk.plan_encoding import NotAPlan, decode
from comunik_pbx.calls.call_end import CallEnd, Decided, StepOutcome
from comunik_pbx.calls.caller import caller
from comunik_pbx.calls.snapshot import SnapshotSource
from comunik_pbx.calls.usage import ForwardUsage, Rounds, forwarders
from comunik_pbx.forwarding.call import Call
from comunik_pbx.forwarding.explain import step_json, trace_json
from comunik_pbx.forwarding.plan import Plan, TraceEntry
from comunik_pbx.forwarding.steps import Forward, Step

log = structlog.get_logger(__name__)

UNKNOWN = "unknown"
"""The status of a call of which nobody told the end (Asterisk died)."""

_STATUSES = frozenset(("answered", "voicemail", "ended", "abandoned", UNKNOWN))

_ENDED_REMEMBERED = 1000


class CallRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One call. `id` is Asterisk's UNIQUEID, with `#2` for a caller who was transferred and came again.

    Moments are aware, UTC.
    `extension` is the one reached first, None if there is none. `steps` is the plan that was carried out, `trace` why
    (empty when the dialplan decided). `ended_at`, `status` and `cause` are None while the call lasts; `status` is
    answered, voicemail, ended, abandoned or unknown; `cause` is Q.850.
    """

    id: str
    started_at: datetime
    call: Call
    extension: str | None
    decided: Decided
    steps: tuple[Step, ...] = ()
    trace: tuple[TraceEntry, ...] = ()
    ended_at: datetime | None = None
    outcomes: tuple[StepOutcome, ...] = ()
    status: str | None = None
    cause: int | None = None

    def plan_json(self) -> list[dict[str, Any]]:
        """The steps as `explain --json` gives them."""
        return [step_json(step) for step in self.steps]

    def trace_json(self, language: str = "en") -> list[dict[str, Any]]:
        """The reasons as `explain --json` gives them."""
        return [trace_json(entry, self.call.caller.origin, language) for entry in self.trace]

    def outcomes_json(self) -> list[dict[str, Any]]:
        """What came of each step, field by field."""
        return [msgspec.structs.asdict(outcome) for outcome in self.outcomes]


class RecordSink(Protocol):
    """Where records go. `put` never waits; a later record replaces one of the same id."""

    def put(self, record: CallRecord) -> None:
        """Take a record, open or closed."""


class Records:
    """The records of calls in progress. At most `most_open`: beyond it the oldest is closed as unknown.

    `counted` counts calls ended, by who decided them and how they ended.
    """

    def __init__(
        self,
        sink: RecordSink,
        snapshot: SnapshotSource,
        *,
        most_open: int = 10_000,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._sink = sink
        self._snapshot = snapshot
        self._most_open = most_open
        self._clock = clock
        self._open: OrderedDict[str, CallRecord] = OrderedDict()
        self._ended: OrderedDict[str, CallRecord] = OrderedDict()
        self.usage = ForwardUsage()
        self.rounds = Rounds()
        self.counted: Counter[tuple[str, str]] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def decided(self, channel: str, call: Call, plan: Plan, now: datetime, passes: int = 1) -> bool:
        """A call that asked (`asks`) was decided by the service, the `passes`th of this channel (UNIQUEID).

        Whether it had been already, though nothing more is known of who diverted it.
        """
        record_id = _record_id(channel, passes)
        if record_id in self._ended:
            return False  # its end was told before its beginning
        before = self._open.pop(record_id, None)
        if before is None and len(self._open) >= self._most_open:
            self._close_unknown(next(iter(self._open)), now)
        record = CallRecord(
            id=record_id,
            started_at=now if before is None else before.started_at,
            call=call,
            extension=plan.called,
            decided=Decided.LIVE,
            steps=plan.steps,
            trace=plan.trace,
        )
        self._open[record_id] = record
        if by := forwarders(plan.steps):
            self.usage.begin(by, now)
            self.rounds.begin(call, now)
        self._sink.put(record)
        return before is not None and before.call.diverted_by == call.diverted_by

    def asks(self, channel: str, passes: int, now: datetime) -> None:
        """A call asks what is to become of it, perhaps once more: its own forwards must not count against it then."""
        if (before := self._open.get(record_id := _record_id(channel, passes))) is not None:
            self._released(before, (), now)
            self._open[record_id] = msgspec.structs.replace(before, steps=())

    def lives(self, channel: str, passes: int) -> bool:
        """Whether a call that we decided has not ended, as far as we know."""
        return _record_id(channel, passes) in self._open

    def has_ended(self, channel: str, passes: int) -> bool:
        """Whether we were told how a call ended, a short while ago."""
        known = self._ended.get(_record_id(channel, passes))
        return known is not None and known.status != UNKNOWN

    def just_ended(self) -> set[str]:
        """Records (`CallRecord.id`) whose end we were told a short while ago: the store may not have it yet."""
        return {record.id for record in self._ended.values() if record.status != UNKNOWN}

    def ended(self, end: CallEnd) -> CallRecord:
        """A call ended: its complete record. Told twice (by ARI and from AstDB), it counts once."""
        now = self._clock()
        record_id = _record_id(end.channel, end.passes)
        known = self._ended.get(record_id)
        if known is not None and self.has_ended(end.channel, end.passes):
            self._sink.put(known)  # else whoever kept its end for us would do so for ever
            return known
        opened = self._open.pop(record_id, None)
        if end.passes > 1:  # ends come in their order: that of an earlier pass, if it is still open, has been missed
            for earlier in [i for i in self._open if _channel(i) == end.channel and _passes(i) < end.passes]:
                self._close_unknown(earlier, now)
        # A record closed as unknown a moment ago is completed, if its end is told after all.
        record = self._closed(end, opened or known, min(end.ended_at or now, now))
        self._released(opened, _forwarded(record), now)
        self._remember(record)
        return record

    def close_missing(self, alive: Collection[str], began_before: datetime) -> int:
        """Close as unknown the calls begun before a moment whose channels are not among those alive then."""
        missing = [i for i, r in self._open.items() if r.started_at < began_before and _channel(i) not in alive]
        for record_id in missing:
            self._close_unknown(record_id, self._clock())
        return len(missing)

    def _close_unknown(self, record_id: str, now: datetime) -> None:
        opened = self._open.pop(record_id)
        self._released(opened, (), now)
        self._remember(msgspec.structs.replace(opened, ended_at=now, status=UNKNOWN))

    def _released(self, opened: CallRecord | None, forwarded: Iterable[str], now: datetime) -> None:
        """A call that may have been counted as it was `opened` counts no more; `forwarded` forwarded it."""
        by = forwarders(opened.steps) if opened else ()
        self.usage.end(by, forwarded, now)
        if opened and by:
            self.rounds.end(opened.call)

    def _remember(self, record: CallRecord) -> None:
        self.counted[record.decided.value, record.status if record.status in _STATUSES else "other"] += 1
        self._ended[record.id] = record
        if len(self._ended) > _ENDED_REMEMBERED:
            self._ended.popitem(last=False)
        self._sink.put(record)

    def _closed(self, end: CallEnd, opened: CallRecord | None, ended_at: datetime) -> CallRecord:
        live = end.decided in (Decided.LIVE, None)
        if opened is not None and live:
            return msgspec.structs.replace(
                opened, ended_at=ended_at, outcomes=end.outcomes, status=end.status, cause=end.cause
            )
        steps = _carried_out(end)
        if opened is None:
            directory = self._snapshot().directory
            called = directory.called(end.called)
            opened = CallRecord(
                id=_record_id(end.channel, end.passes),
                started_at=ended_at,
                call=Call(caller=caller(directory, end.endpoint, end.number, end.presentation), called=end.called),
                extension=called.number if called else None,
                decided=Decided.DEFAULT,
            )
        # Another plan than ours was carried out (the guard was quicker), so our reasons are not this call's, and it
        # began before we knew of it, by as much as the service hung.
        return msgspec.structs.replace(
            opened,
            started_at=_began(end.channel, opened.started_at) if end.passes == 1 else opened.started_at,
            decided=end.decided or Decided.DEFAULT,
            steps=steps,
            trace=(),
            ended_at=ended_at,
            outcomes=end.outcomes,
            status=end.status,
            cause=end.cause,
        )


def _record_id(channel: str, passes: int) -> str:
    return channel if passes == 1 else f"{channel}#{passes}"


def _channel(record_id: str) -> str:
    return record_id.partition("#")[0]


def _passes(record_id: str) -> int:
    return int(record_id.partition("#")[2] or 1)


def _carried_out(end: CallEnd) -> tuple[Step, ...]:
    try:
        return decode(end.plan) if end.plan else ()
    except NotAPlan as error:
        log.warning("a call's plan cannot be read", call=end.channel, why=str(error))
        return ()


def _forwarded(record: CallRecord) -> set[str]:
    """The extensions whose forward to outside was carried out, once however many trunks it took."""
    done = {outcome.index for outcome in record.outcomes if outcome.status != "SKIPPED"}
    return {
        step.diversion.extension
        for index, step in enumerate(record.steps, 1)
        if isinstance(step, Forward) and index in done
    }


def _began(unique_id: str, ended_at: datetime) -> datetime:
    """When the channel was made: UNIQUEID is `[system-]seconds.serial`; the end, if it is not of that form."""
    seconds = unique_id.rpartition("-")[2].partition(".")[0]
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 11):
        return ended_at
    return min(datetime.fromtimestamp(int(seconds), UTC), ended_at)
