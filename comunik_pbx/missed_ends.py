"""Calls whose end nobody heard: their records are closed.

They ended before the service started, or while ARI was away or Asterisk had died; and AstDB does not tell of them
either: somebody wiped it.
"""

import asyncio
import time
from datetime import UTC, datetime

import structlog

from comunik_pbx import needed
from comunik_pbx.asterisk.ami import AmiClient
from comunik_pbx.asterisk.ari import AriClient
from comunik_pbx.asterisk.errors import AsteriskError, AsteriskExchanged
from comunik_pbx.calls.kept_ends import KeptEnds
from comunik_pbx.calls.records import Records
from comunik_pbx.store import Store, StoreError

log = structlog.get_logger(__name__)

MISSED_SECONDS = 50.0
"""They are looked for no more often, but after each connection. (Ends are collected every minute in any case.)"""

RETRY_SECONDS = 5.0
"""How often what the store would not do, or Asterisk not tell, is tried again."""


class MissedEnds:
    """Looks which calls stand, once ends have been collected. Without ARI, Asterisk is asked by AMI."""

    def __init__(
        self,
        store: Store,
        ari: AriClient | None,
        ami: AmiClient,
        records: Records,
        kept_ends: KeptEnds,
        *,
        started_at: datetime,
        gives_up: bool,
    ) -> None:
        self._store = store
        self._ari = ari
        self._ami = ami
        self._records = records
        self._kept_ends = kept_ends
        self._started_at = started_at
        self._gives_up = gives_up
        self._some = asyncio.Event()
        self._just_connected = False
        self._looked_at = -MISSED_SECONDS  # monotonic

    def connected(self) -> None:
        """Calls may have ended unheard: when ends are collected next, they are looked for."""
        self._just_connected = True

    def collected(self) -> None:
        """Ends have been collected from AstDB, under load every two seconds: what is open now may have been missed.

        By AMI alone nothing tells us of another Asterisk.
        """
        if self._ari is None or self._just_connected or time.monotonic() - self._looked_at >= MISSED_SECONDS:
            self._some.set()

    async def run(self) -> None:
        """Close the records of calls that ended unheard, as often as there may be some. Raises AsteriskExchanged."""
        while True:
            await self._some.wait()
            self._some.clear()
            await self.close()

    async def close(self) -> None:
        """Close them now, of services before this one too; what fails is tried again until it is done."""
        said = False
        self._looked_at = time.monotonic()
        while True:
            began = datetime.now(UTC)
            try:
                await self.look_at_version()
                alive = await self._channels()
                self._records.close_missing(alive, began)
                if self._just_connected and alive:  # calls of which nobody may tell us the end
                    self._kept_ends.attend()
                self._just_connected = False
                told = await self._kept_ends.collected()
                missed = await self._store.close_calls(alive | told, self._started_at, self._records.just_ended())
            except AsteriskExchanged:
                raise
            except (AsteriskError, StoreError) as error:
                if not said:
                    log.warning("records of calls that ended meanwhile stay open for now", why=str(error))
                said = True
                await asyncio.sleep(RETRY_SECONDS)
            else:
                if missed:
                    log.info("calls ended unheard: their records are closed", calls=missed)
                return

    async def look_at_version(self) -> None:
        """Plans say what this Asterisk's Dial() is to do: of another one they might say too much."""
        if self._ari is not None:
            version = (await self._ari.asterisk.info()).system.version
            if needed.has_start_time(version) is self._gives_up:
                raise AsteriskExchanged(
                    f"Asterisk at {self._ari.url} is {version} now, another version than before: start the service anew"
                )

    async def _channels(self) -> set[str]:
        """The channels that stand now (UNIQUEID)."""
        if self._ari is None:
            return await self._ami.channels()
        return {channel.id for channel in await self._ari.channels.list()}
