"""The events an ARI client tells, one after the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from comunik_pbx.asterisk.ari import AriClient
from comunik_pbx.asterisk.ari_events import Event


class Told:
    """What was told and not looked at yet."""

    def __init__(self, client: AriClient) -> None:
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self.listening = asyncio.create_task(client.listen(self._events.put_nowait))

    async def following(self, seconds: float = 10.0) -> Event:
        """The next event, told within some seconds. Raises what the client raised, if there is none before."""
        event = asyncio.create_task(self._events.get())
        async with asyncio.timeout(seconds):
            await asyncio.wait({event, self.listening}, return_when=asyncio.FIRST_COMPLETED)
        if event.done():
            return event.result()
        event.cancel()
        return self.listening.result()


@asynccontextmanager
async def listening(client: AriClient) -> AsyncIterator[Told]:
    """Listen inside the `async with`."""
    told = Told(client)
    try:
        yield told
    finally:
        told.listening.cancel()
        await asyncio.wait({told.listening})
