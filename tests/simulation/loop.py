"""An event loop without a clock or a network of its own: time jumps to the next timer, order is always the same.

Everything that runs belongs to a `Process` (by a context variable, which tasks and callbacks inherit). A process can
be frozen, as by SIGSTOP, or killed, as by SIGKILL: then nothing of it runs any more, not even a `finally`.
"""

import asyncio
import contextvars
import heapq
import itertools
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulation.network import Network, Transport

EPOCH = 1_790_000_000.0
"""When simulated time begins, in seconds of the epoch (21 September 2026, 14:13 UTC)."""


class Process:
    """A simulated process: what runs in it, its connections, its signal handlers."""

    def __init__(self, loop: "VirtualLoop", name: str) -> None:
        self.name = name
        self.alive = True
        self.context = contextvars.Context()
        self.context.run(PROCESS.set, self)
        self.signals: dict[int, Callable[[], object]] = {}
        self.transports: dict[Transport, None] = {}  # in the order they were made
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self._loop = loop
        self._held: deque[asyncio.Handle] | None = None

    @property
    def frozen(self) -> bool:
        return self._held is not None

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine in this process."""
        return self._loop.create_task(coroutine, context=self.context)

    def later(self, seconds: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        """Call something in this process after so long."""
        return self._loop.call_at(self._loop.time() + seconds, callback, *args, context=self.context)

    def soon(self, callback: Callable[..., object], *args: Any) -> None:
        self._loop.call_soon(callback, *args, context=self.context)

    def signal(self, number: int) -> None:
        """Deliver a signal; it takes one with a handler only (SIGKILL is `kill`)."""
        if self.alive and (handler := self.signals.get(number)) is not None:
            self.soon(handler)

    def freeze(self) -> None:
        if self._held is None:
            self._held = deque()

    def thaw(self) -> None:
        if self._held is not None:
            self._loop.ready(self._held)
            self._held = None

    def kill(self) -> None:
        """End it as SIGKILL does: the kernel closes its connections, nothing else happens."""
        if self.alive:
            self.alive = False
            self._held = None
            for transport in list(self.transports):
                transport.orphan()
            self._loop.bury(self)

    def takes(self, handle: asyncio.Handle) -> bool:
        """Whether a callback of it may run now; else it is kept, or forgotten with it."""
        if self._held is not None:
            self._held.append(handle)
            return False
        return self.alive


PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


class _Task(asyncio.Task[Any]):
    """A task whose place in a set does not depend on where in memory it happens to be."""

    serials = itertools.count()

    def __init__(self, *args: Any, **options: Any) -> None:
        self.serial = next(_Task.serials)
        super().__init__(*args, **options)

    def __hash__(self) -> int:
        return self.serial


class VirtualLoop(asyncio.BaseEventLoop):
    """`time()` is virtual and begins at 0; `steps` counts the callbacks run."""

    network: "Network"

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._serial = itertools.count()
        self._dialled: dict[int, int] = {}
        self.graves: list[Process] = []
        self.steps = 0
        _Task.serials = itertools.count()
        self.set_task_factory(self._task)

    def time(self) -> float:
        return self._now

    def wall(self) -> float:
        """Seconds of the epoch."""
        return EPOCH + self._now

    def _task(self, _: asyncio.AbstractEventLoop, coroutine: Any, context: Any = None) -> asyncio.Task[Any]:
        task = _Task(coroutine, loop=self, context=context)
        process = PROCESS.get() if context is None else context.get(PROCESS)
        if process is not None:
            process.tasks[task] = None
            task.add_done_callback(lambda done: process.tasks.pop(done, None))
        return task

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._serial), timer))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are passed over when their time comes."""

    def ready(self, handles: deque[asyncio.Handle]) -> None:
        """Let these callbacks run next, after those already waiting."""
        self._ready.extend(handles)  # type: ignore[attr-defined]

    def bury(self, process: Process) -> None:
        """Keep what a killed process left: collected as garbage its `finally` clauses would run after all."""
        self.graves.append(process)

    def _run_once(self) -> None:
        ready: deque[asyncio.Handle] = self._ready  # type: ignore[attr-defined]
        timers = self._timers
        if not ready:
            while timers and timers[0][2].cancelled():
                heapq.heappop(timers)
            if not timers:
                raise RuntimeError("nothing will ever happen again: the simulation waits for nobody")
            self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            timer = heapq.heappop(timers)[2]
            if not timer.cancelled():
                ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle.cancelled():
                continue
            process = handle._context.get(PROCESS)  # type: ignore[attr-defined]
            if process is None or process.takes(handle):
                self.steps += 1
                handle._run()

    # What asyncio, aiohttp and the service ask of a loop beyond that

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, _: Any, function: Any, *args: Any) -> Any:  # type: ignore[override]
        """At once, in this thread."""
        done = self.create_future()
        try:
            done.set_result(function(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def add_signal_handler(self, sig: int, callback: Any, *args: Any) -> None:  # type: ignore[override]
        process = PROCESS.get()
        assert process is not None
        process.signals[sig] = lambda: callback(*args)

    def remove_signal_handler(self, sig: int) -> bool:
        process = PROCESS.get()
        return process is not None and process.signals.pop(sig, None) is not None

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """aiohttp connects a socket of its own; ours only remembers where to."""
        self._dialled[id(sock)] = address[1]

    async def create_connection(
        self, protocol_factory: Any, host: str | None = None, port: int | None = None, *, sock: Any = None, **_: Any
    ) -> tuple["Transport", Any]:
        if sock is not None:
            port = self._dialled.pop(id(sock))
            sock.close()
        assert port is not None
        process = PROCESS.get()
        assert process is not None
        return await self.network.connect(process, port, protocol_factory)

    async def shutdown_default_executor(self, *_: Any) -> None:
        """There is none."""
