"""Chromium, and people who sign in to the portal of the sandbox company's service."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from comunik_pbx.sandbox.bench_portal import CHROMIUM_ARGUMENTS
from comunik_pbx.sandbox.sandbox import Sandbox
from tests.portal.people import People
from tests.stories.company import Company, company_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium, one for all."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: apt install chromium")
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield running
        await running.close()


@pytest_asyncio.fixture(loop_scope="session")
async def company(sandbox: Sandbox) -> AsyncIterator[Company]:
    """The sandbox company without rules."""
    async with company_of(sandbox) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def people(sandbox: Sandbox, company: Company, browser: Browser) -> AsyncIterator[People]:
    """People at their browsers; accounts are gone at the end."""
    made = People(sandbox, company.store, browser)
    yield made
    await made.leave()


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where pages are drawn, to be looked at."""
    directory = Path(".sandbox") / "screenshots"
    directory.mkdir(parents=True, exist_ok=True)
    return directory
