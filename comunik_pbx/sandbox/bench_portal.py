"""What the portal costs: how long a change of a rule takes with 50 users at once, and what calls notice of it.

make bench-portal → 50 users signed in, each changes a rule once a second
→ the same calls with the portal idle and with them, in turn
"""

import asyncio
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from statistics import median

import aiohttp
from playwright.async_api import async_playwright

from comunik_pbx import config as configuration
from comunik_pbx.accounts.account import Role, Session
from comunik_pbx.sandbox import bench_report
from comunik_pbx.sandbox.bench import LIVE, BenchAddresses, prepare
from comunik_pbx.sandbox.bench_calls import DIALPLAN, PHONES, Burst, burst
from comunik_pbx.sandbox.company import STAFF
from comunik_pbx.sandbox.layout import Layout
from comunik_pbx.sandbox.sandbox import Sandbox, running
from comunik_pbx.store import Store
from comunik_pbx.store.accounts import fingerprint

CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Chromium alone with loopback: nothing is looked up elsewhere."""

USERS = 50
SECONDS = 20.0
ROUNDS = 3
CALLS = 300
PER_SECOND = 20.0


async def bench_portal(layout: Layout, *, quick: bool = False) -> int:
    """Measure and print. Exit status 0, or 1 if a change was refused or a call lost."""
    own = Layout(layout.home / "bench", layout.root, BenchAddresses(layout.addresses.offset))
    rounds, calls, seconds = (1, 60, 3.0) if quick else (ROUNDS, CALLS, SECONDS)
    async with running(own, _say, extra_dialplan=DIALPLAN, fresh=True) as sandbox:
        for line in bench_report.machine(sandbox):
            _say(line)
        await prepare(sandbox)
        users = await _users(sandbox)
        took, failed = await _changes(sandbox, users, seconds)
        _say(f"\n{USERS} users at once, each a change a second, for {seconds:g} s: {len(took)} made, {failed} failed")
        _say(f"  a change, ms: median {median(took):.1f}, p99 {_share(took, 0.99):.1f}, most {took[-1]:.1f}")
        for line in await _paints(sandbox, users[0][0], 3 if quick else 15):
            _say(line)
        idle: list[Burst] = []
        busy: list[Burst] = []
        for number in range(1, rounds + 1):
            idle.append(await burst(sandbox, LIVE, calls=calls, per_second=PER_SECOND))
            async with _changing(sandbox, users):
                busy.append(await burst(sandbox, LIVE, calls=calls, per_second=PER_SECOND))
            for name, one in (("portal idle", idle[-1]), (f"{USERS} users", busy[-1])):
                _say(
                    f"  round {number}, {name}: INVITE to INVITE median {one.through(0.5):.1f}, "
                    f"p99 {one.through(0.99):.1f} ms; {one.lost} of {one.calls} lost"
                )
    lost = sum(one.lost for one in (*idle, *busy))
    _say(
        f"\ncalls, {PER_SECOND:g} a second: median {_middle(idle, 0.5):.1f} ms with the portal idle, "
        f"{_middle(busy, 0.5):.1f} with {USERS} users; p99 {_middle(idle, 0.99):.1f} and {_middle(busy, 0.99):.1f}; "
        f"{lost} lost"
    )
    return 0 if not failed and not lost else 1


async def _users(sandbox: Sandbox) -> list[tuple[str, str]]:
    """Cookies of users who are signed in, with the number each of them forwards to."""
    now, users = datetime.now(UTC), []
    staff = [person.extension for person in STAFF if person.extension not in (*PHONES, "111")]
    async with await Store.open(configuration.load(sandbox.config).store_url) as store:
        for extension in staff:
            link = secrets.token_urlsafe(32)
            await store.accounts.invite(extension, Role.USER, link, now + timedelta(days=1), by="bench", at=now)
            await store.accounts.set_password(extension, "not used here", at=now, address="")
        for number in range(USERS):
            extension, secret = staff[number % len(staff)], secrets.token_urlsafe(32)
            await store.accounts.begin_session(
                Session(
                    id=fingerprint(secret),
                    account=extension,
                    created_at=now,
                    seen_at=now,
                    address="127.0.0.1",
                    browser="bench",
                )
            )
            users.append((secret, f"+336123456{number:02}"))
    return users


async def _changes(sandbox: Sandbox, users: list[tuple[str, str]], seconds: float) -> tuple[list[float], int]:
    """How long each change took, in ms, sorted; and how many failed."""
    took: list[float] = []
    failed = 0
    base = f"http://{sandbox.layout.addresses.host}:{sandbox.layout.addresses.portal}"

    async def one(secret: str, number: str, first: float) -> None:
        nonlocal failed
        async with aiohttp.ClientSession(cookies={"comunik_session": secret}) as browser:
            async with browser.get(f"{base}/forwarding") as page:
                found = re.search(r'name="csrf" value="([0-9a-f]+)"', await page.text())
            fields = {"csrf": found[1] if found else "", "channel": "number", "number": number, "rings": "3"}
            at = began + first
            while at < began + seconds:
                await asyncio.sleep(max(0.0, at - time.monotonic()))
                sent = time.monotonic()
                address = f"{base}/forwarding/external"
                async with browser.post(address, data=fields, allow_redirects=False) as answer:
                    await answer.read()
                if answer.status == 303:
                    took.append((time.monotonic() - sent) * 1000)
                else:
                    failed += 1
                at += 1.0

    began = time.monotonic() + 1.0
    await asyncio.gather(*(one(secret, number, place / USERS) for place, (secret, number) in enumerate(users)))
    return sorted(took), failed


@asynccontextmanager
async def _changing(sandbox: Sandbox, users: list[tuple[str, str]]) -> AsyncIterator[None]:
    """Users who change rules all the while."""
    task = asyncio.create_task(_changes(sandbox, users, 3600.0))
    try:
        await asyncio.sleep(1.5)
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _paints(sandbox: Sandbox, secret: str, times: int) -> list[str]:
    """How soon Chromium paints the forwarding page, and what it weighs, with nothing kept from before."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return ["first paint: not measured, there is no Chromium (apt install chromium)"]
    url = f"http://{sandbox.layout.addresses.host}:{sandbox.layout.addresses.portal}"
    paints, weights = [], []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        for _ in range(times):
            context = await browser.new_context()
            await context.add_cookies([{"name": "comunik_session", "value": secret, "url": url}])
            page = await context.new_page()
            await page.goto(f"{url}/forwarding", wait_until="networkidle")
            paint, weight = await page.evaluate(
                """() => [performance.getEntriesByName("first-contentful-paint")[0].startTime,
                    performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation"))
                        .reduce((sum, one) => sum + one.transferSize, 0)]"""
            )
            paints.append(paint)
            weights.append(weight)
            await context.close()
        await browser.close()
    return [
        f"first contentful paint of the forwarding page, ms: median {median(paints):.0f}, most {max(paints):.0f} of "
        f"{times}; {median(weights) / 1024:.0f} KB with everything it loads"
    ]


def _share(times: list[float], share: float) -> float:
    return times[min(len(times) - 1, int(share * len(times)))]


def _middle(bursts: list[Burst], share: float) -> float:
    return median(one.through(share) for one in bursts)


def _say(line: str) -> None:
    print(line, flush=True)
