"""Several ARI commands in one write: HTTP/1.1 pipelining (RFC 9112 section 9.3.2), for the path of every call.

Handing a call its plan takes two commands, in order. Sent together on one kept-alive connection they cost one
wake-up of each side instead of two, about a third of the service's CPU per call; aiohttp cannot pipeline. Everything
else goes by aiohttp. Our commands may be said twice, so what a closing connection left unanswered is sent once more.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from ssl import SSLContext
from typing import cast

import msgspec
from yarl import URL

HEAD_END = b"\r\n\r\n"

MOST_HEAD_BYTES = 64 * 1024
MOST_BODY_BYTES = 16 * 1024 * 1024


class Response(msgspec.Struct, frozen=True):
    """An HTTP response: its status and its body."""

    status: int
    body: bytes


class NotHttp(ConnectionError):
    """What answers does not speak HTTP/1.1 as Asterisk does."""


class Pipeline:
    """A small pool of connections to Asterisk's HTTP server.

    `idle_seconds` must be shorter than the server's own (`session_keep_alive`): a connection idle for longer is not
    used again. `seconds` bounds each `send`, connecting included.
    """

    def __init__(
        self,
        url: URL,
        headers: dict[str, str],
        *,
        connections: int = 4,
        seconds: float = 2.0,
        idle_seconds: float = 10.0,
        ssl: SSLContext | None = None,
    ) -> None:
        self._host, self._port = url.host or "", url.port or 80
        self._ssl = ssl if ssl is not None else (url.scheme == "https" or None)
        self._path = url.raw_path.rstrip("/")
        self._head = "".join(f"{name}: {value}\r\n" for name, value in ({"Host": url.authority} | headers).items())
        self._connections = connections
        self._seconds = seconds
        self._idle_seconds = idle_seconds
        self._standing: dict[_Connection, None] = {}  # the oldest first
        self._opening = asyncio.Lock()

    def request(self, method: str, path: str, json: bytes = b"") -> bytes:
        """A request's bytes; `path` under the pool's URL, already quoted."""
        kind = "Content-Type: application/json\r\n" if json else ""
        head = f"{method} {self._path}{path} HTTP/1.1\r\n{self._head}{kind}Content-Length: {len(json)}\r\n\r\n"
        return head.encode("ascii") + json

    async def send(self, *requests: bytes) -> list[Response]:
        """Send requests together, to be carried out in order; their responses.

        Raises TimeoutError, or OSError if there is no connection.
        """
        async with asyncio.timeout(self._seconds):
            connection = await self._connection()
            try:
                return await connection.send(requests)
            except NotHttp:
                raise
            except ConnectionError:
                connection = await self._connection()  # Asterisk closed it just now: once more
                return await connection.send(requests)

    def begin(self, request: bytes, told: Callable[[Response | Exception], None]) -> bool:
        """Send a request that no task waits for: `told` is called with the response, or with what `send` would raise.

        False, and nothing is sent, if there is no connection it could go by at once.
        """
        connection = self._free()
        if connection is None:
            return False
        connection.begin(request, told, self._seconds)
        return True

    def close(self) -> None:
        """Close all connections; what is under way fails."""
        for connection in list(self._standing):
            connection.abort(ConnectionAbortedError("closed"))

    async def _connection(self) -> "_Connection":
        if (found := self._free()) is not None:
            return found
        async with self._opening:
            if (found := self._free()) is not None:
                return found
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self._standing), self._host, self._port, ssl=self._ssl
            )
            return connection

    def _free(self) -> "_Connection | None":
        """An idle connection, or when there are enough the one with the least to do."""
        oldest = asyncio.get_running_loop().time() - self._idle_seconds
        for connection in [c for c in self._standing if not c.waiting and c.used < oldest]:
            connection.abort(ConnectionAbortedError("idle"))
        best = min(self._standing, key=lambda connection: len(connection.waiting), default=None)
        if best is not None and best.waiting and len(self._standing) < self._connections:
            return None
        return best


class _Told:
    """Waits for a response like a future, but tells at once: the event loop goes round once less."""

    __slots__ = ("set_exception", "set_result", "until")

    def __init__(self, told: Callable[[Response | Exception], None], until: float) -> None:
        self.set_result = self.set_exception = told
        self.until = until

    def done(self) -> bool:
        return False


class _Connection(asyncio.Protocol):
    """One connection: responses come in the order of the requests."""

    def __init__(self, standing: dict["_Connection", None]) -> None:
        self.waiting: deque[asyncio.Future[Response] | _Told] = deque()
        self.used = 0.0
        self._overdue: asyncio.TimerHandle | None = None
        self._standing = standing
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()
        self.used = self._loop.time()
        self._standing[self] = None

    async def send(self, requests: tuple[bytes, ...]) -> list[Response]:
        answers = [self._loop.create_future() for _ in requests]
        self.waiting.extend(answers)
        self.used = self._loop.time()
        self._transport.write(b"".join(requests))
        try:
            return [await answer for answer in answers]
        except asyncio.CancelledError:
            # No answer in time: this connection's order is lost to us, and others need not wait for it.
            self.abort(ConnectionAbortedError("Asterisk did not answer in time"))
            raise

    def begin(self, request: bytes, told: Callable[[Response | Exception], None], seconds: float) -> None:
        self.used = self._loop.time()
        self.waiting.append(_Told(told, self.used + seconds))
        if self._overdue is None:
            self._overdue = self._loop.call_at(self.used + seconds, self._look_for_overdue)
        self._transport.write(request)

    def _look_for_overdue(self) -> None:
        """One timer for all that was begun: most are answered in a millisecond."""
        until = next((one.until for one in self.waiting if isinstance(one, _Told)), None)
        if until is not None and until <= self._loop.time():
            self.abort(TimeoutError("Asterisk did not answer in time"))
            return
        self._overdue = None if until is None else self._loop.call_at(until, self._look_for_overdue)

    def data_received(self, data: bytes) -> None:
        self._read += data
        while self._read and (end := self._read.find(HEAD_END)) >= 0:
            try:
                status, length = _head(self._read[:end])
            except NotHttp as error:
                self.abort(error)
                return
            end += len(HEAD_END)
            if len(self._read) < end + length:
                return
            body, self._read = self._read[end : end + length], self._read[end + length :]
            if not self.waiting:
                self.abort(NotHttp("a response that nobody asked for"))
                return
            answer = self.waiting.popleft()
            if not answer.done():
                answer.set_result(Response(status, body))
        if len(self._read) > MOST_HEAD_BYTES and HEAD_END not in self._read[:MOST_HEAD_BYTES]:
            self.abort(NotHttp("a response whose head does not end"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionResetError("Asterisk closed the connection"))

    def abort(self, error: Exception) -> None:
        """Close at once: what waits fails with this error."""
        self._transport.abort()
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._standing.pop(self, None)
        if self._overdue is not None:
            self._overdue.cancel()
        while self.waiting:
            answer = self.waiting.popleft()
            if answer.done():
                continue
            answer.set_exception(error)
            if isinstance(answer, asyncio.Future):
                answer.exception()  # of several requests only the first one's failure is looked at


@lru_cache(maxsize=16)  # those of one second are the same, but for a body's length
def _head(head: bytes) -> tuple[int, int]:
    """Status and length of the body. Raises NotHttp; Asterisk always gives Content-Length, 204 included."""
    first, *lines = head.split(b"\r\n")
    if not first.startswith(b"HTTP/1.1 ") or not first[9:12].isdigit():
        raise NotHttp(f"not an HTTP/1.1 response: {first[:40]!r}")
    status = int(first[9:12])
    for line in lines:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and value.strip().isdigit():
            digits = value.strip()
            if len(digits) > 9 or int(digits) > MOST_BODY_BYTES:
                raise NotHttp(f"a response of {digits[:20].decode()} bytes")
            return status, int(digits)
    if status == 204:
        return status, 0
    raise NotHttp("a response without Content-Length")
