"""The interception: a call enters Stasis, is decided, and goes back to the dialplan with its plan.

    StasisStart → decide → hand the plan over → continue to comunik-execute, which carries it out

On the same socket the dialplan tells how calls end: `ended` instead of `incoming`, from the hangup handler.

The decision is taken at once, from memory. If anything at all goes wrong the call is given back without a plan, or
left to the dialplan's guard: both take it to the fallback.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import structlog

from comunik_pbx.asterisk.ari import AriClient
from comunik_pbx.asterisk.ari_events import Channel, Connected, Disconnected, StasisStart, Unreadable
from comunik_pbx.asterisk.errors import AriError, ChannelGone, ChannelNotInStasis
from comunik_pbx.calls.deciding import Decide, Decisions
from comunik_pbx.calls.figures import DecisionFigures, Fallen
from comunik_pbx.calls.handover import Handover
from comunik_pbx.calls.queues import CallQueues
from comunik_pbx.calls.records import Records
from comunik_pbx.calls.snapshot import SnapshotSource
from comunik_pbx.forwarding.plan import plan
from comunik_pbx.forwarding.steps import Step

log = structlog.get_logger(__name__)

GUARD_SECONDS = 1.5
"""How long the dialplan's guard lets a call wait in Stasis (dialplan/: TIMEOUT(absolute))."""

MOST_CALLS = 100
"""Undecided calls: fewer than there are variables to hand plans over in, and a fraction of a second's work."""

MOST_GIVEN_BACK = 1000
"""Calls beyond them being given back to the dialplan at once."""

RECONCILE_AGAIN_SECONDS = 5.0
"""When Asterisk's channels are listed again if they could not be."""


class _Reconcile(msgspec.Struct, frozen=True):
    """Look at what stands in Asterisk now; `ends_missed`: the ends of calls may have been missed too."""

    ends_missed: bool = True


class _Entered(msgspec.Struct, frozen=True):
    """A channel waits in our application, since `at` (monotonic seconds) as far as we know."""

    channel: Channel
    args: list[str]
    at: float


class Interception:
    """Decides the calls that enter one Stasis application.

    At most `most_calls` are undecided at once. What comes beyond it is given back to the dialplan at once, which has a
    fallback plan for it; beyond `most_given_back` of those it is left to the dialplan's guard.

    `rings` is told of each plan handed over (UNIQUEID, pass, steps): it will end the ringing exactly, so the dialplan
    should not; without it the dialplan does. `on_end` gets the
    dialplan's report of each call that ends that we decided. `on_missed` is called when the end of another will not be
    told: one that did not get our plan, or the first of a caller who comes in again. `on_connected` is called after
    each connection. `knows_start` says whether this Asterisk's Dial() gives up what shows no sign of life.

    `connected` says whether the event socket stands, `tried_at` when it was last opened, lost or tried in vain
    (monotonic seconds).
    """

    def __init__(
        self,
        ari: AriClient,
        snapshot: SnapshotSource,
        records: Records,
        *,
        most_calls: int = MOST_CALLS,
        most_given_back: int = MOST_GIVEN_BACK,
        rings: Callable[[str, int, tuple[Step, ...]], None] | None = None,
        on_end: Callable[[str], None] = lambda report: None,
        on_missed: Callable[[], None] = lambda: None,
        on_connected: Callable[[], None] = lambda: None,
        figures: DecisionFigures | None = None,
        knows_start: bool = True,
        decide: Decide = plan,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ari = ari
        self._records = records
        self._rings = rings
        self._on_end = on_end
        self._on_missed = on_missed
        self._on_connected = on_connected
        self._decisions = Decisions(
            snapshot, records, watched=rings is not None, knows_start=knows_start, decide=decide, clock=clock
        )
        self._handover = Handover(ari)
        self._clock = clock
        self.figures = DecisionFigures() if figures is None else figures
        self._calls: CallQueues[_Entered] = CallQueues(self._entered, most_calls=most_calls)
        self._given_back: CallQueues[str] = CallQueues(self._give_back, most_calls=most_given_back, most_events=1)
        self._reconciling: CallQueues[_Reconcile] = CallQueues(self._reconcile, most_calls=1, most_events=1)
        self._seen_since: set[str] | None = None  # channels taken while the list of channels is fetched
        self._told = ""
        self.connected = False
        self.tried_at = time.monotonic()
        self._connected_once = asyncio.Event()

    async def wait_connected(self) -> None:
        """Wait until calls are decided for the first time."""
        await self._connected_once.wait()

    def reconcile(self) -> None:
        """Look soon at what stands in Asterisk."""
        if self.connected:  # else it is done anyway once we are
            self._reconciling.put("", _Reconcile())

    async def run(self, grace_seconds: float = 2.0) -> None:
        """Decide calls until cancelled or ApplicationReplaced, which it raises.

        Either way it first closes the event socket (Stasis() then returns at once for new calls) and finishes the
        decisions in hand within `grace_seconds`; when cancelled, also those whose event was lost with the socket.
        """
        try:
            async with contextlib.aclosing(self._ari.events()) as events:
                async for event in events:
                    match event:
                        case StasisStart(args=["ended", *report]):
                            self._on_end(",".join(report))
                        case StasisStart():
                            self._enter(event.channel, event.args)
                        case Connected():
                            self.connected, self.tried_at, self._told = True, time.monotonic(), ""
                            self._handover.forget()
                            self._connected_once.set()
                            log.info("connected to ARI", url=self._ari.url, app=self._ari.app)
                            self.reconcile()
                            self._on_connected()
                        case Disconnected():
                            self.connected, self.tried_at = False, time.monotonic()
                            if self._told != (why := str(event.error)):  # not at every attempt
                                self._told = why
                                log.warning("not connected to ARI: the dialplan's fallback takes the calls", why=why)
                        case Unreadable():
                            log.warning("an event of ARI could not be read", kind=event.kind, why=event.why)
        except asyncio.CancelledError:
            if self.connected:
                self._reconciling.put("", _Reconcile(ends_missed=False))
            raise
        finally:
            self.connected = False
            ends = time.monotonic() + grace_seconds
            await self._reconciling.drain(grace_seconds / 2)
            await self._given_back.drain(grace_seconds / 4)
            if left := await self._calls.drain(max(0.0, ends - time.monotonic())):
                log.warning("decisions left to the dialplan's guard", calls=left)

    def _enter(self, channel: Channel, args: list[str]) -> None:
        if self._seen_since is not None:
            self._seen_since.add(channel.id)
        if not self._calls.put(channel.id, _Entered(channel, args, time.monotonic())):
            self._fell(Fallen.OVERLOAD)
            refused = self.figures.fallen[Fallen.OVERLOAD]
            if refused & (refused - 1) == 0:  # 1, 2, 4, 8 …: a flood must not flood the log too
                log.error("too many calls at once: they go by their fallback plans", refused=refused)
            self._given_back.put(channel.id, channel.id)

    def _fell(self, why: Fallen) -> None:
        """A call goes by its fallback plan, and nobody will tell us its end."""
        self.figures.fallen[why] += 1
        self._on_missed()

    @property
    def undecided(self) -> int:
        """Calls in hand now."""
        return len(self._calls)

    async def _give_back(self, channel_id: str) -> None:
        try:
            await self._ari.channels.continue_(channel_id)
        except AriError as error:
            log.debug("a call could not be given back: left to the guard", call=channel_id, why=str(error))

    async def _entered(self, event: _Entered) -> None:
        channel_id = event.channel.id
        if time.monotonic() - event.at > GUARD_SECONDS:
            self._fell(Fallen.LATE)
            return  # the guard has taken it
        try:
            decided = self._decisions.decide(channel_id, event.args, event.channel.caller.number)
            if decided.passes > 1:
                self._on_missed()
        except Exception:
            log.exception("a call could not be decided: given back to the dialplan", call=channel_id, args=event.args)
            decided = None
        try:
            if decided is None:
                self._fell(Fallen.FAULT)
                await self._ari.channels.continue_(channel_id)
                return
            if decided.again:  # it may not have found the plan where we said
                self._handover.forget()
            await self._handover.give(channel_id, decided)
            if self._rings is not None:
                self._rings(channel_id, decided.passes, decided.steps)
            self.figures.took(time.monotonic() - event.at)
        except (ChannelGone, ChannelNotInStasis) as normal:
            self._fell(Fallen.LATE)
            log.debug("the call did not wait for its decision", call=channel_id, why=str(normal))
        except AriError as error:
            self._fell(Fallen.ASTERISK)
            log.warning("a decision did not reach Asterisk: left to the guard", call=channel_id, why=str(error))

    async def _reconcile(self, event: _Reconcile) -> None:
        """Events while we were away are lost: decide whoever waits in our application, close records of who is gone."""
        seen: set[str] = set()
        self._seen_since = seen
        began = self._clock()
        try:
            channels = await self._ari.channels.list()
        except AriError as error:
            log.warning("Asterisk's channels could not be listed", why=str(error))
            if event.ends_missed:
                asyncio.get_running_loop().call_later(RECONCILE_AGAIN_SECONDS, self.reconcile)
            return
        finally:
            self._seen_since = None
        for channel in channels:
            app, *args = channel.dialplan.app_data.split(",")
            waits = channel.dialplan.app_name == "Stasis" and app == self._ari.app and args[:1] != ["ended"]
            if (
                waits
                and channel.id not in seen
                and channel.id not in self._calls
                and channel.id not in self._given_back
            ):
                self._enter(channel, args)
        alive = {channel.id for channel in channels}
        if event.ends_missed and (missing := self._records.close_missing(alive, began)):
            log.info("calls ended while we were away", calls=missing)
