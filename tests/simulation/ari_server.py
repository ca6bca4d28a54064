"""Asterisk's web server, as much as the service sees of it: HTTP/1.1 with keep-alive, and the event websocket."""

import asyncio
import base64
import hashlib
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from tests.simulation.network import Transport

if TYPE_CHECKING:
    from tests.simulation.asterisk import Asterisk

KEEP_ALIVE_SECONDS = 15.0
"""How long an idle connection stands (`session_keep_alive` in http.conf)."""

_ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
_encode = msgspec.json.Encoder().encode

_REASONS = {200: "OK", 204: "No Content", 404: "Not Found", 409: "Conflict"}


class Request(msgspec.Struct):
    """One request. `parts` is the path below /ari, unquoted."""

    method: str
    parts: list[str]
    query: dict[str, str]
    body: bytes
    headers: dict[str, str]


class AriConnection(asyncio.Protocol):
    """One connection of a client; becomes a websocket when asked to."""

    def __init__(self, asterisk: "Asterisk") -> None:
        self.app: str | None = None
        self.allowed: frozenset[str] | None = None
        self.client = "?"
        self._asterisk = asterisk
        self._read = b""
        self._requests: deque[Request] = deque()
        self._busy = False
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, Transport)
        self.transport = transport
        self.client = transport.peer.process.name

    def connection_lost(self, exc: Exception | None) -> None:
        if self._idle is not None:
            self._idle.cancel()
        if self.app is not None:
            self._asterisk.socket_lost(self)

    def data_received(self, data: bytes) -> None:
        self._read += data
        if self.app is not None:
            self._frames()
            return
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head, *lines = self._read[:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            length = int(headers.get("content-length", "0"))
            if len(self._read) < end + 4 + length:
                return
            body, self._read = self._read[end + 4 : end + 4 + length], self._read[end + 4 + length :]
            method, target, _ = head.split(" ")
            url = urlsplit(target)
            parts = [unquote(part) for part in url.path.removeprefix("/ari/").split("/")]
            query = {name: values[-1] for name, values in parse_qs(url.query).items()}
            self._requests.append(Request(method, parts, query, body, headers))
        if not self._busy:
            self._next()

    def _next(self) -> None:
        """Carry out the next request; answers go out in the order of the requests."""
        self._busy = bool(self._requests)
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if not self._busy:
            self._idle = self._asterisk.process.later(KEEP_ALIVE_SECONDS, self.transport.close)
        else:
            self._asterisk.process.later(self._asterisk.takes(), self._carry_out, self._requests.popleft())

    def _carry_out(self, request: Request) -> None:
        answer = self._asterisk.rest(request, self)
        if answer is None:
            return  # it hangs, and with it all that comes after it on this connection
        status, body = answer
        if status == 101:
            self._upgrade(request)
            return
        json = b"" if body is None else _encode(body)
        first = f"HTTP/1.1 {status} {_REASONS.get(status, 'Whatever')}\r\nServer: Asterisk\r\n"
        head = f"{first}Content-Length: {len(json)}\r\n"
        kind = "Content-type: application/json\r\n" if json else ""
        self.transport.write(f"{head}{kind}\r\n".encode() + json)
        self._next()

    def _upgrade(self, request: Request) -> None:
        key = request.headers["sec-websocket-key"].encode()
        accept = base64.b64encode(hashlib.sha1(key + _ACCEPT).digest()).decode()
        self.transport.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        self.app = request.query["app"]
        self._asterisk.socket_opened(self)

    # The websocket (RFC 6455)

    def event(self, event: dict[str, Any], delivered: Callable[[], None] | None = None) -> None:
        """Send an event if the application's filter lets it through; `delivered` is called when the client has it."""
        if self.allowed is None or event["type"] in self.allowed:
            self._frame(_TEXT, _encode(event), delivered)

    def close(self, code: int = 1000) -> None:
        self._frame(_CLOSE, code.to_bytes(2, "big"))
        self.transport.close()

    def _frame(self, opcode: int, payload: bytes, delivered: Callable[[], None] | None = None) -> None:
        size = len(payload)
        head = bytes([0x80 | opcode, size]) if size < 126 else bytes([0x80 | opcode, 126]) + size.to_bytes(2, "big")
        self.transport.send(head + payload, delivered)

    def _frames(self) -> None:
        while len(self._read) >= 2:
            opcode, size = self._read[0] & 15, self._read[1] & 127
            if len(self._read) < 6 + size:
                return
            mask, payload = self._read[2:6], self._read[6 : 6 + size]
            self._read = self._read[6 + size :]
            payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
            if opcode == _PING:
                self._frame(_PONG, payload)
            elif opcode == _CLOSE:
                self._frame(_CLOSE, payload[:2])
                self.transport.close()
