"""Ends of calls that nobody heard: the dialplan keeps each in AstDB until the service has stored its record.

`comunik-ended/<last five characters of UNIQUEID>/<pass>` holds what the hangup handler reports. They are collected
after each connection to ARI and every minute, and deleted some seconds after the store has the records, many at a time:
a service that dies in between collects them again.

While many calls end in a second the dialplan is asked not to tell each end as it happens, which costs it and us a tenth
of a call's CPU: then all are collected here, every two seconds. (Not while they are fewer: Asterisk writes AstDB to the
disk once a second, so should it die, how the last calls ended would not be known.)
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping

import structlog

from comunik_pbx.asterisk.errors import AsteriskError
from comunik_pbx.calls.call_ends import reported
from comunik_pbx.calls.publishing import FallbackDatabase
from comunik_pbx.calls.records import UNKNOWN, CallRecord

log = structlog.get_logger(__name__)

KEPT = "comunik-ended"

RETRY_SECONDS = 5.0

COLLECT_SECONDS = 60.0
"""They are collected so often in any case."""

ATTENTIVE_SECONDS = 120.0
"""So long after the newest call of which nobody will tell the end …"""

SOON_SECONDS = 2.0
"""… they are collected so often."""

MANY = 40
"""So many ends told within SOON_SECONDS are told together from now on; until fewer than half are found at once."""

DELETE_SECONDS = 10.0
"""Those stored are deleted together: a connection to AMI for each would cost more than the call."""

BREATH = 10
"""After so many ends, some 2 ms, whoever else waits has a turn."""

LEAVE_SECONDS = 1.0
"""How long the end of the service may wait for the last deletion."""


class KeptEnds:
    """Collects and deletes them.

    `ended` takes one end as the headers of its report, names in lower case, and says whether it could be read.
    `on_collected` is called whenever all have been taken. `tells` asks the dialplan to tell ends as they happen, or not
    to; None if it never does.
    """

    def __init__(
        self,
        database: FallbackDatabase,
        ended: Callable[[Mapping[str, str]], bool],
        *,
        on_collected: Callable[[], None] = lambda: None,
        tells: Callable[[bool], Awaitable[None]] | None = None,
        retry_seconds: float = RETRY_SECONDS,
        delete_seconds: float = DELETE_SECONDS,
    ) -> None:
        self._database = database
        self._retry_seconds = retry_seconds
        self._delete_seconds = delete_seconds
        self._ended = ended
        self._on_collected = on_collected
        self._tells = tells
        self._told: deque[float] = deque(maxlen=MANY)
        self._together = False  # ends are to be told together …
        self._asked: bool | None = False  # … and whether the dialplan was asked so; None: not known
        self._collect = False
        self._at_once = asyncio.Event()
        self._collect_at = self._attentive_until = 0.0  # of the event loop's clock
        self._stored: set[str] = set()
        self._due = asyncio.Event()
        self._collected = asyncio.Event()
        self._channels: set[str] = set()

    async def collected(self) -> set[str]:
        """Wait until they have been collected: the channels (UNIQUEID) of the calls found the last time."""
        await self._collected.wait()
        return self._channels

    def attend(self) -> None:
        """Some will end unheard."""
        now = asyncio.get_running_loop().time()
        if self._attentive_until < now + SOON_SECONDS:
            self._at_once.set()
            self._due.set()
        self._attentive_until = now + ATTENTIVE_SECONDS

    def told(self) -> None:
        """The dialplan has told an end as it happened."""
        now = asyncio.get_running_loop().time()
        self._told.append(now)
        if self._tells and len(self._told) == MANY and self._told[0] > now - SOON_SECONDS:
            self._told.clear()
            self._together, self._asked = True, False
            self._at_once.set()
            self._due.set()

    def connected(self) -> None:
        """Asterisk may be another than before, and have been asked by another service."""
        self._together, self._asked = False, None
        self.collect()

    def collect(self) -> None:
        """There may be some that were not heard."""
        self._collect = True
        self._collected.clear()
        self._at_once.set()
        self._due.set()

    def stored(self, records: Iterable[CallRecord]) -> None:
        """These are in the store: if they are complete, AstDB need not keep them."""
        self._stored |= {_key(record.id) for record in records if record.ended_at and record.status != UNKNOWN}
        if self._stored:
            self._due.set()

    async def run(self) -> None:
        """Do so until cancelled. What fails is tried again."""
        try:
            await self._run()
        except asyncio.CancelledError:
            self._collect = False
            with contextlib.suppress(TimeoutError, AsteriskError):
                async with asyncio.timeout(LEAVE_SECONDS):
                    await self._once()
            raise

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        self._collect_at = clock() + COLLECT_SECONDS
        while True:
            attentive = self._together or clock() < self._attentive_until
            collect_at = min(self._collect_at, clock() + SOON_SECONDS) if attentive else self._collect_at
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(collect_at):
                    await self._due.wait()
                async with asyncio.timeout(SOON_SECONDS if attentive else self._delete_seconds):
                    await self._at_once.wait()
            if clock() >= collect_at:  # however often records are stored meanwhile
                self.collect()
            self._at_once.clear()
            self._due.clear()
            try:
                await self._once()
            except AsteriskError as error:
                log.debug("kept ends of calls are out of reach", why=str(error))
                await asyncio.sleep(self._retry_seconds)
                self._due.set()
                self._at_once.set()

    async def _once(self) -> None:
        try:
            await self._ask()
        except AsteriskError:  # AMI may be there though ARI is not
            await self._collect_and_delete()
            raise
        await self._collect_and_delete()

    async def _ask(self) -> None:
        if self._tells and self._asked is not (together := self._together):
            await self._tells(not together)
            self._asked = together
            if not together:  # some may have ended meanwhile
                self._collect_at = asyncio.get_running_loop().time() + SOON_SECONDS

    async def _collect_and_delete(self) -> None:
        await self._delete()
        if self._collect:
            self._collect = False
            self._collect_at = asyncio.get_running_loop().time() + COLLECT_SECONDS
            try:
                found = await self._database.db_get_tree(KEPT)
            except AsteriskError:
                self._collect = True
                raise
            channels = set()
            for number, (path, report) in enumerate(found.items()):
                headers, key = reported(report), path.removeprefix(f"/{KEPT}/")
                if key not in self._stored and not self._ended(headers):
                    self._stored.add(key)
                elif "call" in headers:
                    channels.add(headers["call"])
                if number % BREATH == 0:  # there may be thousands, and live calls must not wait
                    await asyncio.sleep(0)
            if found:
                log.info("ends of calls collected", calls=len(found))
            if self._together and len(found) < MANY / 2:
                self._together = False
                self._due.set()
                self._at_once.set()
            self._channels = channels
            if not self._collect:  # asked for once more meanwhile
                self._collected.set()
                self._on_collected()
            if self._stored:  # with the next collection, by one connection
                self._due.set()

    async def _delete(self) -> None:
        if not self._stored:
            return
        keys = sorted(self._stored)
        await self._database.db_write(KEPT, [(key, None) for key in keys])
        self._stored.difference_update(keys)


def _key(record_id: str) -> str:
    channel, _, passes = record_id.partition("#")
    return f"{channel[-5:]}/{passes or 1}"
