"""The sandbox's Asterisk without the sandbox's service: these tests bring their own."""

from collections.abc import AsyncIterator

import pytest_asyncio

from comunik_pbx.sandbox.sandbox import Sandbox


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def alone(sandbox: Sandbox) -> AsyncIterator[Sandbox]:
    """The sandbox with its own service stopped; it is started again for the tests that come after."""
    await sandbox.stop_service()
    yield sandbox
    await sandbox.start_service()


@pytest_asyncio.fixture(loop_scope="session")
async def asterisk(alone: Sandbox) -> Sandbox:
    """The same for one story, which collects no ends of other stories' calls."""
    await alone.console("database deltree comunik-ended")
    return alone
