"""Gives up phones and trunks that show no sign of life, for an Asterisk whose `Dial()` cannot (before 20.7 and 21.2).

    AMI (DialBegin) → start_seconds or progress_seconds later, and still no leg rings → ARI: DELETE each → the next step

As there, a sign of life of one leg is one of them all, and `Dial()` returns with CHANUNAVAIL. Where `Dial()` can do it
itself nothing is watched here, and AMI need not tell of trunks' legs.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable

import msgspec
import structlog

from comunik_pbx.asterisk.ami_dial import LegEvent, LegNews
from comunik_pbx.asterisk.ari import AriClient
from comunik_pbx.asterisk.errors import AriError, ChannelGone

log = structlog.get_logger(__name__)


class _Dial(msgspec.Struct):
    """A `Dial()` of which no leg has shown a sign of life; `due` is when it is given up."""

    due: float
    legs: list[str]


class SilentLegs:
    """Watches the legs of the calls we decided. `seconds_of` a leg that has begun is None if it is none of those."""

    def __init__(
        self,
        ari: AriClient,
        seconds_of: Callable[[LegEvent], float | None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ari = ari
        self._seconds_of = seconds_of
        self._clock = clock
        self._dials: dict[str, _Dial] = {}  # by the call's UNIQUEID: one after the other
        self._sooner = asyncio.Event()

    def connected(self) -> None:
        """AMI is connected (again): news of legs was missed."""
        self._dials.clear()

    def heard(self, event: LegEvent) -> None:
        """Take news of a leg, heard just now."""
        match event.news:
            case LegNews.BEGUN:
                if (dial := self._dials.get(event.call)) is None:
                    if (seconds := self._seconds_of(event)) is None:
                        return
                    dial = self._dials[event.call] = _Dial(self._clock() + seconds, [])
                    self._sooner.set()
                dial.legs.append(event.leg)
            case LegNews.OVER:
                if (dial := self._dials.get(event.call)) is not None and event.leg in dial.legs:
                    dial.legs.remove(event.leg)
                    if not dial.legs:
                        del self._dials[event.call]
            case _:
                self._dials.pop(event.call, None)

    async def run(self) -> None:
        """Give up what is due, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._sooner.clear()
                due = min((dial.due for dial in self._dials.values()), default=None)
                wait = None if due is None else max(0.0, due - self._clock())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._sooner.wait()
                now = self._clock()
                for call, dial in list(self._dials.items()):
                    if dial.due <= now:
                        del self._dials[call]
                        group.create_task(self._give_up(call, dial.legs), name=f"silent legs of {call}")

    async def _give_up(self, call: str, legs: list[str]) -> None:
        try:
            standing = []
            for leg in legs:
                with contextlib.suppress(ChannelGone):
                    if (await self._ari.channels.get(leg)).state != "Down":
                        return  # it has just begun to ring, or was answered
                    standing.append(leg)
            for leg in standing:
                with contextlib.suppress(ChannelGone):
                    # Q.850 cause 18, no user responding; Dial() says CHANUNAVAIL.
                    await self._ari.channels.hangup(leg, reason="timeout")
        except AriError as error:
            log.warning("silent legs could not be given up: left to SIP", call=call, why=str(error))
