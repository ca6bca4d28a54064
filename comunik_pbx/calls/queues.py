"""One call, one ordered queue, one worker: a slow or failing call never delays another."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger(__name__)

E = TypeVar("E")


class CallQueues(Generic[E]):
    """Events by call. `handle` gets those of one call one after another, those of different calls side by side.

    At most `most_calls` calls are in hand at once, each with at most `most_events` waiting: what is beyond is
    refused, so that a flood costs memory and time for no one else (the dialplan's guard takes those calls).
    """

    def __init__(self, handle: Callable[[E], Awaitable[None]], *, most_calls: int = 500, most_events: int = 16) -> None:
        self._handle = handle
        self._most_calls, self._most_events = most_calls, most_events
        self._waiting: dict[str, deque[E]] = {}
        self._workers: set[asyncio.Task[None]] = set()

    def __contains__(self, call: str) -> bool:
        return call in self._waiting

    def __iter__(self) -> Iterator[str]:
        return iter(self._waiting)

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, call: str, event: E) -> bool:
        """Take an event of a call; False if there is no room for it."""
        waiting = self._waiting.get(call)
        if waiting is not None:
            if len(waiting) >= self._most_events:
                return False
            waiting.append(event)
            return True
        if len(self._waiting) >= self._most_calls:
            return False
        self._waiting[call] = deque((event,))
        worker = asyncio.create_task(self._work(call))
        self._workers.add(worker)
        worker.add_done_callback(self._workers.discard)
        return True

    async def drain(self, seconds: float) -> int:
        """Wait until nothing is in hand, at most so long; what is left is given up. How many calls that were."""
        if self._workers:
            await asyncio.wait(self._workers, timeout=seconds)
        left = list(self._workers)
        for worker in left:
            worker.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        return len(left)

    async def _work(self, call: str) -> None:
        waiting = self._waiting[call]
        try:
            while waiting:
                try:
                    await self._handle(waiting.popleft())
                except Exception:
                    log.exception("an event of a call could not be handled", call=call)
        finally:
            del self._waiting[call]
