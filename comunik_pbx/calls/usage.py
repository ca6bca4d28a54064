"""Forwarded calls to outside, counted: by extension for its limits (at a time, and per day), by caller for loops."""

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time, timedelta

from comunik_pbx.forwarding.call import Call, Caller
from comunik_pbx.forwarding.plan import Usage
from comunik_pbx.forwarding.steps import Forward, Step


def forwarders(steps: Iterable[Step]) -> frozenset[str]:
    """The extensions that forward to outside in these steps: their rights and limits count, not the caller's."""
    return frozenset(step.diversion.extension for step in steps if isinstance(step, Forward))


class ForwardUsage:
    """Outside forwards now in progress and carried out today, by extension.

    A call whose plan may forward to outside counts as in progress until it ends, since nobody tells when the
    forward begins. `today` counts forwards really carried out; the day is that of the moments given (local time).
    """

    def __init__(self) -> None:
        self._day = (_NEVER, _NEVER)  # its beginning, and the next one's
        self._usage: dict[str, Usage] = {}

    def at(self, now: datetime) -> Mapping[str, Usage]:
        """The usage as `plan` wants it, at an aware moment."""
        self._turn(now)
        return self._usage

    def begin(self, extensions: Iterable[str], now: datetime) -> None:
        """A call that may be forwarded to outside by these extensions began."""
        self._turn(now)
        for extension in extensions:
            self._add(extension, at_once=1)

    def end(self, extensions: Iterable[str], forwarded: Iterable[str], now: datetime) -> None:
        """Such a call ended; `forwarded` are the extensions whose forward was carried out."""
        self._turn(now)
        for extension in extensions:
            self._add(extension, at_once=-1)
        for extension in forwarded:
            self._add(extension, today=1)

    def restore(self, today: Mapping[str, int], now: datetime) -> None:
        """Forwards of today that were counted before a restart."""
        self._turn(now)
        for extension, count in today.items():
            self._add(extension, today=count)

    def _add(self, extension: str, at_once: int = 0, today: int = 0) -> None:
        old = self._usage.get(extension, _NONE)
        new = Usage(max(0, old.at_once + at_once), old.today + today)
        if new == _NONE:
            self._usage.pop(extension, None)
        else:
            self._usage[extension] = new

    def _turn(self, now: datetime) -> None:
        begin, end = self._day
        if begin <= now < end:
            return
        today = now.astimezone().date()
        begin, end = (datetime.combine(day, time()).astimezone(UTC) for day in (today, today + timedelta(days=1)))
        self._day = begin, end
        self._usage = {e: Usage(u.at_once, 0) for e, u in self._usage.items() if u.at_once}


_NONE = Usage()
_NEVER = datetime.max.replace(tzinfo=UTC)


LOOP_SECONDS = 60.0
"""How long a call that goes round may take for its rounds: as long as an outside leg may ring by default."""


class Rounds:
    """Calls in progress that may be forwarded outside, by the outside number that calls and by what it calls.

    A carrier that takes Diversion headers away sends a call back as if it were a new one: the same number calls the
    same extension again and again, each time before the call before it has ended.
    """

    def __init__(self) -> None:
        self._begun: dict[tuple[str, str], deque[datetime]] = {}

    def of(self, caller: Caller, called: str, now: datetime) -> int:
        """How many there are that began within `LOOP_SECONDS`; none of inside callers and unknown numbers."""
        begun = self._begun.get((caller.number or "", called), ()) if caller.extension is None else ()
        return sum((now - at).total_seconds() < LOOP_SECONDS for at in begun)

    def begin(self, call: Call, now: datetime) -> None:
        """Such a call began."""
        if call.caller.number and call.caller.extension is None:
            self._begun.setdefault((call.caller.number, call.called), deque()).append(now)

    def end(self, call: Call) -> None:
        """Such a call ended: the oldest of its kind, which comes to the same."""
        key = (call.caller.number or "", call.called)
        if begun := self._begun.get(key):
            begun.popleft()
            if not begun:
                del self._begun[key]
