"""The interception: a call enters Stasis, is decided, and goes back to the dialplan with its plan.

    StasisStart → decide → hand the plan over → continue to comunik-execute, which carries it out

On the same socket the dialplan tells how calls end: `ended` instead of `incoming`, from the hangup handler.

The decision is taken at once, from memory. If anything at all goes wrong the call is given back without a plan, or
left to the dialplan's guard: both take it to the fallback.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import msgspec
import structlog

from comunik_pbx.asterisk.ari import AriClient
from comunik_pbx.asterisk.ari_events import Channel, Connected, Disconnected, Event, StasisStart, Unreadable
from comunik_pbx.asterisk.errors import AriError, AriUnreachable, ChannelGone, ChannelNotInStasis
from comunik_pbx.calls.deciding import Decide, Decided, Decisions
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

OTHERS_SECONDS = 3.0
"""How long a service that was replaced may still set variables that this one has set too."""

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


class _ToGive(msgspec.Struct, frozen=True):
    """What was decided of a call is still to be handed over; None: it could not be decided."""

    entered: _Entered
    decided: Decided | None


class Interception:
    """Decides the calls that enter one Stasis application.

    Most calls are decided and answered where their event is read, without a task of their own: the plan is one that
    Asterisk has, and a connection stands. All else, and what comes meanwhile of the same call, has a queue.

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
        self._most_calls = most_calls
        self._calls: CallQueues[_Entered | _ToGive] = CallQueues(self._hand_over, most_calls=most_calls)
        self._begun: set[str] = set()  # calls whose plan was sent without a task, until Asterisk has answered
        self._all_answered: asyncio.Future[None] | None = None
        self._over = False
        self._forgetting: asyncio.TimerHandle | None = None
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
            await self._ari.listen(self._hear)
        except asyncio.CancelledError:
            if self.connected:
                self._reconciling.put("", _Reconcile(ends_missed=False))
            raise
        finally:
            self.connected = False
            ends = time.monotonic() + grace_seconds
            await self._reconciling.drain(grace_seconds / 2)
            await self._given_back.drain(grace_seconds / 4)
            left = await self._drain(ends)
            self._over = True
            if self._forgetting is not None:
                self._forgetting.cancel()
            if left:
                log.warning("decisions left to the dialplan's guard", calls=left)

    def _hear(self, event: Event) -> None:
        match event:
            case StasisStart(args=["ended", *report]):
                self._on_end(",".join(report))
            case StasisStart():
                self._enter(event.channel, event.args)
            case Connected():
                self.connected, self.tried_at, self._told = True, time.monotonic(), ""
                self._forget_plans()
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

    def _forget_plans(self) -> None:
        """Asterisk may be another; and a service before this one may still hand over what it has in hand."""
        self._handover.forget()
        if self._forgetting is not None:
            self._forgetting.cancel()
        self._forgetting = asyncio.get_running_loop().call_later(OTHERS_SECONDS, self._handover.forget)

    def _enter(self, channel: Channel, args: list[str]) -> None:
        if self._seen_since is not None:
            self._seen_since.add(channel.id)
        if not self._take(_Entered(channel, args, time.monotonic())):
            self._fell(Fallen.OVERLOAD)
            refused = self.figures.fallen[Fallen.OVERLOAD]
            if refused & (refused - 1) == 0:  # 1, 2, 4, 8 …: a flood must not flood the log too
                log.error("too many calls at once: they go by their fallback plans", refused=refused)
            self._given_back.put(channel.id, channel.id)

    def _take(self, entered: _Entered) -> bool:
        """Decide a call, or keep it to be decided; False if too many are in hand."""
        call = entered.channel.id
        if call in self._begun or call in self._calls:
            return self._calls.put(call, entered)
        if self.undecided >= self._most_calls:
            return False
        decided = self._decide(entered)
        if decided is not None and self._handover.begin(call, decided, partial(self._answered, entered, decided)):
            self._begun.add(call)
            return True
        return self._calls.put(call, _ToGive(entered, decided))

    def _answered(self, entered: _Entered, decided: Decided, error: AriError | None) -> None:
        call = entered.channel.id
        self._begun.discard(call)
        if isinstance(error, AriUnreachable) and not self._over:
            # Asterisk may have closed that connection just now: once more.
            self._calls.put(call, _ToGive(entered, decided))
        elif error is not None:
            self._not_given(call, error)
        else:
            self._given(entered, decided)
        if self._all_answered is not None and not self._begun and not self._all_answered.done():
            self._all_answered.set_result(None)

    async def _drain(self, ends: float) -> int:
        """Wait until no call is in hand, at most until then (monotonic seconds); how many are left."""
        if self._begun:
            self._all_answered = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._all_answered}, timeout=max(0.0, ends - time.monotonic()))
        return len(self._begun) + await self._calls.drain(max(0.0, ends - time.monotonic()))

    def _fell(self, why: Fallen) -> None:
        """A call goes by its fallback plan, and nobody will tell us its end."""
        self.figures.fallen[why] += 1
        self._on_missed()

    @property
    def undecided(self) -> int:
        """Calls in hand now."""
        return len(self._calls) + len(self._begun)

    async def _give_back(self, channel_id: str) -> None:
        try:
            await self._ari.channels.continue_(channel_id)
        except AriError as error:
            log.debug("a call could not be given back: left to the guard", call=channel_id, why=str(error))

    def _decide(self, entered: _Entered) -> Decided | None:
        """What is to become of a call; None if that cannot be said."""
        call = entered.channel.id
        try:
            decided = self._decisions.decide(call, entered.args, entered.channel.caller.number)
        except Exception:
            log.exception("a call could not be decided: given back to the dialplan", call=call, args=entered.args)
            return None
        if decided.passes > 1:
            self._on_missed()
        if decided.again:  # it may not have found the plan where we said
            self._handover.forget()
        return decided

    async def _hand_over(self, event: _Entered | _ToGive) -> None:
        if isinstance(event, _Entered):
            if time.monotonic() - event.at > GUARD_SECONDS:
                self._fell(Fallen.LATE)
                return  # the guard has taken it
            event = _ToGive(event, self._decide(event))
        entered, decided = event.entered, event.decided
        call = entered.channel.id
        try:
            if decided is None:
                self._fell(Fallen.FAULT)
                await self._ari.channels.continue_(call)
                return
            await self._handover.give(call, decided)
        except AriError as error:
            self._not_given(call, error)
        else:
            self._given(entered, decided)

    def _given(self, entered: _Entered, decided: Decided) -> None:
        if self._rings is not None:
            self._rings(entered.channel.id, decided.passes, decided.steps)
        self.figures.took(time.monotonic() - entered.at)

    def _not_given(self, call: str, error: AriError) -> None:
        if isinstance(error, ChannelGone | ChannelNotInStasis):  # normal
            self._fell(Fallen.LATE)
            log.debug("the call did not wait for its decision", call=call, why=str(error))
        else:
            self._fell(Fallen.ASTERISK)
            log.warning("a decision did not reach Asterisk: left to the guard", call=call, why=str(error))

    async def _reconcile(self, event: _Reconcile) -> None:
        """Events while we were away are lost: decide whoever waits in our application, close records of who is gone."""
        seen = {*self._begun, *self._calls}  # in hand now: the list may say that they still wait
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
                and channel.id not in self._begun
                and channel.id not in self._given_back
            ):
                self._enter(channel, args)
        alive = {channel.id for channel in channels}
        if event.ends_missed and (missing := self._records.close_missing(alive, began)):
            log.info("calls ended while we were away", calls=missing)
