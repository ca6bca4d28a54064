"""Asterisk's manager interface (AMI), by panoramisk, with what it leaves out.

panoramisk parses and frames; here a login is checked, every action has a time limit, values with CR or LF are
refused, a Ping that is awaited notices a frozen Asterisk, and a lost connection is made again after a growing
wait. (By itself panoramisk reconnects from callbacks for ever, reports no wrong password, and waits for ever.)

One connection is one `_Connection`, which dies once; `AmiClient.events()` makes the next.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Mapping, Sequence, Sized
from typing import Any

import msgspec
import structlog
from panoramisk import Manager
from panoramisk.ami_protocol import AMIProtocol
from panoramisk.message import Message

from comunik_pbx.asterisk.ami_channels import Channels
from comunik_pbx.asterisk.ami_database import Answers, Tree
from comunik_pbx.asterisk.ami_dial import DIAL_EVENTS, FILTERS, LegEvent, leg_event
from comunik_pbx.asterisk.ami_lines import safe, text
from comunik_pbx.asterisk.errors import (
    AmiActionFailed,
    AmiError,
    AmiRefused,
    AmiTimeout,
    AmiUnreachable,
    network_reason,
)
from comunik_pbx.asterisk.reconnect import Backoff

log = structlog.get_logger(__name__)

MOST_EVENTS_WAITING = 10_000
"""Events read from Asterisk and not yet taken by the reader; beyond it the oldest are dropped."""

BATCH = 100
"""Changes of AstDB sent before their answers are awaited: enough to hide the way there and back."""

MOST_UNFINISHED_CHARACTERS = 1024 * 1024
"""Of a message whose end has not come; the longest of Asterisk's are some kilobytes."""

READ_BYTES = 32 * 1024
"""Socket buffer: a long list then comes in pieces that are parsed in a few milliseconds each."""


class AmiConnected(msgspec.Struct, frozen=True):
    """Logged in (again). User events sent before are lost."""


class AmiDisconnected(msgspec.Struct, frozen=True):
    """The connection is lost, or could not be made; the next attempt is in `retry_seconds`."""

    error: Exception
    retry_seconds: float


class FullyBooted(msgspec.Struct, frozen=True):
    """Asterisk has loaded everything: sent after each login, or later when it was still starting."""


class Reloaded(msgspec.Struct, frozen=True):
    """Asterisk has read its configuration again (`reload`, of everything or of one module)."""


class UserEvent(msgspec.Struct, frozen=True):
    """An event of the dialplan's UserEvent(); `headers` by lower-case name, those of the channel included.

    Where a header comes twice the last counts: UserEvent's own follow the channel's.
    """

    name: str
    headers: Mapping[str, str]


AmiEvent = AmiConnected | AmiDisconnected | FullyBooted | Reloaded | UserEvent | LegEvent


class AmiClient:
    """AMI of one Asterisk. The user in manager.conf needs `read = system,user,call` and `write = system`.

    `action_seconds` bounds every action and each attempt to connect, `ping_seconds` is how long the connection
    may be silent before it is pinged. Actions work while `events()` is being read and the connection stands;
    otherwise they raise AmiUnreachable.
    """

    def __init__(
        self,
        host: str,
        port: int,
        user: str,
        secret: str,
        *,
        action_seconds: float = 3.0,
        ping_seconds: float = 15.0,
        backoff: Backoff | None = None,
    ) -> None:
        self.host, self.port, self.user = host, port, user
        self._secret = secret
        self._action_seconds = action_seconds
        self._ping_seconds = ping_seconds
        self._backoff = backoff or Backoff()
        self._connection: _Connection | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a connection, logged in, as far as is known now."""
        return self._connection is not None and not self._connection.lost.done()

    async def check(self) -> None:
        """Log in once and out again.

        For use before the first connection: raises AmiUnreachable, AmiTimeout or AmiRefused, each a sentence
        that says what to do.
        """
        (await self._connect()).close()

    async def events(self) -> AsyncGenerator[AmiEvent, None]:
        """FullyBooted and user events, for ever: reconnects by itself, yielding AmiConnected and AmiDisconnected.

        A silence of `ping_seconds` is ended by a Ping, whose missing answer is a lost connection. Close the
        generator (`contextlib.aclosing`) to close the connection.
        """
        clock = asyncio.get_running_loop().time
        while True:
            opened: float | None = None
            try:
                self._connection = connection = await self._connect()
                await connection.ask_for_legs()
                opened = clock()
                yield AmiConnected()
                async with contextlib.aclosing(connection.read(self._ping_seconds)) as events:
                    async for event in events:
                        yield event
            except AmiError as reason:
                error = reason
            finally:
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None
            delay = self._backoff.lost(0.0 if opened is None else clock() - opened)
            yield AmiDisconnected(error, delay)
            await asyncio.sleep(delay)

    async def action(self, name: str, **headers: str) -> Message:
        """Send one action and give its response. Raises AmiActionFailed if that is an error, or another AmiError."""
        return await self._standing().action(name, headers)

    async def db_put(self, family: str, key: str, value: str) -> None:
        """Write an AstDB entry (AMI DBPut); the family may have parts divided by `/`."""
        await self.action("DBPut", Family=family, Key=key, Val=value)

    async def db_del(self, family: str, key: str) -> bool:
        """Delete an AstDB entry (AMI DBDel); False if there was none."""
        try:
            await self.action("DBDel", Family=family, Key=key)
        except AmiActionFailed:
            return False
        return True

    async def db_get_tree(self, family: str) -> dict[str, str]:
        """All entries of an AstDB family (AMI DBGetTree, Asterisk 16.28): full key `/family/key` to value."""
        return await self._standing().db_get_tree(family)

    async def channels(self) -> set[str]:
        """UNIQUEIDs of all channels that stand (AMI CoreShowChannels; needs the class reporting)."""
        return await self._standing().channels()

    async def db_write(self, family: str, changes: Sequence[tuple[str, str | None]]) -> None:
        """Write many AstDB entries of a family, in this order; a value None deletes, if there was one.

        Pipelined: some 20,000 a second. Raises AmiActionFailed, with the key, if one was refused; those after it
        in the same batch of `BATCH` are written all the same.
        """
        connection = self._standing()
        for start in range(0, len(changes), BATCH):
            await connection.db_write(family, changes[start : start + BATCH])

    def _standing(self) -> "_Connection":
        if self._connection is None or self._connection.lost.done():
            raise AmiUnreachable(f"not connected to AMI at {self.host}:{self.port}")
        return self._connection

    async def _connect(self) -> "_Connection":
        where = f"{self.host}:{self.port}"
        connection = _Connection(where, self._action_seconds)
        try:
            async with asyncio.timeout(self._action_seconds):
                await connection.open(self.host, self.port)
        except TimeoutError as error:
            raise AmiTimeout(f"AMI at {where} does not answer: is Asterisk hung?") from error
        except OSError as error:
            raise AmiUnreachable(
                f"no AMI at {where} ({network_reason(error)}): is Asterisk running, with enabled=yes in manager.conf?"
            ) from error
        try:
            await connection.action("Login", {"Username": self.user, "Secret": self._secret, "Events": "system,user"})
        except AmiActionFailed as error:
            connection.close()
            raise AmiRefused(
                f"AMI at {where} refuses user {self.user!r} ({error}): check ami_user and its secret against"
                " manager.conf, and its permit lines"
            ) from error
        except BaseException:
            connection.close()
            raise
        return connection


class _Protocol(AMIProtocol):  # type: ignore[misc]
    """panoramisk's, of which a message that makes no sense costs no other one."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.queue and len(self.queue[0]) > MOST_UNFINISHED_CHARACTERS:
            self.queue.clear()
            self.connection_lost(ConnectionAbortedError(f"a message longer than {MOST_UNFINISHED_CHARACTERS}"))

    def handle_message(self, message: Message) -> None:
        for key in ("Event", "Response", "ActionID", "CommandID"):
            if isinstance(message.get(key), list):  # given twice: panoramisk would fail over it
                message[key] = message[key][-1]
        try:
            super().handle_message(message)
        except Exception:
            log.exception("a message of AMI could not be handled")


class _Connection(Manager):  # type: ignore[misc]
    """One panoramisk connection: it is lost once and never makes another by itself."""

    def __init__(self, where: str, action_seconds: float) -> None:
        # latin-1 keeps every byte: panoramisk decodes each piece as it comes off the socket, and would drop
        # letters that UTF-8 spreads over two pieces.
        super().__init__(encoding="latin-1", loop=asyncio.get_running_loop())
        self.lost: asyncio.Future[AmiError] = self.loop.create_future()
        self._where = where
        self._action_seconds = action_seconds
        self._events: asyncio.Queue[AmiEvent | None] = asyncio.Queue(MOST_EVENTS_WAITING)
        self._dropped = 0
        self.register_event("UserEvent", self._on_user_event)
        self.register_event("FullyBooted", self._on_booted)
        self.register_event("Reload", self._on_reload)
        for event in DIAL_EVENTS:
            self.register_event(event, self._on_dial)

    async def open(self, host: str, port: int) -> None:
        made: asyncio.Future[tuple[asyncio.BaseTransport, AMIProtocol]] = self.loop.create_future()
        transport, protocol = await self.loop.create_connection(_Protocol, host, port)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ_BYTES)
        made.set_result((transport, protocol))
        self.connection_made(made)  # no `username` in its config: panoramisk must not log in by itself
        self.pinger.cancel()  # its pings are not awaited

    def connection_lost(self, exc: object) -> None:
        """Instead of panoramisk's: tell those who wait, and do not reconnect."""
        self._lose(AmiUnreachable(f"the connection to AMI at {self._where} is lost ({_why(exc)})"))

    def _lose(self, error: AmiError) -> None:
        if not self.lost.done():
            self.lost.set_result(error)
            self._put(None)

    def close(self) -> None:
        """Close at once, whatever is under way."""
        self._lose(AmiUnreachable(f"the connection to AMI at {self._where} was closed"))
        if self.protocol is not None:
            self.protocol.closed = True
            self.protocol.transport.abort()

    async def read(self, ping_seconds: float) -> AsyncGenerator[AmiEvent, None]:
        """Events until the connection is lost; then raises why."""
        while True:
            try:
                async with asyncio.timeout(ping_seconds):
                    event = await self._events.get()
            except TimeoutError:
                try:
                    await self.action("Ping", {})
                except AmiError as error:
                    self._lose(error)  # after the events that came meanwhile
                continue
            if event is None:
                raise self.lost.result()
            yield event

    async def ask_for_legs(self) -> None:
        """Have the events of our ring steps sent too: first the filters, else all calls' events would come."""
        try:
            for pattern in FILTERS:
                await self.action("Filter", {"Operation": "Add", "Filter": pattern})
            await self.action("Events", {"EventMask": "system,user,call"})
        except AmiActionFailed as error:
            log.warning("AMI does not filter events for us: rings are not counted from the ringing", why=str(error))

    async def action(self, name: str, headers: Mapping[str, str]) -> Message:
        # as_list said outright: panoramisk would otherwise guess from the response's words, and dies on
        # "successfully queued" when the action has no Async header.
        action = {"Action": safe("Action", name)} | {key: safe(key, value) for key, value in headers.items()}
        self._check_standing()
        answer = self.send_action(action, as_list=False)
        await self._wait(answer, name)
        response: Message = answer.result()
        if not response.success:
            raise AmiActionFailed(text(response, "message") or "no reason given")
        return response

    async def db_get_tree(self, family: str) -> dict[str, str]:
        tree = Tree({"Action": "DBGetTree", "Family": safe("Family", family)})
        self._check_standing()
        self.send_action(tree)
        await self._wait(tree.future, "DBGetTree", tree.entries)
        if tree.refused:
            raise AmiActionFailed(tree.refused)
        return tree.entries

    async def channels(self) -> set[str]:
        channels = Channels()
        self._check_standing()
        self.send_action(channels)
        await self._wait(channels.future, "CoreShowChannels", channels.found)
        if channels.refused:
            raise AmiActionFailed(channels.refused)
        return channels.found

    async def db_write(self, family: str, changes: Sequence[tuple[str, str | None]]) -> None:
        answers = Answers(changes)
        frames = answers.frames(family)
        self._check_standing()
        self.responses[answers.id] = answers
        self.protocol.transport.write(frames)
        await self._wait(answers.future, "DBPut")
        if answers.refused:
            raise AmiActionFailed(f"{family}/{answers.refused}")

    def _check_standing(self) -> None:
        if self.lost.done():
            raise self.lost.result()

    async def _wait(self, answer: "asyncio.Future[Any]", name: str, list_so_far: Sized = ()) -> None:
        """Wait for the answer, or of a long list for its next entries, no longer than an action may take."""
        before = -1
        while not answer.done() and not self.lost.done() and before < len(list_so_far):
            before = len(list_so_far)
            await asyncio.wait({answer, self.lost}, timeout=self._action_seconds, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return
        answer.cancel()
        self._check_standing()
        raise AmiTimeout(
            f"AMI at {self._where} did not answer {name} in {self._action_seconds:g} s: is Asterisk hung"
            f"{', or is that not the port of manager.conf' if name == 'Login' else ''}?"
        )

    def _on_user_event(self, _: Manager, message: Message) -> None:
        headers = {str(key).lower(): text(message, key) for key in message}
        self._put(UserEvent(headers.get("userevent", ""), headers))

    def _on_dial(self, _: Manager, message: Message) -> None:
        if (event := leg_event(message)) is not None:
            self._put(event)

    def _on_booted(self, *_: object) -> None:
        self._put(FullyBooted())

    def _on_reload(self, *_: object) -> None:
        self._put(Reloaded())

    def _put(self, event: AmiEvent | None) -> None:
        if self._events.full():
            self._events.get_nowait()
            self._dropped += 1
            if self._dropped & (self._dropped - 1) == 0:  # 1, 2, 4, 8 …: a flood must not flood the log too
                log.error("events of AMI come faster than they can be read: some are dropped", dropped=self._dropped)
        self._events.put_nowait(event)


def _why(lost: object) -> str:
    return network_reason(lost) if isinstance(lost, Exception) else "closed by Asterisk"
