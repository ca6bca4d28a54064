"""Connections in memory, as bad as real ones: slow, in pieces, cut so that both sides notice, or that nobody does."""

import asyncio
import random
import socket
from collections.abc import Callable, Iterable
from typing import Any

from tests.simulation.loop import Process, VirtualLoop


class Listener:
    """A listening port of a process: `accept` gives the protocol for a new connection."""

    def __init__(self, process: Process, accept: Callable[[], asyncio.Protocol]) -> None:
        self.process = process
        self.accept = accept


class Network:
    """The loopback network. `slow` multiplies latencies; `partition` holds ports to which no packet gets.

    `brisk`: no packet takes much longer than others.
    """

    def __init__(self, loop: VirtualLoop, seed: int) -> None:
        self.loop = loop
        self.listeners: dict[int, Listener] = {}
        self.slow = 1.0
        self.brisk = False
        self.partition: set[int] = set()
        self.connections: dict[Transport, int] = {}  # the client's ends, and their ports
        self._seed = seed
        self._made = 0
        loop.network = self

    def latency(self, chance: random.Random) -> float:
        """Seconds for one packet: usually a fraction of a millisecond, sometimes much more, 3 s at most."""
        spread = 0.96 * chance.random() if self.brisk else chance.random()
        seconds = 0.0001 + 0.0004 * spread if spread < 0.97 else 0.002 + 0.05 * chance.random()
        return min(3.0, seconds * self.slow)

    async def connect(
        self, process: Process, port: int, factory: Callable[[], asyncio.Protocol]
    ) -> "tuple[Transport, asyncio.Protocol]":
        """Raises ConnectionRefusedError if nobody listens; waits for ever if no packet gets through."""
        self._made += 1
        chance = random.Random(f"connection {self._made} of {self._seed}")  # its own: independent of all others
        await asyncio.sleep(self.latency(chance))
        if port in self.partition:
            await self.loop.create_future()
        listener = self.listeners.get(port)
        if listener is None or not listener.process.alive:
            raise ConnectionRefusedError(111, f"Connect call failed ('127.0.0.1', {port})")
        ours, theirs = Transport(self, process, chance), Transport(self, listener.process, chance)
        ours.peer, theirs.peer = theirs, ours
        protocol, server = factory(), listener.accept()
        ours.protocol, theirs.protocol = protocol, server
        self.connections[ours] = port
        listener.process.soon(server.connection_made, theirs)
        protocol.connection_made(ours)
        return ours, protocol

    def on_port(self, port: int) -> "list[Transport]":
        """The clients' ends of the connections to a port."""
        return [transport for transport, its in self.connections.items() if its == port]


class _Socket:
    """What options are set on."""

    family = socket.AF_INET
    proto = socket.IPPROTO_TCP

    def setsockopt(self, *_: object) -> None:
        pass


class Transport(asyncio.Transport):
    """One end of a connection."""

    peer: "Transport"

    def __init__(self, network: Network, process: Process, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self.process = process
        self.protocol: Any = None
        self.silent = False  # what is sent from here gets lost
        self._network = network
        self._closing = False
        self._lost = False
        self._arrives = 0.0
        process.transports[self] = None

    # As asyncio has it

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return _Socket() if name == "socket" else default

    def is_closing(self) -> bool:
        return self._closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol  # type: ignore[no-any-return]

    def pause_reading(self) -> None:
        """Ignored: what comes is little."""

    def resume_reading(self) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Ignored: what is sent is on its way at once."""

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: Any) -> None:
        self.send(bytes(data))

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.send(b"".join(list_of_data))

    def close(self) -> None:
        self._close(None)

    def abort(self) -> None:
        self._close(ConnectionResetError(104, "Connection reset by peer"))

    # The rest

    def send(self, data: bytes, delivered: Callable[[], None] | None = None) -> None:
        """Send; `delivered` is called once the other side's protocol has taken it."""
        if self._closing or self.silent:
            return
        if len(data) > 1 and self._chance.random() < 0.03:  # it arrives in two pieces
            cut = self._chance.randrange(1, len(data))
            self.peer.process_at(self._arrival(), self.peer.take, data[:cut], None)
            data = data[cut:]
        self.peer.process_at(self._arrival(), self.peer.take, data, delivered)

    def _arrival(self) -> float:
        self._arrives = max(self._arrives, self._network.loop.time() + self._network.latency(self._chance))
        return self._arrives

    def process_at(self, when: float, callback: Callable[..., None], *args: Any) -> None:
        self._network.loop.call_at(when, callback, *args, context=self.process.context)

    def take(self, data: bytes, delivered: Callable[[], None] | None) -> None:
        if not self._closing:
            self.protocol.data_received(data)
            if delivered is not None:
                delivered()

    def orphan(self) -> None:
        """The process is dead: its kernel tells the other side."""
        if not self._closing:
            self._closing = self._lost = True
            self._tell(ConnectionResetError(104, "Connection reset by peer"))
            self._forget()

    def cut(self, error: Exception | None) -> None:
        """Both sides learn it: with an error (reset), or as the end of the stream."""
        for end in (self, self.peer):
            end.process_at(self._network.loop.time() + self._network.latency(self._chance), end.ends, error)

    def cut_silently(self) -> None:
        """Nobody learns anything, and nothing gets through any more."""
        self.silent = self.peer.silent = True

    def _close(self, error: Exception | None) -> None:
        if not self._closing:
            self._closing = True
            self._tell(error)
            self.process.soon(self._gone, None)

    def _tell(self, error: Exception | None) -> None:
        if not self.silent:
            self.peer.process_at(self._arrival(), self.peer.ends, error)

    def ends(self, error: Exception | None) -> None:
        """The other side has closed."""
        if self._closing:
            return
        if error is None:
            self.protocol.eof_received()
        self._closing = True
        self._gone(error)

    def _gone(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            self._forget()
            self.protocol.connection_lost(error)

    def _forget(self) -> None:
        self.process.transports.pop(self, None)
        self._network.connections.pop(self, None)
