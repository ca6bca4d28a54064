"""Fixtures for tests on the real Asterisk: one sandbox per test session, phones of its own for every test.

A module of such tests says `pytestmark = PBX` (from `tests.pbx`), so that its tests share the session's event loop.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from hypothesis import settings

from comunik_pbx.sandbox import bench_calls
from comunik_pbx.sandbox.layout import Layout
from comunik_pbx.sandbox.phones import Phones
from comunik_pbx.sandbox.sandbox import Sandbox, running
from tests.pbx import TEST_CONFIGURATION, TEST_DIALPLAN

# Else pytest-asyncio asks for a current loop before there is one, and Python makes one that nobody closes.
asyncio.set_event_loop(None)

# Started in the background of a shell, we and all programs that we start would ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In CI, a test on the real Asterisk that fails is played once more; the summary names each that needed it."""
    if "CI" in os.environ:
        for item in items:
            if item.get_closest_marker("pbx"):
                item.add_marker(pytest.mark.flaky(reruns=1))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    """The sandbox company's PBX, and the service if there is one, up for the whole session."""
    layout = Layout.from_environment().for_tests()
    layout.home.mkdir(parents=True, exist_ok=True)
    faster = layout.home / "faster.toml"
    faster.write_text(TEST_CONFIGURATION)
    async with running(
        layout, print, includes=(faster,), extra_dialplan=TEST_DIALPLAN + bench_calls.DIALPLAN, fresh=True
    ) as up:
        yield up


@pytest_asyncio.fixture(loop_scope="session")
async def phones(sandbox: Sandbox) -> AsyncIterator[Phones]:
    """Phones and carriers for one story; everything is hung up and unregistered at its end."""
    async with sandbox.phones() as made:
        yield made


@pytest.fixture
def complaints(sandbox: Sandbox) -> list[str]:
    """Asterisk's warnings and errors so far; compare with `sandbox.asterisk.complaints()` at the end of a story."""
    return sandbox.asterisk.complaints()
