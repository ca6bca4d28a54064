"""Work that many ask for at the same moment, done once for all of them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Self


class Joined:
    """Calls of it one after the other; whoever asks while one is under way shares the next.

    So when it returns, the work was begun after it was asked for; and what is read later is also put in place later.
    After `async with` nothing of it goes on.
    """

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._one_at_a_time = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    async def __call__(self) -> None:
        """Have it done. Raises what it raises, for all who share it; who is cancelled leaves the others theirs."""
        if self._next is None or self._next.done():
            self._next = asyncio.create_task(self._once(), name=f"joined {getattr(self._work, '__name__', '')}")
            self._under_way.add(self._next)
            self._next.add_done_callback(self._seen)
        await asyncio.shield(self._next)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Give up what is under way, which nobody waits for any more."""
        if kind is GeneratorExit:  # there is no event loop any more
            return
        for task in self._under_way:
            task.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _once(self) -> None:
        async with self._one_at_a_time:
            self._next = None
            await self._work()

    def _seen(self, task: asyncio.Task[None]) -> None:
        """Whoever waited has been told; if all were cancelled, nobody need be."""
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()
