"""One `softphone` process and the conversation with it; for carriers also the relay that gives it their address."""

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from comunik_pbx.sandbox import processes
from comunik_pbx.sandbox.errors import PhoneError

START_SECONDS = 20.0
REQUEST_SECONDS = 15.0
CLOSE_SECONDS = 4.0

Event = dict[str, Any]


class SoftphoneProcess:
    """Start with `start`; `request` asks, `on_event` is called for every event, `close` ends it in order.

    If the process dies, `on_death` is called with a sentence that says so.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        on_event: Callable[[Event], None],
        on_death: Callable[[str], None],
    ) -> None:
        self._process = process
        self._on_event = on_event
        self._on_death = on_death
        self._waiting: dict[int, asyncio.Future[Event]] = {}
        self._next = 0
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closing = False
        self._reader = asyncio.create_task(self._read(), name="softphone")
        self.sip_port = 0

    @classmethod
    async def start(cls, on_event: Callable[[Event], None], on_death: Callable[[str], None]) -> "SoftphoneProcess":
        """Start the process and wait until its SIP stack is up; raises `PhoneError` if it does not come up."""
        process = await processes.start(
            [sys.executable, "-m", "comunik_pbx.sandbox.softphone"],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        softphone = cls(process, on_event, on_death)
        try:
            await asyncio.wait_for(asyncio.shield(softphone._ready), START_SECONDS)
        except TimeoutError:
            await softphone.close()
            raise PhoneError(f"the SIP phones did not start within {START_SECONDS:g} s") from None
        except BaseException:
            await softphone.close()
            raise
        return softphone

    async def request(self, do: str, **values: Any) -> Event:
        """Ask for one thing and return the answer; raises `PhoneError` with the phone's own words if it cannot."""
        self._next += 1
        number = self._next
        answer: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        assert self._process.stdin is not None  # noqa: S101
        try:
            self._process.stdin.write(json.dumps({"id": number, "do": do, **values}).encode() + b"\n")
            await self._process.stdin.drain()
            event = await asyncio.wait_for(answer, REQUEST_SECONDS)
        except TimeoutError:
            raise PhoneError(f"a phone did not carry out {do!r} within {REQUEST_SECONDS:g} s") from None
        except (ConnectionError, BrokenPipeError) as error:
            raise PhoneError("the process of the SIP phones has ended") from error
        finally:
            self._waiting.pop(number, None)
        if "error" in event:
            raise PhoneError(f"{do}: {event['error']}")
        return event

    async def close(self) -> None:
        """Hang up, unregister, end."""
        self._closing = True
        if self._process.stdin is not None:
            self._process.stdin.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), CLOSE_SECONDS)
        await processes.stop(self._process, seconds=1)
        await self._reader

    async def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101
        while line := await self._process.stdout.readline():
            event = json.loads(line)
            if "id" in event:
                waiting = self._waiting.get(event["id"])
                if waiting and not waiting.done():
                    waiting.set_result(event)
            elif event["event"] == "ready":
                self.sip_port = event["sip_port"]
                self._ready.set_result(None)
            else:
                self._on_event(event)
        status = await self._process.wait()
        death = PhoneError(f"the process of the SIP phones ended with status {status}")
        if not self._ready.done():
            self._ready.set_exception(death)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(death)
        if not self._closing:
            self._on_death(str(death))


class Relay(asyncio.DatagramProtocol):
    """Gives a softphone on 127.0.0.1 a carrier's address, which baresip cannot bind itself.

    What Asterisk sends to the carrier's address goes to the softphone, and the other way round, unchanged:
    responses and first requests come from the carrier's address, by which Asterisk knows the trunk.
    """

    def __init__(self, asterisk: tuple[str, int], softphone: tuple[str, int]) -> None:
        self._asterisk = asterisk
        self._softphone = softphone
        self._transport: asyncio.DatagramTransport | None = None

    @classmethod
    async def open(cls, address: tuple[str, int], asterisk: tuple[str, int], softphone: tuple[str, int]) -> "Relay":
        """Listen on `address`; raises `PhoneError` if it is taken (SIPp may play the same carrier)."""
        try:
            _, relay = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: cls(asterisk, softphone), local_addr=address
            )
        except OSError as error:
            raise PhoneError(
                f"cannot be the carrier at {address[0]}:{address[1]} ({error.strerror}); is another one playing it?"
            ) from error
        return relay

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        """Remember the socket."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Pass on to the other side."""
        if self._transport is not None:
            self._transport.sendto(data, self._asterisk if addr == self._softphone else self._softphone)

    def close(self) -> None:
        """Stop listening."""
        if self._transport is not None:
            self._transport.close()
