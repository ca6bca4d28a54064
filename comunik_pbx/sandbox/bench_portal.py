"""What the portal costs: how long a change of a rule takes with 50 users at once, and what calls notice of it.

make bench-portal → 50 users signed in, each changes a rule once a second
→ in turn the same calls without the portal, with it idle, and with the 50 users
→ every page in Chromium: how soon it is painted, and what it weighs; then a table for docs/portal.md
"""

import asyncio
import io
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median

import aiohttp
from PIL import Image
from playwright.async_api import async_playwright

from comunik_pbx import config as configuration
from comunik_pbx.accounts.account import Role, Session
from comunik_pbx.sandbox import bench_report
from comunik_pbx.sandbox.bench import LIVE, BenchAddresses, prepare
from comunik_pbx.sandbox.bench_calls import DIALPLAN, PHONES, Burst, burst
from comunik_pbx.sandbox.company import STAFF
from comunik_pbx.sandbox.errors import SandboxError
from comunik_pbx.sandbox.layout import Layout
from comunik_pbx.sandbox.sandbox import Sandbox, running
from comunik_pbx.store import Store
from comunik_pbx.store.accounts import fingerprint
from comunik_pbx.web.photo import portrait

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
LOOKS = 5
CALLS = 300
PER_SECOND = 20.0


PAGES = (
    "sign-in",
    "forwarding",
    "forwarding?caller=102",
    "keypad",
    "profile",
    "preferences",
    "security",
    "admin",
    "admin/extensions/103",
    "admin/calls",
    "admin/numbers",
)
"""Each as a user sees it, or as an administrator; the profile has the heaviest photo there can be."""

WITHOUT, IDLE, BUSY = "without the portal", "portal idle", f"{USERS} users"


async def bench_portal(layout: Layout, *, quick: bool = False) -> int:
    """Measure and print. Exit status 0, or 1 if a change was refused or a call lost."""
    own = Layout(layout.home / "bench", layout.root, BenchAddresses(layout.addresses.offset))
    rounds, calls, seconds, looks = (1, 60, 3.0, 1) if quick else (ROUNDS, CALLS, SECONDS, LOOKS)
    async with running(own, _say, extra_dialplan=DIALPLAN, fresh=True) as sandbox:
        machine = bench_report.machine(sandbox)
        for line in machine:
            _say(line)
        await prepare(sandbox)
        users, boss = await _users(sandbox), await _administrator(sandbox)
        took, failed = await _changes(sandbox, users, seconds)
        _say(f"\n{USERS} users at once, each a change a second, for {seconds:g} s: {len(took)} made, {failed} failed")
        bursts: dict[str, list[Burst]] = {WITHOUT: [], IDLE: [], BUSY: []}
        for number in range(1, rounds + 1):
            async with _no_portal(sandbox):
                bursts[WITHOUT].append(await _calls(sandbox, WITHOUT, number, calls))
            bursts[IDLE].append(await _calls(sandbox, IDLE, number, calls))
            async with _changing(sandbox, users):
                bursts[BUSY].append(await _calls(sandbox, BUSY, number, calls))
        seen = await _look_at_pages(sandbox, {"": "", "admin": boss, "user": users[0][0]}, looks)
        _say("")
        for line in (*machine, "", *_table(took, seen, bursts)):
            _say(line)
    lost = sum(one.lost for several in bursts.values() for one in several)
    return 0 if not failed and not lost else 1


def _table(took: list[float], seen: list["Look"], bursts: dict[str, list[Burst]]) -> list[str]:
    """What was measured, as docs/portal.md has it."""
    rows = [("what", "aim", "measured"), ("---", "---", "---")]
    if seen:
        heaviest, latest = max(seen, key=lambda one: one.bytes), max(seen, key=lambda one: median(one.paints))
        most = max(max(one.paints) for one in seen)
        rows += [
            (
                f"heaviest of {len(seen)} pages, with all it loads, nothing kept from before",
                "100 KB",
                f"{heaviest.bytes / 1024:.0f} KB (`/{heaviest.page}`)",
            ),
            (
                "first contentful paint in Chromium, of the page that takes longest",
                "300 ms",
                f"median {median(latest.paints):.0f} ms (`/{latest.page}`); the latest of all {most:.0f} ms",
            ),
        ]
    else:
        rows.append(("pages", "", "not measured: there is no Chromium (apt install chromium)"))
    rows.append(
        (
            f"a change of a rule, {USERS} users at once, each one a second",
            "p99 50 ms",
            f"median {median(took):.1f} ms, p99 {_share(took, 0.99):.1f}, most {took[-1]:.1f}, of {len(took)}",
        )
    )
    for name, several in bursts.items():
        rounds = zip(several, bursts[WITHOUT], strict=True)
        ratio = median(one.through(0.5) / without.through(0.5) for one, without in rounds)
        rows.append(
            (
                f"a call from INVITE to INVITE, {PER_SECOND:g} a second, {name}",
                "" if name == WITHOUT else "as without",
                f"median {_middle(several, 0.5):.1f} ms, p99 {_middle(several, 0.99):.1f}"
                + ("" if name == WITHOUT else f"; ratio of the medians {ratio:.2f}"),
            )
        )
    calls = sum(one.calls for several in bursts.values() for one in several)
    lost = sum(one.lost for several in bursts.values() for one in several)
    rows.append(("calls lost", "none", f"{lost} of {calls}"))
    return [f"| {' | '.join(row)} |".replace("|  |", "| |") for row in rows]


async def _calls(sandbox: Sandbox, name: str, number: int, calls: int) -> Burst:
    one = await burst(sandbox, LIVE, calls=calls, per_second=PER_SECOND)
    _say(
        f"  round {number}, {name}: INVITE to INVITE median {one.through(0.5):.1f}, p99 {one.through(0.99):.1f} ms; "
        f"CPU of the service {one.service_ms:.2f} ms a call; {one.lost} of {one.calls} lost"
    )
    return one


@asynccontextmanager
async def _no_portal(sandbox: Sandbox) -> AsyncIterator[None]:
    """The service, started anew, does not offer the portal meanwhile."""
    usual = sandbox.config.read_text()
    addresses = sandbox.layout.addresses
    sandbox.config.write_text(usual.replace(f'listen = "{addresses.host}:{addresses.portal}"\n', ""))
    await sandbox.stop_service()
    await sandbox.start_service()
    try:
        yield
    finally:
        sandbox.config.write_text(usual)
        await sandbox.stop_service()
        await sandbox.start_service()


async def _administrator(sandbox: Sandbox) -> str:
    """The cookie of an administrator who is signed in."""
    now = datetime.now(UTC)
    async with await Store.open(configuration.load(sandbox.config).store_url) as store:
        link = secrets.token_urlsafe(32)
        await store.accounts.invite("boss", Role.ADMIN, link, now + timedelta(days=1), by="bench", at=now)
        await store.accounts.set_password("boss", "not used here", at=now, address="")
        return await _session(store, "boss", now)


async def _session(store: Store, account: str, now: datetime) -> str:
    secret = secrets.token_urlsafe(32)
    await store.accounts.begin_session(
        Session(
            id=fingerprint(secret),
            account=account,
            created_at=now,
            seen_at=now,
            address="127.0.0.1",
            browser="bench",
        )
    )
    return secret


async def _users(sandbox: Sandbox) -> list[tuple[str, str]]:
    """Cookies of users who are signed in, with the number each of them forwards to."""
    now, users = datetime.now(UTC), []
    staff = [person.extension for person in STAFF if person.extension not in (*PHONES, "111")]
    async with await Store.open(configuration.load(sandbox.config).store_url) as store:
        for extension in staff:
            link = secrets.token_urlsafe(32)
            await store.accounts.invite(extension, Role.USER, link, now + timedelta(days=1), by="bench", at=now)
            await store.accounts.set_password(extension, "not used here", at=now, address="")
        noise = io.BytesIO()
        Image.frombytes("RGB", (400, 400), secrets.token_bytes(400 * 400 * 3)).save(noise, "PNG")
        await store.accounts.set_photo(staff[0], await portrait(noise.getvalue()))
        for number in range(USERS):
            secret = await _session(store, staff[number % len(staff)], now)
            users.append((secret, f"+336123456{number:02}"))
    return users


async def _changes(sandbox: Sandbox, users: list[tuple[str, str]], seconds: float) -> tuple[list[float], int]:
    """How long each change took, in ms, sorted; and how many failed."""
    took: list[float] = []
    failed = 0
    base = f"http://{sandbox.layout.addresses.host}:{sandbox.layout.addresses.portal}"

    async def opened(browser: aiohttp.ClientSession) -> str:
        async with browser.get(f"{base}/forwarding") as page:
            found = re.search(r'name="csrf" value="([0-9a-f]+)"', await page.text())
        return found[1] if found else ""

    async def one(browser: aiohttp.ClientSession, csrf: str, number: str, first: float) -> None:
        nonlocal failed
        fields = {"csrf": csrf, "channel": "number", "number": number, "rings": "3"}
        at = began + first
        while at < began + seconds:
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            sent = time.monotonic()
            async with browser.post(f"{base}/forwarding/external", data=fields, allow_redirects=False) as answer:
                await answer.read()
            if answer.status == 303:
                took.append((time.monotonic() - sent) * 1000)
            else:
                failed += 1
            at += 1.0

    async with AsyncExitStack() as stack:
        sessions = [aiohttp.ClientSession(cookies={"comunik_session": secret}) for secret, _ in users]
        browsers = [await stack.enter_async_context(session) for session in sessions]
        tokens = await asyncio.gather(*map(opened, browsers))
        began = time.monotonic() + 0.1
        numbers = [number for _, number in users]
        each = zip(browsers, tokens, numbers, strict=True)
        await asyncio.gather(*(one(*user, place / USERS) for place, user in enumerate(each)))
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


@dataclass
class Look:
    """What a browser says of a page that it sees for the first time: moments in ms, and bytes with their headers."""

    page: str
    paints: list[float]
    bytes: int


async def _look_at_pages(sandbox: Sandbox, cookies: dict[str, str], times: int) -> list[Look]:
    """Each page in Chromium, with nothing kept from before; empty if there is no Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return []
    url = f"http://{sandbox.layout.addresses.host}:{sandbox.layout.addresses.portal}"
    looks = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        for name in PAGES:
            look = Look(name, [], 0)
            cookie = cookies["" if name == "sign-in" else "admin" if name.startswith("admin") else "user"]
            for _ in range(times):
                context = await browser.new_context()
                if cookie:
                    await context.add_cookies([{"name": "comunik_session", "value": cookie, "url": url}])
                page = await context.new_page()
                answer = await page.goto(f"{url}/{name}", wait_until="networkidle")
                if answer is None or answer.status != 200:
                    raise SandboxError(f"{url}/{name} is not shown: {answer.status if answer else 'no answer'}")
                paint, weight = await page.evaluate(_PAINT_AND_WEIGHT)
                look.paints.append(paint)
                look.bytes = max(look.bytes, int(weight))
                await context.close()
            _say(f"  /{name}: first paint {median(look.paints):.0f} ms, {look.bytes / 1024:.0f} KB")
            looks.append(look)
        await browser.close()
    return looks


_PAINT_AND_WEIGHT = """() => [performance.getEntriesByName("first-contentful-paint")[0].startTime,
    performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation"))
        .reduce((sum, one) => sum + one.transferSize, 0)]"""


def _share(times: list[float], share: float) -> float:
    return times[min(len(times) - 1, int(share * len(times)))]


def _middle(bursts: list[Burst], share: float) -> float:
    return median(one.through(share) for one in bursts)


def _say(line: str) -> None:
    print(line, flush=True)
