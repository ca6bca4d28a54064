"""Every page in both languages, light and dark, on a laptop and on a telephone: nothing cut, nothing inaccessible."""

import asyncio
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

from comunik_pbx.accounts.account import Profile, Role, Theme
from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.portal.people import People
from tests.stories.company import CUSTOMER, MOBILE, Company

pytestmark = PBX

PAGES = (
    "forwarding",
    "forwarding?caller=102",
    "keypad",
    "profile",
    "preferences",
    "security",
    "admin",
    "admin/extensions/101",
    "admin/calls",
    "admin/numbers",
)

MOST_BYTES = 100 * 1024

LOOKS = [
    ("fr", Theme.LIGHT, 1280),
    ("fr", Theme.DARK, 390),
    ("en", Theme.DARK, 1280),
    ("en", Theme.LIGHT, 390),
]
"""Each language, theme and width with each other once."""


@pytest.mark.parametrize(("language", "theme", "width"), LOOKS)
async def test_every_page(
    people: People,
    company: Company,
    phones: Phones,
    screenshots: Path,
    language: str,
    theme: Theme,
    width: int,
) -> None:
    await company.forwards("101", "internal", "102", rings=3)
    await company.forwards("101", "external", MOBILE, rings=0)
    await company.store.accounts.set_profile("101", Profile(full_name="Alice Martin", phone=MOBILE))
    call = await (await phones.carrier()).number(CUSTOMER).dial("+33170000101")
    await (await (await phones.carrier()).number(MOBILE).rings()).answer()
    await call.answered()
    viewport = {"width": width, "height": 844 if width < 800 else 900}
    alice = await people.signed_in("101", Role.USER, language, theme, viewport=viewport)
    boss = await people.signed_in("boss", Role.ADMIN, language, theme, viewport=viewport)
    weights = {page: watch_weight(page) for page in (alice, boss)}
    for address in PAGES:
        page = boss if address.startswith("admin") else alice
        weight = weights[page]
        weight.clear()
        await page.goto(f"{people.url}/{address}", wait_until="networkidle")
        name = address.replace("/", "-").replace("?", "-").replace("=", "-")
        picture = screenshots / f"{name}.{language}.{theme.value}.{width}.png"
        await page.screenshot(path=picture, full_page=True)
        assert await page.get_attribute("html", "lang") == language
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{address} is too wide"
        assert await cut_off(page) == [], address
        assert sum(weight) < MOST_BYTES, (address, weight)
        found = (await Axe().run(page)).response["violations"]
        serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
        assert serious == [], address
    await call.hangup()
    assert people.complaints == []


async def test_the_pages_before_signing_in(people: People, screenshots: Path) -> None:
    for language, scheme in (("fr-FR", "light"), ("en-GB", "dark")):
        page = await people.page(locale=language, color_scheme=scheme, viewport={"width": 390, "height": 844})
        for name, address in (
            ("sign-in", f"{people.url}/sign-in"),
            ("invitation", await people.invitation("104")),
            ("invitation-used", f"{people.url}/invitation/{'x' * 43}"),
        ):
            await page.goto(address)
            await page.screenshot(path=screenshots / f"{name}.{language[:2]}.{scheme}.390.png")
            assert await page.get_attribute("html", "lang") == language[:2]
            found = (await Axe().run(page)).response["violations"]
            assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == [], name
            dark = await page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert dark == ("rgb(16, 21, 27)" if scheme == "dark" else "rgb(244, 246, 248)")


def watch_weight(page: Page) -> list[int]:
    """The bytes of each answer from now on, headers not counted."""
    sizes: list[int] = []
    reading: set[asyncio.Task[None]] = set()

    async def weigh(response: object) -> None:
        try:
            sizes.append(len(await response.body()))  # type: ignore[attr-defined]
        except Exception:  # a redirect has no body
            return

    def on_response(response: object) -> None:
        task = asyncio.ensure_future(weigh(response))
        reading.add(task)
        task.add_done_callback(reading.discard)

    page.on("response", on_response)
    return sizes


async def cut_off(page: Page) -> list[str]:
    """Buttons, labels and headings whose words do not fit."""
    cut: list[str] = await page.evaluate(
        """() => [...document.querySelectorAll("button, label, h1, h2, .badge, legend, nav a")]
            .filter((e) => e.offsetParent && e.scrollWidth > e.clientWidth + 1)
            .filter((e) => getComputedStyle(e).display !== "inline")
            .map((e) => e.textContent.trim())"""
    )
    return cut
