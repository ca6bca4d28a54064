"""Ends the ringing when phones have rung enough: N rings from the first 180, whenever that was.

    AMI (DialState RINGING) → RingWatch → N × cycle later → ARI: is no leg answered? → DELETE each leg → the next step

Dial() then returns with NOANSWER and the plan goes on. Dial's own time, somewhat longer, stays for the case that we are
gone by then. A leg answered between our look and our DELETE, half a millisecond, would be lost: ARI has no condition on
a DELETE (docs/telephony.md).
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable

import msgspec
import structlog

from comunik_pbx.asterisk.ami_dial import LegEvent, LegNews
from comunik_pbx.asterisk.ari import AriClient
from comunik_pbx.asterisk.errors import AriError, ChannelGone
from comunik_pbx.calls.ring_watch import RingWatch, RungEnough
from comunik_pbx.forwarding.steps import Ring

log = structlog.get_logger(__name__)

EARLY_SECONDS = 0.1
"""So much less than N rings, so that ring N+1 never starts."""

LOOK_SECONDS = 0.02
"""After a PROGRESS: Asterisk tells of a 180 with SDP a moment before it notes that the leg rings."""

STALE_SECONDS = 0.5
"""A look that took so long says nothing of the moment: Asterisk or we were frozen meanwhile."""

RingOf = Callable[[str, str], Ring | None]
"""The ring step of an extension in a call's plan."""


class ExactRings:
    """Watches the ring steps of the calls we decided. `run` is the task that ends them."""

    def __init__(self, ari: AriClient, ring_of: RingOf, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ari = ari
        self._ring_of = ring_of
        self._clock = clock
        self._watch = RingWatch(self._seconds_of)
        self._looks: deque[tuple[float, LegEvent]] = deque()  # legs that may ring, and since when
        self._sooner = asyncio.Event()
        self._waits_until: float | None = None
        self._heard_any = False
        self.hearing = True

    def connected(self) -> None:
        """AMI is connected (again): news of legs was missed, and its user may have other rights now."""
        self._heard_any, self.hearing = False, True
        self._watch.forget_silent()

    def heard(self, event: LegEvent) -> None:
        """Take news of a leg, heard just now."""
        self._heard_any = self.hearing = True
        now = self._clock()
        self._watch.heard(event, now)
        if event.news is LegNews.PROGRESS:
            self._looks.append((now, event))
        due = self._next()
        if due is not None and (self._waits_until is None or due < self._waits_until):
            self._sooner.set()

    def _next(self) -> float | None:
        """When there is something to do next."""
        look = self._looks[0][0] + LOOK_SECONDS if self._looks else None
        return min((at for at in (look, self._watch.next_due()) if at is not None), default=None)

    def call_rang(self) -> None:
        """A call has ended in which phones rang. If nothing was heard of it, we have no right to hear."""
        if not self._heard_any and self.hearing:
            self.hearing = False
            log.error(
                "AMI does not tell when phones ring: add call to `read` of our user in manager.conf, and run "
                "`manager reload`; until then rings are counted from the INVITE"
            )

    async def run(self) -> None:
        """End ring steps as they are due, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._sooner.clear()
                self._waits_until = self._next()
                wait = None if self._waits_until is None else max(0.0, self._waits_until - self._clock())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._sooner.wait()
                now = self._clock()
                while self._looks and self._looks[0][0] + LOOK_SECONDS <= now:
                    group.create_task(self._look(*self._looks.popleft()), name="look at a leg")
                for enough in self._watch.due(now):
                    group.create_task(self._end(enough), name=f"rings of {enough.call}")

    def _seconds_of(self, call: str, extension: str) -> float | None:
        ring = self._ring_of(call, extension)
        return None if ring is None else ring.seconds - EARLY_SECONDS

    async def _look(self, since: float, event: LegEvent) -> None:
        """Was it a 180 with SDP? Then the leg has been ringing since it was heard."""
        try:
            if await self._state(event.leg) == "Ringing":
                self._watch.heard(msgspec.structs.replace(event, news=LegNews.RINGING), since)
        except AriError as error:
            log.warning("a leg could not be looked at: taken for 183", call=event.call, why=str(error))

    async def _end(self, enough: RungEnough) -> None:
        if self._ring_of(enough.call, enough.extension) is None:
            return  # our plan turned out not to be the one carried out
        try:
            began = self._clock()
            states = await asyncio.gather(*(self._state(leg) for leg in enough.legs))
            if "Up" in states:
                return
            if self._clock() - began > STALE_SECONDS:
                log.warning("legs could not be looked at in time: left to the dialplan", call=enough.call)
                return
            standing = [leg for leg, state in zip(enough.legs, states, strict=True) if state is not None]
            await asyncio.gather(*(self._hangup(leg) for leg in standing))
        except AriError as error:
            log.warning("ringing could not be ended: left to the dialplan", call=enough.call, why=str(error))

    async def _state(self, leg: str) -> str | None:
        """The leg's state (ARI Channel.state: Down, Ringing, Up …), None if it is gone."""
        try:
            return (await self._ari.channels.get(leg)).state
        except ChannelGone:
            return None

    async def _hangup(self, leg: str) -> None:
        with contextlib.suppress(ChannelGone):
            await self._ari.channels.hangup(leg, reason="no_answer")  # Q.850 cause 19: Dial() says NOANSWER
