"""The dialplan on the real Asterisk, with the service away: plans are put into AstDB, as if published."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest_asyncio

from comunik_pbx.asterisk.plan_encoding import encode
from comunik_pbx.forwarding.steps import Step
from comunik_pbx.sandbox.sandbox import Sandbox
from tests.dialplan.records import Events

Publish = Callable[..., Awaitable[None]]
SERVICE_AWAY = ("Stasis app 'comunik-pbx' doesn't exist", "Failed to find outbound websocket per-call config")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def away(sandbox: Sandbox) -> AsyncIterator[Sandbox]:
    """The sandbox without its service and what it published; the service comes back afterwards."""
    was_up = sandbox.service is not None
    await sandbox.stop_service()
    await sandbox.console("database deltree comunik-plan")
    yield sandbox
    if was_up:
        await sandbox.start_service()


@pytest_asyncio.fixture(loop_scope="session")
async def pbx(away: Sandbox) -> AsyncIterator[Sandbox]:
    """The same for one story, at the end of which Asterisk must have nothing to complain about."""
    before = len(away.asterisk.complaints())
    yield away
    complaints = away.asterisk.complaints()[before:]
    assert [line for line in complaints if not any(text in line for text in SERVICE_AWAY)] == []


@pytest_asyncio.fixture(loop_scope="session")
async def publish(pbx: Sandbox) -> AsyncIterator[Publish]:
    """`await publish("101", step, step)`: the plan for outside calls to 101, forgotten after the story."""
    families: set[str] = set()

    async def put(called: str, *steps: Step | str, origin: str = "external") -> None:
        plan = steps[0] if isinstance(steps[0], str) else encode(tuple(s for s in steps if not isinstance(s, str)))
        await pbx.console(f'database put comunik-plan/{origin} {called} "{plan}"')
        families.add(f"comunik-plan/{origin} {called}")

    yield put
    for family in families:
        await pbx.console(f"database del {family}")


@pytest_asyncio.fixture(loop_scope="session")
async def events(pbx: Sandbox) -> AsyncIterator[Events]:
    """The reports of calls that end during the story."""
    async with Events(pbx) as connection:
        yield connection
