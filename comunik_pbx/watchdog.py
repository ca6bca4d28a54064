"""The watchdog: the supervisor hears that we are well only if that is true, and starts us again if it hears nothing.

    the event loop turns → a round trip to ARI → WATCHDOG=1

A blocked loop says nothing, since this is a task of it. A client that no longer gets through although Asterisk answers
others says nothing. While Asterisk itself is away we are well as long as we keep trying: a restart of ours would not
bring it back.
"""

import asyncio
import time
from collections.abc import Callable

import structlog

from comunik_pbx.asterisk.ari import AriClient
from comunik_pbx.asterisk.errors import AriError, AriTimeout, AriUnreachable
from comunik_pbx.readiness import notify

log = structlog.get_logger(__name__)

STUCK_SECONDS = 30.0
"""Without a connection, and for so long without an attempt to make one: attempts are at most some ten seconds apart."""


class Watchdog:
    """Tells the supervisor at least every `seconds` that we are well, while we are.

    `another` makes a client of its own to the same Asterisk. `tried_at` says when the event socket was last opened,
    lost or tried in vain, and whether it stands (monotonic seconds).
    """

    def __init__(
        self,
        seconds: float,
        ari: AriClient,
        another: Callable[[], AriClient],
        tried_at: Callable[[], tuple[float, bool]],
        *,
        tell: Callable[[str], None] = notify,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = seconds
        self._ari = ari
        self._another = another
        self._tried_at = tried_at
        self._tell = tell
        self._clock = clock

    async def run(self) -> None:
        """Look and tell until cancelled."""
        while True:
            began = self._clock()
            if why := await self._ill():
                log.error("not well: the supervisor is not told to wait", why=why)
            else:
                self._tell("WATCHDOG=1")
            await asyncio.sleep(max(0.0, self._seconds / 3 - (self._clock() - began)))

    async def _ill(self) -> str:
        """What is wrong with us; empty if nothing is."""
        at, connected = self._tried_at()
        if not connected:
            idle = self._clock() - at
            return f"no connection to ARI, and no attempt for {idle:.0f} s" if idle > STUCK_SECONDS else ""
        seconds = self._seconds / 4
        try:
            await _round_trip(self._ari, seconds)
        except (AriTimeout, AriUnreachable) as error:
            ours = error
        else:
            return ""
        try:
            async with self._another() as another:
                await _round_trip(another, seconds)
        except (AriTimeout, AriUnreachable):
            return ""  # Asterisk does not answer others either
        return f"Asterisk answers others but not us ({ours})"


async def still_turning(seconds: float) -> None:
    """Tell it at least so often without ARI, until cancelled: AMI notices by its own pings when it is not heard."""
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(seconds / 3)


async def _round_trip(ari: AriClient, seconds: float) -> None:
    """Raises AriTimeout or AriUnreachable. That Asterisk refuses us is an answer too."""
    try:
        async with asyncio.timeout(seconds):
            await ari.asterisk.ping()
    except TimeoutError:
        raise AriTimeout(f"{ari.url} did not answer in {seconds:g} s") from None
    except (AriTimeout, AriUnreachable):
        raise
    except AriError as refusal:
        log.debug("refused", why=str(refusal))
