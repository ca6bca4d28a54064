"""Ends the ringing when phones have rung enough: N rings from the first 180, whenever that was.

    plan handed over → looks at the caller's channel (ARI) → N × cycle after the first 180: is no leg answered?
        → DELETE each leg → Dial() says NOANSWER, and the plan goes on

Dial's own time, somewhat longer, stays for the case that we are gone by then. A leg answered between our look and our
DELETE, half a millisecond, would be lost: ARI has no condition on a DELETE (docs/telephony.md).
"""

import asyncio
import contextlib
import heapq
import itertools
import time
from collections.abc import Callable

import structlog

from comunik_pbx.asterisk.ari import AriClient
from comunik_pbx.asterisk.errors import AriError, ChannelGone
from comunik_pbx.asterisk.plan_encoding import FORMAT
from comunik_pbx.calls.ring_watch import SOON_SECONDS, Look, RingWatch, RungEnough, Silent, Wait
from comunik_pbx.forwarding.steps import Forward, Ring, Step

log = structlog.get_logger(__name__)

STALE_SECONDS = 0.5
"""A look that took so long says nothing of the moment: Asterisk or we were frozen meanwhile."""

CALLER = (
    "EVAL(${CK_DECIDED}${CK_TODO:0:1}|${CK_PASS}|${CK_INDEX}|${CK_ACTIVE}|${DIALSTATUS}|${STRFTIME(,,%s%3q)}"
    "|${RINGTIME_MS}|${PROGRESSTIME_MS}|${CHANNEL(linkedid)}${CK_SEEN}&${CK_CALLED})"
)
"""What is asked of the caller's channel, in one request. The first is the plan's format alone while ours is carried
out, and nothing before. The last tells its legs from others, of the members too that a queue rings by Local channels:
all of them have one linkedid."""

LEG = "EVAL(${CHANNEL(linkedid)}${CK_SEEN}&${CK_CALLED}|${CHANNEL(state)})"

LEGS_KNOWN = 10_000
"""Of so many channels it is remembered whose they are."""


class _Watched:
    """One call that we decided: its channel, which of its passes, and its plan."""

    __slots__ = ("channel", "passes", "watch")

    def __init__(self, channel: str, passes: int, watch: RingWatch) -> None:
        self.channel, self.passes = channel, passes
        self.watch = watch


class ExactRings:
    """Watches the ring steps of the calls we decided. `run` is the task that ends them.

    `lives` says whether a call (UNIQUEID, pass) has not ended, as far as is known. `gives_up` is for an Asterisk whose
    Dial() does not give up what shows no sign of life.
    """

    def __init__(
        self,
        ari: AriClient,
        lives: Callable[[str, int], bool],
        *,
        gives_up: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ari = ari
        self._lives = lives
        self._gives_up = gives_up
        self._clock = clock
        self._due: list[tuple[float, int, bool, _Watched]] = []  # a heap
        self._early: set[str] = set()  # endpoints seen to say 183, or 180 with SDP
        self._whose: dict[str, str] = {}  # by channel: the call that it was seen to be a leg of
        self._order = itertools.count()
        self._sooner = asyncio.Event()
        self._waits_until: float | None = None

    def begin(self, channel: str, passes: int, steps: tuple[Step, ...]) -> None:
        """A plan was handed over just now."""
        early = bool(self._early) and any(
            isinstance(step, Ring) and not self._early.isdisjoint(step.endpoints) for step in steps
        )
        one = _Watched(channel, passes, RingWatch(steps, early=early, gives_up=self._gives_up))
        self._later(one, one.watch.begun())

    def _later(self, one: _Watched, wait: Wait | None) -> None:
        if wait is None:
            return
        due = self._clock() + wait.seconds
        heapq.heappush(self._due, (due, next(self._order), wait.at_legs, one))
        if self._waits_until is None or due < self._waits_until:
            self._sooner.set()

    async def run(self) -> None:
        """End ring steps as they are due, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._sooner.clear()
                self._waits_until = self._due[0][0] if self._due else None
                wait = None if self._waits_until is None else max(0.0, self._waits_until - self._clock())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._sooner.wait()
                now = self._clock()
                while self._due:
                    due, _, at_legs, one = self._due[0]
                    lives = self._lives(one.channel, one.passes)
                    if due > now and lives:
                        break
                    heapq.heappop(self._due)
                    if lives:
                        group.create_task(self._look(one, at_legs), name=f"rings of {one.channel}")

    async def _look(self, one: _Watched, at_legs: bool) -> None:
        try:
            began = self._clock()
            look, linked = await self._caller(one)
            if not isinstance(look, Look):
                self._later(one, look)
                return
            if self._clock() - began > STALE_SECONDS:
                self._later(one, Wait(0.0))
                return
            ring = one.watch.ringing(look) if look.rang is None else None
            if ring is not None and look.progressed is not None:
                self._early.update(ring.endpoints)
            if ring is not None and at_legs and "Ringing" in (await self._legs(ring.endpoints, linked)).values():
                one.watch.leg_rings(look)
            after = one.watch.looked(look)
            if isinstance(after, RungEnough):
                await self._end(after.ring.endpoints, linked, one.channel, "no_answer")
                after = one.watch.begun()
            elif isinstance(after, Silent):
                await self._end(_endpoints(after.step), linked, one.channel, "timeout")
                after = one.watch.begun()
            self._later(one, after)
        except ChannelGone:
            pass
        except AriError as error:
            log.warning("ringing could not be looked at: left to the dialplan", call=one.channel, why=str(error))

    async def _caller(self, one: _Watched) -> tuple[Look | Wait | None, str]:
        """What the caller's channel says, and its linkedid.

        Wait: our plan is not carried out yet, for Asterisk is busy. None: it never will, or somebody has answered.
        """
        said = (await self._ari.channels.evaluated(one.channel, CALLER)).split("|")
        if len(said) != 9:
            raise AriError(f"EVAL() gave {'|'.join(said)!r}")
        decided, passes, step, active, status, now, rang, progressed, linked = said
        doing, _, started = active.partition("~")
        if (decided, passes) == ("", str(one.passes)):
            return Wait(SOON_SECONDS), linked
        if (decided, passes) != (FORMAT, str(one.passes)) or (doing, status) == ("dial", "ANSWER"):
            return None, linked
        try:
            elapsed = (int(now) - int(started or now)) / 1000
            look = Look(int(step or (doing == "dial")), doing == "dial", elapsed, _seconds(rang), _seconds(progressed))
        except ValueError:
            raise AriError(f"EVAL() gave {'|'.join(said)!r}") from None
        return look, linked

    async def _legs(self, endpoints: tuple[str, ...], linked: str) -> dict[str, str]:
        """The legs of a step (UNIQUEID), with their states: its endpoints' channels that belong to the call.

        A phone may have many channels; those seen to be another call's are not asked again, unless none is left: a
        linkedid changes when calls are joined.
        """
        found = await asyncio.gather(*(self._ari.endpoints.channels(endpoint) for endpoint in endpoints))
        channels = dict.fromkeys(channel for several in found for channel in several)
        legs = [channel for channel in channels if self._whose.get(channel, linked) == linked] or list(channels)
        said = await asyncio.gather(*(self._leg(leg) for leg in legs))
        # Dial() makes a leg, and then gives it CK_CALLED, which is the end of `its`: before, it is nobody's yet.
        known = ((leg, its) for leg, (its, _) in zip(legs, said, strict=True) if its and not its.endswith("&"))
        self._whose.update(known)
        while len(self._whose) > LEGS_KNOWN:
            del self._whose[next(iter(self._whose))]
        return {leg: state for leg, (its, state) in zip(legs, said, strict=True) if its == linked}

    async def _leg(self, leg: str) -> tuple[str, str]:
        try:
            its, _, state = (await self._ari.channels.evaluated(leg, LEG)).partition("|")
        except ChannelGone:
            return "", ""
        return its, state

    async def _end(self, endpoints: tuple[str, ...], linked: str, call: str, reason: str) -> None:
        """End the legs: Q.850 cause 19 (`no_answer`), Dial() says NOANSWER; 18 (`timeout`), it says CHANUNAVAIL."""
        began = self._clock()
        legs = await self._legs(endpoints, linked)
        if "Up" in legs.values():
            return
        if self._clock() - began > STALE_SECONDS:
            log.warning("legs could not be looked at in time: left to the dialplan", call=call)
            return
        await asyncio.gather(*(self._hangup(leg, reason) for leg in legs))

    async def _hangup(self, leg: str, reason: str) -> None:
        with contextlib.suppress(ChannelGone):
            await self._ari.channels.hangup(leg, reason=reason)


def _endpoints(step: Ring | Forward) -> tuple[str, ...]:
    """The PJSIP endpoints of a step's legs: `PJSIP/+336…@carrier` and `PJSIP/carrier/sip:…` are carrier's."""
    if isinstance(step, Ring):
        return step.endpoints
    return (step.dial.split("/")[1].rpartition("@")[2],)


def _seconds(milliseconds: str) -> float | None:
    return int(milliseconds) / 1000 if milliseconds else None
