"""A caller's channel and its thread: what it waits for, and what interrupts it at any instant."""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulation.asterisk import Asterisk
    from tests.simulation.scenario import IncomingCall


class HungUp(Exception):
    """The caller has gone, or was hung up."""


class OutOfTime(Exception):
    """TIMEOUT(absolute) has run out: the dialplan goes on at extension T."""


class Progress:
    """The dialplan's variables of one pass: which plan, where in it, what came of it."""

    def __init__(self) -> None:
        self.plan = ""  # CK_TODO
        self.decided = ""  # CK_DECIDED
        self.at_once = False  # comunik-ring-at-once carries out the first step
        self.caller = ""  # CK_CALLER
        self.index = 0
        self.steps: list[str] = []
        self.active = ""
        self.status = ""
        self.cause: int | None = None
        self.rung_as: tuple[str, str] | None = None  # CK_RUNG, CK_RUNG_AS
        self.busy: set[int] = set()  # ring steps that ended busy
        self.trunk_failed = False
        self.announced = False  # CK_TOLD
        self.leg = Leg()

    @property
    def index_said(self) -> str:
        """CK_INDEX: not set before the first step, nor while that is the ringing of one phone begun at once."""
        unset = not self.index or (self.at_once and self.index == 1 and self.active == "dial")
        return "" if unset else str(self.index)


class Leg:
    """The step that goes on: what the hangup handler needs to know of it. Moments are the loop's."""

    def __init__(self, began: float = 0.0) -> None:
        self.began = began
        self.lives: float | None = None  # the first sign of life
        self.rang: float | None = None  # the first 180 without SDP
        self.ringing: dict[str, float] = {}  # who rings, and since when, with SDP or without
        self.answered: float | None = None
        self.peer = ""

    def shows_life(self, now: float, name: str, sign: str) -> None:
        """A leg rings: `sign` is 180, `180 SDP` or 183."""
        self.lives = self.lives or now
        if sign != "183":
            self.ringing[name] = now
        if sign == "180":
            self.rang = self.rang or now


class Channel:
    """One caller's channel. `inbox` holds what others told it.

    `variables` are those of Dial(), most of which a second pass begins with as the first left them;
    `name` is the endpoint whose channel it is.
    """

    def __init__(self, asterisk: "Asterisk", channel_id: str, incoming: "IncomingCall") -> None:
        self.asterisk = asterisk
        self.id = channel_id
        self.linked = incoming.linked or channel_id
        self.name = "" if incoming.linked else incoming.endpoint
        self.variables: dict[str, str] = {}
        self.incoming = incoming
        self.called = incoming.called
        self.passes = 0
        self.in_stasis = False
        self.hung_up = False
        self.out_of_time = False
        self.app_data = ""
        self.inbox: deque[tuple[str, Any]] = deque()
        self.progress = Progress()
        self._limit: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None

    def variable(self, name: str) -> str:
        """The value of a variable, or of one of the functions that the service asks for."""
        progress = self.progress
        match name:
            case "CK_DECIDED":
                return progress.decided.replace("live", "")
            case "CK_TODO:0:1":
                return progress.plan[:1]
            case "CK_PASS":
                return str(self.passes)
            case "CK_INDEX":
                return progress.index_said
            case "CK_ACTIVE":
                return progress.active and f"{progress.active}~{self.milliseconds(progress.leg.began)}"
            case "DIALSTATUS" | "RINGTIME_MS" | "PROGRESSTIME_MS":
                return self.variables.get(name, "")
            case "STRFTIME(,,%s%3q)":
                return self.milliseconds()
            case "CHANNEL(linkedid)":
                return self.linked
            case "CHANNEL(state)":
                return "Ring"
            case "CK_SEEN":  # no 302 and no trunk of Local channels leads back here
                return ""
            case "CK_CALLED":
                return self.called
        raise AssertionError(f"the simulated Asterisk does not know ${{{name}}}")

    def milliseconds(self, moment: float | None = None) -> str:
        """A moment of the loop, or this one, by the wall clock: as the dialplan has it."""
        loop = self.asterisk.world.loop
        return str(int(1000 * (loop.wall() - (0.0 if moment is None else loop.time() - moment))))

    def json(self) -> dict[str, Any]:
        """As ARI shows it."""
        return {
            "id": self.id,
            "name": f"{self.incoming.endpoint or 'Local/x'}-{self.id[-8:]}",
            "state": "Ring",
            "caller": {"name": "", "number": self.incoming.number},
            "connected": {"name": "", "number": ""},
            "dialplan": {
                "context": "comunik-incoming",
                "exten": self.called,
                "priority": 1,
                "app_name": "Stasis" if self.app_data else "Dial",
                "app_data": self.app_data,
            },
        }

    def limit(self, seconds: float) -> None:
        """TIMEOUT(absolute); 0 lifts it."""
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        self.out_of_time = False
        if seconds:
            self._limit = self.asterisk.process.later(seconds, self._run_out)

    def _run_out(self) -> None:
        self.out_of_time = True
        self._wake()

    def hangup(self) -> None:
        self.hung_up = True
        self._wake()

    def continued(self, extension: str, context: str) -> None:
        if self.in_stasis:  # else a second `continue`, which finds nobody waiting
            self.post("continue", (context, extension))

    def post(self, what: str, about: Any = None) -> None:
        """Tell it something."""
        self.inbox.append((what, about))
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def check(self) -> None:
        """As Asterisk does between any two steps. Raises HungUp or OutOfTime."""
        if self.hung_up:
            raise HungUp
        if self.out_of_time:
            self.out_of_time = False
            raise OutOfTime

    async def told(self, seconds: float | None = None) -> tuple[str, Any] | None:
        """What it is told next; None after so many seconds. Raises HungUp or OutOfTime."""
        mark = object()
        timer = None if seconds is None else self.asterisk.process.later(seconds, self.post, "timeout", mark)
        try:
            while True:
                self.check()
                if not self.inbox:
                    self._waiter = asyncio.get_running_loop().create_future()
                    await self._waiter
                    continue
                what, about = self.inbox.popleft()
                if what != "timeout":
                    return what, about
                if about is mark:
                    return None
        finally:
            if timer is not None:
                timer.cancel()

    async def pause(self) -> None:
        """The moment that the next step takes. Raises HungUp or OutOfTime."""
        await asyncio.sleep(self.asterisk.takes() / 5)
        self.check()
