"""Calls begun from the portal's keypad: one's own phone rings first; who answers there is connected to the number.

    originate PJSIP/101 → 101 picks up → the dialplan's own context for phones, as if 101 had dialled

So the admin's dialplan decides what may be dialled as it does for the phone itself, and the call is an inside call.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog

from comunik_pbx.asterisk.ari import AriClient
from comunik_pbx.asterisk.errors import AriError, ChannelGone
from comunik_pbx.forwarding.directory import Extension

log = structlog.get_logger(__name__)

RING_SECONDS = 30
LOOK_SECONDS = 0.3
LONGEST_SECONDS = 4 * 3600.0
MOST_WATCHING = 3
"""How many watch one extension's call: each asks Asterisk again and again, so those who came first are let go."""


class NoPhone(Exception):
    """None of the extension's phones could be called."""


class Dialling:
    """Calls begun from the portal, at most one at a time for each extension."""

    def __init__(self, ari: AriClient, context: str) -> None:
        self._ari = ari
        self._context = context
        self._calls: dict[str, str] = {}
        self._watching: dict[str, list[object]] = {}

    async def call(self, extension: Extension, number: str) -> str:
        """Ring the extension's own phone, then dial; the id of the call. One in progress is ended first.

        `number` is digits and `+`, as a phone would dial it. Raises NoPhone, and AriError if Asterisk is away.
        """
        await self.hang_up(extension.number)
        for endpoint in extension.endpoints:
            call_id = f"comunik-keypad-{secrets.token_hex(8)}"
            if not await self._ari.endpoints.online(endpoint):
                continue
            try:
                await self._ari.channels.originate(
                    f"PJSIP/{endpoint}",
                    call_id,
                    context=self._context,
                    extension=number,
                    caller_id=f'"{extension.name.replace(chr(34), "")}" <{extension.number}>',
                    ring_seconds=RING_SECONDS,
                )
            except AriError as error:
                if type(error) is not AriError:  # all but "allocation failed": the phone is not there
                    raise
                log.info("a phone cannot be called", endpoint=endpoint, why=str(error))
                continue
            self._calls[extension.number] = call_id
            return call_id
        raise NoPhone(extension.number)

    async def progress(self, extension: str) -> AsyncGenerator[str, None]:
        """How this extension's call goes, at once and at each change: `phone`, `dialling`, `talking`, `ended`.

        `unanswered` instead of `ended` if one's own phone was not picked up. Ends with either; and without a word for
        all but the newest who watch.
        """
        watching, me = self._watching.setdefault(extension, []), object()
        watching.append(me)
        try:
            async with aclosing(self._states(extension)) as states:
                async for state in states:
                    if me not in watching[-MOST_WATCHING:]:
                        return
                    if state:
                        yield state
        finally:
            watching.remove(me)
            if not watching:
                self._watching.pop(extension, None)

    async def _states(self, extension: str) -> AsyncGenerator[str, None]:
        """What `progress` tells; and an empty word at each look at which nothing has changed."""
        call_id, told, answered = self._calls.get(extension), "", False
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                while call_id is not None:
                    state = await self._state(call_id)
                    if state is None:
                        break
                    answered = answered or state != "phone"
                    yield state if state != told else ""
                    told = state
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            pass
        if call_id is not None and self._calls.get(extension) == call_id:
            del self._calls[extension]
        yield "ended" if answered or call_id is None else "unanswered"

    async def hang_up(self, extension: str) -> bool:
        """End this extension's call. False if there is none."""
        if (call_id := self._calls.pop(extension, None)) is None:
            return False
        try:
            await self._ari.channels.hangup(call_id)
        except ChannelGone:
            return False
        return True

    async def _state(self, call_id: str) -> str | None:
        try:
            channel = await self._ari.channels.get(call_id)
            if channel.state != "Up":
                return "phone"
            return "talking" if await self._ari.channels.variable(call_id, "BRIDGEPEER") else "dialling"
        except ChannelGone:
            return None
