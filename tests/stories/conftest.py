"""The company of a story."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from comunik_pbx.sandbox.sandbox import Sandbox
from tests.stories.company import Company, company_of


@pytest_asyncio.fixture(loop_scope="session")
async def company(sandbox: Sandbox) -> AsyncIterator[Company]:
    """The sandbox company, without rules, calls and phones at the beginning of each story.

    (On a busy machine a phone of the one before may not have got to hanging up and leaving.) Asterisk must not complain
    during the story.
    """
    await sandbox.console("channel request hangup all")
    await sandbox.console("database deltree registrar")
    before = len(sandbox.asterisk.complaints())
    async with company_of(sandbox) as made:
        yield made
    complaints = [
        line for line in sandbox.asterisk.complaints()[before:] if not any(text in line for text in made.normal)
    ]
    if complaints:
        pytest.fail("Asterisk complained: " + "\n".join(complaints))
