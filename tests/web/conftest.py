"""The portal on a real store, asked as a browser asks, without a network."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from comunik_pbx import config as configuration
from comunik_pbx.calls.records import CallRecord, Records
from comunik_pbx.calls.snapshot import Snapshot
from comunik_pbx.forwarding.directory import Extension
from comunik_pbx.forwarding.rules import effective
from comunik_pbx.portal import PortalRules
from comunik_pbx.store import Store, StoreError
from comunik_pbx.web.app import portal
from comunik_pbx.web.needs import Needs, PhoneMissing
from tests.config.company import GOOD, write
from tests.web.site import NOW, Site


class Nowhere:
    def put(self, record: CallRecord) -> None:
        raise AssertionError(record)


class APhone:
    """A phone that is there, or not."""

    def __init__(self) -> None:
        self.there = True
        self.called: list[tuple[str, str]] = []

    async def call(self, extension: Extension, number: str) -> None:
        if not self.there:
            raise PhoneMissing
        self.called.append((extension.number, number))

    async def progress(self, extension: str) -> AsyncGenerator[str, None]:
        for state in ("phone", "dialling", "talking", "ended"):
            yield state

    async def hang_up(self, extension: str) -> bool:
        return bool(self.called)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """The company's portal, with nobody signed in."""
    async with site_of(tmp_path) as made:
        yield made


@asynccontextmanager
async def site_of(directory: Path, company: str = GOOD) -> AsyncIterator[Site]:
    """The portal of a company, its files in a directory; also for tests with a loop of their own."""
    config = configuration.load(write(directory, company + '[portal]\nlisten = "127.0.0.1:8080"\n'))
    async with await Store.open(config.store_url) as store:
        snapshot = Snapshot(config.directory, config.default_rules)

        async def take_over() -> None:
            nonlocal snapshot
            directory = config.directory.allowing(await store.allow_list.enabled())
            directory = directory.proving(await store.proven.by_extension())
            snapshot = Snapshot(directory, effective(config.default_rules, await store.rules()))

        async def ask_for_proofs() -> None:
            nonlocal config
            text = company.replace("[forwarding]\n", "[forwarding]\nprove_numbers = true\n")
            config = configuration.load(write(directory, text + '[portal]\nlisten = "127.0.0.1:8080"\n'))
            await take_over()

        rules = PortalRules(store, lambda: config, lambda: snapshot, Records(Nowhere(), lambda: snapshot), take_over)
        phone = APhone()
        made = Site(store, phone)
        needs = Needs(
            accounts=store.accounts,
            rules=rules,
            calls=rules,
            numbers=store.allow_list,
            clock=lambda: NOW + made.later,
            phone=phone,
            proofs=made.telephone,
            language=config.language,
            failures=(StoreError,),
        )
        made.app = portal(needs)
        made.take_over = take_over
        made.ask_for_proofs = ask_for_proofs
        made.later = timedelta(0)
        yield made
