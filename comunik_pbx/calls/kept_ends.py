"""Ends of calls that nobody heard: the dialplan keeps each in AstDB until the service has stored its record.

`comunik-ended/<last five characters of UNIQUEID>/<pass>` holds what the UserEvent says. They are collected after each
login to AMI, and deleted once the store has the records: a service that dies in between collects them again.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping

import structlog

from comunik_pbx.asterisk.errors import AsteriskError
from comunik_pbx.calls.publishing import FallbackDatabase
from comunik_pbx.calls.records import UNKNOWN, CallRecord

log = structlog.get_logger(__name__)

KEPT = "comunik-ended"

RETRY_SECONDS = 5.0

COLLECT_SECONDS = 600.0
"""They are collected after so long a time with nothing to do, too: events may have been dropped in a flood."""


class KeptEnds:
    """Collects and deletes them.

    `ended` takes one end as the headers of its UserEvent, names in lower case, and says whether it could be read.
    """

    def __init__(
        self,
        database: FallbackDatabase,
        ended: Callable[[Mapping[str, str]], bool],
        *,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._database = database
        self._retry_seconds = retry_seconds
        self._ended = ended
        self._collect = False
        self._stored: set[str] = set()
        self._due = asyncio.Event()
        self._collected = asyncio.Event()
        self._channels: set[str] = set()

    async def collected(self) -> set[str]:
        """Wait until they have been collected: the channels (UNIQUEID) of the calls found the last time."""
        await self._collected.wait()
        return self._channels

    def collect(self) -> None:
        """There may be some that were not heard."""
        self._collect = True
        self._collected.clear()
        self._due.set()

    def stored(self, records: Iterable[CallRecord]) -> None:
        """These are in the store: if they are complete, AstDB need not keep them."""
        self._stored |= {_key(record.id) for record in records if record.ended_at and record.status != UNKNOWN}
        if self._stored:
            self._due.set()

    async def run(self) -> None:
        """Do so until cancelled. What fails is tried again."""
        while True:
            try:
                async with asyncio.timeout(COLLECT_SECONDS):
                    await self._due.wait()
            except TimeoutError:
                self.collect()
            self._due.clear()
            try:
                await self._once()
            except AsteriskError as error:
                log.debug("kept ends of calls are out of reach", why=str(error))
                await asyncio.sleep(self._retry_seconds)
                self._due.set()

    async def _once(self) -> None:
        if self._collect:
            self._collect = False
            try:
                found = await self._database.db_get_tree(KEPT)
            except AsteriskError:
                self._collect = True
                raise
            channels = set()
            for key, report in found.items():
                headers = reported(report)
                if self._ended(headers):
                    channels.add(headers["call"])
                else:
                    self._stored.add(key.removeprefix(f"/{KEPT}/"))
                await asyncio.sleep(0)  # there may be thousands, and live calls must not wait
            if found:
                log.info("ends of calls collected", calls=len(found))
            self._channels = channels
            if not self._collect:  # asked for once more meanwhile
                self._collected.set()
        keys = sorted(self._stored)
        await self._database.db_write(KEPT, [(key, None) for key in keys])
        self._stored.difference_update(keys)


def reported(report: str) -> dict[str, str]:
    """`Call: 1795386765.7,Pass: 1,…` as headers with lower-case names."""
    pairs = (field.partition(": ") for field in report.split(","))
    return {name.lower(): value for name, _, value in pairs}


def _key(record_id: str) -> str:
    channel, _, passes = record_id.partition("#")
    return f"{channel[-5:]}/{passes or 1}"
