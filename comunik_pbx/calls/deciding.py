"""One call decided, however it asked: what the dialplan says of it → Call → plan(…) → a record, and the plan as text.

The arguments are those that dialplan/incoming.conf gives to Stasis(), and dialplan/fastagi.conf to AGI().
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from comunik_pbx.asterisk.plan_encoding import dial_time, encode
from comunik_pbx.calls.caller import caller
from comunik_pbx.calls.records import Records
from comunik_pbx.calls.snapshot import SnapshotSource
from comunik_pbx.forwarding.call import Call
from comunik_pbx.forwarding.directory import Directory
from comunik_pbx.forwarding.plan import Plan, Usage, plan
from comunik_pbx.forwarding.rules import Rules
from comunik_pbx.forwarding.steps import Ring, Step

Decide = Callable[[Call, Directory, Rules, datetime, Mapping[str, Usage]], Plan]


class Decided(msgspec.Struct, frozen=True):
    """What was decided, of which pass of the channel, and the plan as the dialplan reads it.

    `again`: it had been decided before, with all that is known now, and has not ended. `at_once`: the time of `Dial()`,
    if the plan begins with the ringing of one phone that nobody diverted to, as most do; else empty.
    """

    passes: int
    steps: tuple[Step, ...]
    encoded: str
    again: bool = False
    at_once: str = ""


class Decisions:
    """Decides calls at once, from memory, and opens their records.

    `watched` says whether somebody will end the ringing exactly, so that the dialplan should not; `knows_start` whether
    Asterisk's `Dial()` gives up what shows no sign of life.
    """

    def __init__(
        self,
        snapshot: SnapshotSource,
        records: Records,
        *,
        watched: bool = False,
        knows_start: bool = True,
        decide: Decide = plan,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._snapshot = snapshot
        self._records = records
        self._watched = watched
        self._knows_start = knows_start
        self._decide = decide
        self._clock = clock

    def decide(self, channel: str, arguments: Sequence[str], number: str) -> Decided:
        """Decide for a channel (UNIQUEID), and open the record.

        `number` is the caller's as received. Raises ValueError for arguments that are not the dialplan's.
        """
        match arguments:
            case ["incoming", called, endpoint, presentation, *further]:
                passes, diverted_by, seen, sent_by = (*further, *("", "", "", "")[len(further) :])[:4]
            case _:
                raise ValueError(
                    "the dialplan must say incoming,CALLED,ENDPOINT,PRESENTATION,PASS,DIVERTED,SEEN,SENT_BY and said "
                    f"{','.join(arguments)!r}"
                )
        snapshot, now, nth = self._snapshot(), self._clock(), int(passes or 1)
        self._records.asks(channel, nth, now)
        directory = snapshot.directory
        who = caller(directory, endpoint, number, presentation)
        call = Call(
            caller=who,
            called=called,
            diverted_by=_numbers(diverted_by),
            passed=_numbers(seen)[:-1],  # the last is what is called now
            sent_by=directory.by_endpoint.get(sent_by),
            repeats=self._records.rounds.of(who, called, now),
        )
        decision = self._decide(call, directory, snapshot.rules, now, self._records.usage.at(now))
        encoded = encode(decision.steps, watched=self._watched, received=number)
        again = self._records.decided(channel, call, decision, now, nth)
        return Decided(nth, decision.steps, encoded, again, self._at_once(decision.steps) if nth == 1 else "")

    def _at_once(self, steps: tuple[Step, ...]) -> str:
        """The time of Dial() for the first step, if it is one that the dialplan can begin with at once."""
        first = steps[0] if steps else None
        if not isinstance(first, Ring) or len(first.endpoints) != 1 or first.diversion is not None:
            return ""
        return dial_time(first.seconds, first.start_seconds, watched=self._watched, knows_start=self._knows_start)


def _numbers(joined: str) -> tuple[str, ...]:
    """Numbers as the dialplan joins them: `+33170000101&102`."""
    return tuple(number for number in joined.split("&") if number)
