"""FastAGI, for PBXs without ARI: a call asks for its plan on a connection of its own, gets it, and goes on.

    AGI(agi://HOST:PORT/plan?incoming!CALLED!…) → one connection → `handle` → SET VARIABLE CK_PLAN … → closed

The only module that knows panoramisk.fast_agi. What is guarded, because panoramisk does not: a peer that closes before
its headers end (it would read for ever), one that says nothing, or too much, or what is no UTF-8 (it would leave the
connection open); routes that are no coroutines (asyncio.coroutine is gone); cancellation (it swallows it). Therefore
the headers are read here, and panoramisk gets them from `_Guarded`, which looks to it like the connection.

AGI has no password, and Asterisk puts the caller's number into its headers as it came, line breaks included. So of each
header the first counts, and only those are used that Asterisk sends before the number.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

import msgspec
import structlog
from panoramisk.fast_agi import Application, Request

from comunik_pbx.asterisk.errors import AgiCannotListen, AgiError, AgiHungUp, network_reason

log = structlog.get_logger(__name__)

REQUEST_SECONDS = 1.2
"""From the connection to the last answer: less than the dialplan's guard of 1.5 s, which frees the channel anyway."""

MOST_HEADER_BYTES = 16 * 1024
"""Of Asterisk's some thirty headers; it sends about one kilobyte."""

MOST_CONNECTIONS = 100
"""Calls in hand at once; beyond it a connection is closed at once, and the call goes by its fallback plan."""

BACKLOG = 1024
"""Connections the kernel takes while we do not: once it takes none, AGI() waits 2 s instead of the guard's 1.5."""

LONGEST_VALUE = 1500
"""Characters in one SET VARIABLE: Asterisk's buffer for a command was 2,048 for long."""

SCRIPT = "plan"

_PLAN = re.compile(r"[A-Za-z0-9_.@:/+~|&-]+")

Handle = Callable[["AskingCall"], Awaitable[None]]
Network = IPv4Network | IPv6Network


class AskingCall:
    """A call that waits for its plan, until `deadline` (the loop's seconds).

    `channel` is its UNIQUEID, `number` the caller's as received, `arguments` what the dialplan says of it.
    """

    def __init__(self, request: Request, deadline: float) -> None:
        headers = request.headers
        self.channel: str = headers["agi_uniqueid"]
        self.number: str = headers["agi_callerid"]
        self.arguments: list[str] = headers["arguments"].split("!")
        self.deadline = deadline
        self._request = request

    async def hand_over(self, plan: str) -> None:
        """Set CK_PLAN. Raises AgiHungUp if the call does not wait any more, AgiError if Asterisk will not have it."""
        for name, value in assignments(plan):
            await self._set(name, value)

    async def _set(self, name: str, value: str) -> None:
        try:
            answer = await self._request.send_command(f"SET VARIABLE {name} {value}")
        except EOFError as error:
            raise AgiHungUp("the call ended before it had its plan") from error
        except OSError as error:
            raise AgiHungUp(f"the call ended before it had its plan ({network_reason(error)})") from error
        except ValueError as error:
            raise AgiError("what asks for a plan does not answer as Asterisk does") from error
        if answer.get("error") == "AGIResultHangup" or answer.get("status_code") == 511:  # a dead channel
            raise AgiHungUp("the call ended before it had its plan")
        if answer.get("status_code") != 200 or answer.get("result", ("",))[0] != "1":
            raise AgiError(f"Asterisk does not set {name}: {answer.get('msg') or answer.get('status_code')}")


def assignments(plan: str) -> list[tuple[str, str]]:
    """What to set, in this order, so that CK_PLAN is this plan. Raises AgiError if it holds what no plan does.

    A long one in pieces, to which only the last adds the `1` it begins with: half a plan is none.
    """
    if not _PLAN.fullmatch(plan):
        raise AgiError(f"{plan!r} cannot be sent: a plan is letters, digits and _ . @ : / + - ~ | &")
    if len(plan) <= LONGEST_VALUE:
        return [("CK_PLAN", plan)]
    version, _, left = plan.partition("|")
    pieces, name = [], "CK_PLAN"
    while len(left) > LONGEST_VALUE:
        cut = max(left.rfind(separator, 1, LONGEST_VALUE) for separator in "|~&")
        if cut < 1:
            raise AgiError(f"a value of more than {LONGEST_VALUE} characters cannot be sent: {left[:40]}…")
        pieces.append((name, left[:cut]))
        name, left = f"PUSH(CK_PLAN,{left[cut]})", left[cut + 1 :]
    return [*pieces, (name, left), ("UNSHIFT(CK_PLAN,|)", version)]


class _Headers(msgspec.Struct, frozen=True):
    """Of what a call sends first, what is used."""

    script: str
    arguments: str
    channel: str
    number: str


def read_headers(block: bytes) -> _Headers:
    """The headers up to the first blank line. Raises AgiError if they are not Asterisk's for a plan."""
    first: dict[str, str] = {}
    for line in block.decode("utf-8", "replace").split("\n"):
        name, colon, value = line.partition(": ")
        if colon:
            first.setdefault(name, value)
    script, _, arguments = first.get("agi_network_script", "").partition("?")
    channel, number = first.get("agi_uniqueid", ""), first.get("agi_callerid", "")
    if script != SCRIPT:
        raise AgiError(f"asked for {script[:40]!r}: there is only agi://…/{SCRIPT}")
    if not channel:
        raise AgiError("asked without agi_uniqueid: this is no Asterisk")
    return _Headers(script, arguments, channel, "" if number == "unknown" else number)  # what Asterisk says of none


class _Guarded:
    """What panoramisk reads from: the headers that were checked, then the connection, whose end is an error."""

    def __init__(self, headers: _Headers, reader: asyncio.StreamReader, deadline: float) -> None:
        self.deadline = deadline
        self._reader = reader
        self._head = (
            f"agi_network_script: {headers.script}\nagi_uniqueid: {headers.channel}\n"
            f"agi_callerid: {headers.number}\narguments: {headers.arguments}\n\n"
        ).encode()

    async def read(self, size: int) -> bytes:
        """Some of the headers."""
        if not self._head:
            raise EOFError
        piece, self._head = self._head[:size], self._head[size:]
        return piece

    async def readline(self) -> bytes:
        """An answer of Asterisk's; headers left over, since a number held a blank line, are none."""
        line = b"\n"
        while line == b"\n" or line.startswith(b"agi_"):
            line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        return line


class FastAgi:
    """Listens for calls that ask, and has `handle` answer each of them within `seconds`.

    Only `allow`ed peers are heard. A call beyond `most` at once is `refused` (called) and its connection closed.
    """

    def __init__(
        self,
        listen: tuple[str, int],
        handle: Handle,
        *,
        allow: Sequence[Network],
        refused: Callable[[], None] = lambda: None,
        most: int = MOST_CONNECTIONS,
        seconds: float = REQUEST_SECONDS,
    ) -> None:
        self.listen = listen
        self._handle = handle
        self._allow = allow
        self._refused = refused
        self._most = most
        self._seconds = seconds
        self._calls: set[asyncio.Task[None]] = set()
        self._told: set[str] = set()
        self._strangers = 0

    def __len__(self) -> int:
        return len(self._calls)

    @contextlib.asynccontextmanager
    async def listening(self, grace_seconds: float = 2.0) -> AsyncIterator[int]:
        """Answer inside the `async with`; gives the port. Then finish what is in hand, no longer than the grace.

        Raises AgiCannotListen.
        """
        host, port = self.listen
        application = Application(loop=asyncio.get_running_loop())
        add_route(application, SCRIPT, self._answer)
        application.buf_size = MOST_HEADER_BYTES

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._connected(application, reader, writer)

        try:
            server = await asyncio.start_server(connected, host, port, limit=MOST_HEADER_BYTES, backlog=BACKLOG)
        except OSError as error:
            raise AgiCannotListen(
                f"{host}:{port} (agi.listen) cannot be listened on ({network_reason(error)}): "
                "does another comunik-pbx run, or is it no address of this machine?"
            ) from error
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            if self._calls:
                await asyncio.wait(self._calls, timeout=grace_seconds)
            left = list(self._calls)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _connected(
        self, application: Application, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        try:
            if self._may_ask(writer):
                self._calls.add(task)
                await self._ask(application, reader, writer)
        except AgiError as error:
            self._strange(str(error))
        except TimeoutError:
            self._strange(f"has not said in {self._seconds:g} s what it asks for")
        except OSError as error:
            log.debug("a connection of AGI broke", why=network_reason(error))
        finally:
            self._calls.discard(task)
            writer.close()

    def _strange(self, why: str) -> None:
        self._strangers += 1
        if self._strangers & (self._strangers - 1) == 0:  # 1, 2, 4, 8 …: a flood must not flood the log too
            log.warning("who asked by AGI is not answered", why=why, so_far=self._strangers)

    def _may_ask(self, writer: asyncio.StreamWriter) -> bool:
        peer = str((writer.get_extra_info("peername") or ("",))[0])
        try:
            allowed = any(ip_address(peer) in network for network in self._allow)
        except ValueError:
            allowed = False
        if not allowed:
            if peer not in self._told and len(self._told) < 100:
                self._told.add(peer)
                log.warning("somebody who is not in agi.allow asked by AGI, and is not heard", peer=peer)
            return False
        if len(self._calls) >= self._most:
            self._refused()
            return False
        return True

    async def _ask(self, application: Application, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        deadline = asyncio.get_running_loop().time() + self._seconds
        try:
            async with asyncio.timeout_at(deadline):
                block = await reader.readuntil(b"\n\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise AgiError("closed before its headers ended") from error
            return  # somebody looked whether we are there
        except asyncio.LimitOverrunError as error:
            raise AgiError(f"sent headers of more than {MOST_HEADER_BYTES} bytes") from error
        guarded = _Guarded(read_headers(block), reader, deadline)
        await application.handler(guarded, writer)

    async def _answer(self, request: Request) -> None:
        """Panoramisk's route. Nothing but its return may leave it: panoramisk would log it, and go on."""
        deadline: float = request.reader.deadline
        try:
            async with asyncio.timeout_at(deadline):
                await self._handle(AskingCall(request, deadline))
        except asyncio.CancelledError:
            return  # the service stops
        except TimeoutError:
            log.warning("a call that asks by AGI takes too long: left to the dialplan", seconds=self._seconds)
        except Exception:
            log.exception("a call that asked by AGI could not be answered")


def add_route(application: Application, path: str, route: Callable[[Request], Awaitable[None]]) -> None:
    """Add a coroutine as a route: of anything else panoramisk would make one with what Python no longer has."""
    if not asyncio.iscoroutinefunction(route):
        raise TypeError(f"the route {path!r} is no coroutine function (async def)")
    application.add_route(path, route)
