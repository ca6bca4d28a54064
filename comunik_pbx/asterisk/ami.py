"""Asterisk's manager interface (AMI), by panoramisk, with what it leaves out.

panoramisk parses and frames; here a login is checked, every action has a time limit, and values with CR or LF are
refused. (By itself panoramisk reconnects from callbacks for ever, reports no wrong password, and waits for ever.)

We connect when there is something to do and go soon after: while any manager is connected Asterisk writes an event
for every step of every call, whether it is read or not, which costs a fifth of a call (docs/benchmark.md).

One connection is one `_Connection`, which dies once; `AmiClient` makes the next when it is needed.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence, Sized
from contextlib import asynccontextmanager
from typing import Any

import structlog
from panoramisk import Manager
from panoramisk.ami_protocol import AMIProtocol
from panoramisk.message import Message

from comunik_pbx.asterisk.ami_channels import Channels
from comunik_pbx.asterisk.ami_database import Answers, Tree
from comunik_pbx.asterisk.ami_lines import safe, text
from comunik_pbx.asterisk.errors import (
    AmiActionFailed,
    AmiError,
    AmiRefused,
    AmiTimeout,
    AmiUnreachable,
    network_reason,
)

log = structlog.get_logger(__name__)

BATCH = 100
"""Changes of AstDB sent before their answers are awaited: enough to hide the way there and back."""

MOST_UNFINISHED_CHARACTERS = 1024 * 1024
"""Of a message whose end has not come; the longest of Asterisk's are some kilobytes."""

READ_BYTES = 32 * 1024
"""Socket buffer: a long list then comes in pieces that are parsed in a few milliseconds each."""


class AmiClient:
    """AMI of one Asterisk. The user in manager.conf needs `write = system,reporting`.

    Each action connects if there is no connection; one that nobody has used for `linger_seconds` is closed.
    `action_seconds` bounds every action and each attempt to connect. `reached` says whether Asterisk answered what was
    asked last.
    """

    def __init__(
        self,
        host: str,
        port: int,
        user: str,
        secret: str,
        *,
        action_seconds: float = 3.0,
        linger_seconds: float = 0.01,
    ) -> None:
        self.host, self.port, self.user = host, port, user
        self._secret = secret
        self._action_seconds = action_seconds
        self._linger_seconds = linger_seconds
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()
        self._users = 0
        self._leaving: asyncio.TimerHandle | None = None
        self.reached = False

    async def check(self) -> frozenset[str]:
        """Log in once and out again; the actions that this Asterisk has and the user may use (AMI ListCommands).

        For use before the first action: raises AmiUnreachable, AmiTimeout or AmiRefused, each a sentence
        that says what to do.
        """
        connection = await self._connect()
        try:
            return frozenset(await connection.action("ListCommands", {}))
        finally:
            connection.close()

    async def action(self, name: str, **headers: str) -> Message:
        """Send one action and give its response. Raises AmiActionFailed if that is an error, or another AmiError."""
        async with self._connected() as connection:
            return await connection.action(name, headers)

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
        async with self._connected() as connection:
            return await connection.db_get_tree(family)

    async def channels(self) -> set[str]:
        """UNIQUEIDs of all channels that stand (AMI CoreShowChannels; needs the class reporting)."""
        async with self._connected() as connection:
            return await connection.channels()

    async def db_write(self, family: str, changes: Sequence[tuple[str, str | None]]) -> None:
        """Write many AstDB entries of a family, in this order; a value None deletes, if there was one.

        Pipelined: some 20,000 a second. Raises AmiActionFailed, with the key, if one was refused; those after it
        in the same batch of `BATCH` are written all the same.
        """
        if not changes:
            return
        async with self._connected() as connection:
            for start in range(0, len(changes), BATCH):
                await connection.db_write(family, changes[start : start + BATCH])

    def close(self) -> None:
        """Close the connection, if there is one; what is under way fails."""
        if self._leaving is not None:
            self._leaving.cancel()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @asynccontextmanager
    async def _connected(self) -> "AsyncIterator[_Connection]":
        self._users += 1
        try:
            async with self._connecting:
                if self._connection is None or self._connection.lost.done():
                    self._connection = await self._connect()
                    self.reached = True
            yield self._connection
        except (AmiUnreachable, AmiTimeout, AmiRefused) as error:
            self.reached = False
            if isinstance(error, AmiTimeout):
                self.close()  # of what it still may answer, nothing could be made
            raise
        finally:
            self._users -= 1
            if not self._users:
                if self._leaving is not None:
                    self._leaving.cancel()
                self._leaving = asyncio.get_running_loop().call_later(self._linger_seconds, self._leave)

    def _leave(self) -> None:
        if not self._users:
            self.close()

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
            await connection.action("Login", {"Username": self.user, "Secret": self._secret, "Events": "off"})
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

    def close(self) -> None:
        """Close at once, whatever is under way."""
        self._lose(AmiUnreachable(f"the connection to AMI at {self._where} was closed"))
        if self.protocol is not None:
            self.protocol.closed = True
            self.protocol.transport.abort()

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


def _why(lost: object) -> str:
    return network_reason(lost) if isinstance(lost, Exception) else "closed by Asterisk"
