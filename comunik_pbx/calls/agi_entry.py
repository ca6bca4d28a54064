"""The entry of PBXs without ARI: a call asks by FastAGI, is decided, and goes on with its plan.

    AskingCall → decide → CK_PLAN; the connection closes and the dialplan goes on at comunik-execute

Like the interception, whatever goes wrong leaves the call to the dialplan, which has a fallback plan for it.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from comunik_pbx.asterisk.agi import MOST_CONNECTIONS, AskingCall, FastAgi, Network
from comunik_pbx.asterisk.errors import AgiError, AgiHungUp
from comunik_pbx.calls.deciding import Decisions
from comunik_pbx.calls.figures import DecisionFigures, Fallen
from comunik_pbx.forwarding.steps import Step

log = structlog.get_logger(__name__)

ARGUMENTS = 8
"""How many the dialplan gives. One more means a name with `!` in it, of which nobody knows where it ends."""


class AgiEntry:
    """Decides the calls that ask at one address. At most `most_calls` at once; what is beyond goes on undecided.

    `rings` is told of each plan handed over (UNIQUEID, pass, steps) if somebody will end the ringing exactly;
    `on_missed` is called for each call, since its end may not be told.
    """

    def __init__(
        self,
        listen: tuple[str, int],
        allow: Sequence[Network],
        decisions: Decisions,
        *,
        rings: Callable[[str, int, tuple[Step, ...]], None] | None = None,
        on_missed: Callable[[], None] = lambda: None,
        figures: DecisionFigures | None = None,
        most_calls: int = MOST_CONNECTIONS,
    ) -> None:
        self._decisions = decisions
        self._rings = rings
        self._on_missed = on_missed
        self.figures = DecisionFigures() if figures is None else figures
        self._server = FastAgi(listen, self._asked, allow=allow, refused=self._refused, most=most_calls)
        self._listens = asyncio.Event()

    @property
    def undecided(self) -> int:
        """Calls in hand now."""
        return len(self._server)

    async def wait_listening(self) -> None:
        """Wait until calls are decided."""
        await self._listens.wait()

    async def run(self, grace_seconds: float = 2.0) -> None:
        """Decide calls until cancelled, then finish those in hand. Raises AgiCannotListen."""
        async with self._server.listening(grace_seconds) as port:
            log.info("listening for AGI", url=f"agi://{self._server.listen[0]}:{port}/plan")
            self._listens.set()
            await asyncio.Event().wait()

    def _refused(self) -> None:
        self.figures.fallen[Fallen.OVERLOAD] += 1
        refused = self.figures.fallen[Fallen.OVERLOAD]
        if refused & (refused - 1) == 0:  # 1, 2, 4, 8 …: a flood must not flood the log too
            log.error("too many calls at once: they go by their fallback plans", refused=refused)

    async def _asked(self, call: AskingCall) -> None:
        began = time.monotonic()
        try:
            if len(call.arguments) != ARGUMENTS:
                raise ValueError(f"{len(call.arguments)} arguments instead of {ARGUMENTS}: a name with ! in it?")
            decided = self._decisions.decide(call.channel, call.arguments, call.number)
        except Exception:
            self.figures.fallen[Fallen.FAULT] += 1
            log.exception("a call could not be decided: it goes on undecided", call=call.channel, args=call.arguments)
            return
        try:
            await call.hand_over(decided.encoded)
            if self._rings is not None:
                self._rings(call.channel, decided.passes, decided.steps)
            self.figures.took(time.monotonic() - began)
        except AgiHungUp as normal:
            self.figures.fallen[Fallen.LATE] += 1
            log.debug("the call did not wait for its decision", call=call.channel, why=str(normal))
        except asyncio.CancelledError:  # not in time
            self.figures.fallen[Fallen.LATE] += 1
            raise
        except AgiError as error:
            self.figures.fallen[Fallen.ASTERISK] += 1
            log.warning("a decision did not reach Asterisk: left to the dialplan", call=call.channel, why=str(error))
        finally:
            self._on_missed()
