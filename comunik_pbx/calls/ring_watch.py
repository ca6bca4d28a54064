"""How long phones have been ringing, and when they have rung enough. No I/O; time is an argument.

    BEGUN ──RINGING──> ringing, due N cycles later ──> due: all legs of the step are to be ended
      └──PROGRESS──> as ringing, unless a RINGING follows: then N cycles from that

N rings are counted from the first leg that rings, for all legs of the step: who calls hears N rings, whichever phone
began. An ANSWERED ends the watch, as does the OVER of the last leg.
"""

import heapq
import itertools
from collections.abc import Callable

import msgspec

from comunik_pbx.asterisk.ami_dial import LegEvent, LegNews

SecondsOf = Callable[[str, str], float | None]
"""How long a call (UNIQUEID) is to ring an extension, in seconds from the first ringing; None: we do not know it."""


class RungEnough(msgspec.Struct, frozen=True):
    """The legs (UNIQUEID) of a call's ring step are to be ended, unless one is answered by now."""

    call: str
    extension: str
    legs: tuple[str, ...]


class _Step:
    """One ring step being carried out. `due` is None until there is a sign of life."""

    __slots__ = ("due", "extension", "legs", "rings")

    def __init__(self, extension: str) -> None:
        self.extension = extension
        self.legs: dict[str, None] = {}  # in the order they were dialled
        self.due: float | None = None
        self.rings = False


class RingWatch:
    """All ring steps being carried out now. Moments are seconds of any clock that never goes back."""

    def __init__(self, seconds_of: SecondsOf) -> None:
        self._seconds_of = seconds_of
        self._steps: dict[str, _Step] = {}
        self._ends: list[tuple[float, int, str, _Step]] = []  # a heap; outdated entries are passed over
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._steps)

    def heard(self, event: LegEvent, now: float) -> None:
        """Take news of a leg, heard now."""
        step = self._steps.get(event.call)
        if step is not None and step.extension != event.extension:  # a later step: of the one before all is over
            del self._steps[event.call]
            step = None
        match event.news:
            case LegNews.ANSWERED:
                self._steps.pop(event.call, None)
            case LegNews.OVER:
                if step is not None:
                    step.legs.pop(event.leg, None)
                    if not step.legs:
                        del self._steps[event.call]
            case news:
                if step is None:
                    step = self._steps[event.call] = _Step(event.extension)
                step.legs[event.leg] = None
                if news is LegNews.RINGING and not step.rings:
                    step.rings = True
                    self._count(event.call, step, now)
                elif news is LegNews.PROGRESS and step.due is None:
                    self._count(event.call, step, now)

    def _count(self, call: str, step: _Step, now: float) -> None:
        seconds = self._seconds_of(call, step.extension)
        if seconds is not None:
            step.due = now + seconds
            heapq.heappush(self._ends, (step.due, next(self._order), call, step))

    def next_due(self) -> float | None:
        """When `due` should be asked next; None if nothing rings."""
        while self._ends and not self._current(*self._ends[0]):
            heapq.heappop(self._ends)
        return self._ends[0][0] if self._ends else None

    def due(self, now: float) -> list[RungEnough]:
        """The ring steps that have rung enough by now; each is told once."""
        found = []
        while (at := self.next_due()) is not None and at <= now:
            _, _, call, step = heapq.heappop(self._ends)
            del self._steps[call]
            found.append(RungEnough(call, step.extension, tuple(step.legs)))
        return found

    def forget_silent(self) -> None:
        """Forget the steps that show no sign of life: for whoever has missed news, so that they may be over."""
        self._steps = {call: step for call, step in self._steps.items() if step.due is not None}

    def _current(self, due: float, _: int, call: str, step: _Step) -> bool:
        return self._steps.get(call) is step and step.due == due
