"""ARI's event socket: a websocket that tells each message in the turn of the event loop in which it is read.

`websockets` does the protocol, pings included. Its connections, as those of other libraries, put messages into a queue
from which a task takes them: every incoming call would wait for, and pay for, two turns of the event loop more.
"""

from collections.abc import Callable
from typing import Any, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Event

from comunik_pbx.asterisk.errors import network_reason

CLOSE_SECONDS = 0.5
"""How long the other side may take to close a socket that we close, or whose ping it has not answered."""

MOST_MESSAGE_BYTES = 4 * 1024 * 1024

Tell = Callable[[bytes], None]


class EventSocket(ClientConnection):
    """A websocket that is only read, made by `open_socket`. What comes before `tell` is kept for it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._told: Tell | None = None
        self._early: list[bytes] = []
        self._fault: Exception | None = None

    async def tell(self, told: Tell) -> str:
        """Tell all messages until the socket is closed: why it is. What `told` raises closes it, and is raised here."""
        self._told = told
        for message in self._early:
            self._tell_now(message)
        try:
            while True:  # what does not come in one piece
                told(await self.recv(decode=False))
        except ConnectionClosed as closed:
            if self._fault is not None:
                raise self._fault from None
            return _why(closed)

    def process_event(self, event: Event) -> None:
        """Called by `websockets` for each frame, in the turn that reads it."""
        if self.response is not None and isinstance(event, Frame) and event.opcode is Opcode.TEXT and event.fin:
            self._tell_now(bytes(event.data))
        else:
            super().process_event(event)

    def _tell_now(self, message: bytes) -> None:
        if self._told is None:
            self._early.append(message)
        elif self._fault is None:
            try:
                self._told(message)
            except Exception as fault:
                self._fault = fault
                self.transport.abort()


async def open_socket(url: str, headers: dict[str, str], *, open_seconds: float, ping_seconds: float) -> EventSocket:
    """Open a websocket, pinged every `ping_seconds`: one that does not answer for half of it is closed.

    Raises what `websockets` and asyncio raise: InvalidHandshake, OSError, TimeoutError.
    """
    return cast(
        EventSocket,
        await connect(
            url,
            additional_headers=headers,
            user_agent_header=None,
            compression=None,
            proxy=None,
            open_timeout=open_seconds,
            ping_interval=ping_seconds,
            ping_timeout=ping_seconds / 2,
            close_timeout=CLOSE_SECONDS,
            max_size=MOST_MESSAGE_BYTES,
            create_connection=EventSocket,
        ),
    )


def _why(closed: ConnectionClosed) -> str:
    if closed.rcvd is not None:  # a clean close is a disconnect too: Asterisk closes so when it stops
        return f"Asterisk closed it, code {closed.rcvd.code}"
    if closed.sent is not None and closed.sent.code == CloseCode.INTERNAL_ERROR:
        return "Asterisk does not answer"
    return network_reason(closed.__cause__ or ConnectionResetError("the connection was lost"))
