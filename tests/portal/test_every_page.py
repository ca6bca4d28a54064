"""Every page in both languages, light and dark, on a laptop and on a telephone: nothing cut, nothing inaccessible."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Error, Page, Response

from comunik_pbx.accounts.account import AllowedNumber, Profile, Role, Theme
from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.portal.people import PASSWORD, People
from tests.stories.company import CUSTOMER, MOBILE, Company

pytestmark = PBX

PAGES = (
    "forwarding",
    "forwarding?caller=102",
    "keypad",
    "profile",
    "preferences",
    "security",
    "help",
    "admin",
    "admin/extensions/101",
    "admin/calls",
    "admin/changes",
    "admin/numbers",
    "nowhere",
)

MOST_BYTES = 100 * 1024
WIDTHS = {390: 844, 1280: 900}
LOOKS = [(language, theme) for language in ("fr", "en") for theme in (Theme.LIGHT, Theme.DARK)]


@pytest.mark.parametrize(("language", "theme"), LOOKS)
async def test_every_page(
    people: People, company: Company, phones: Phones, screenshots: Path, language: str, theme: Theme
) -> None:
    await company.forwards("101", "internal", "102", rings=3)
    await company.forwards("101", "external", MOBILE, rings=0)
    await company.store.accounts.set_profile("101", Profile(full_name="Alice Martin", phone=MOBILE))
    london = AllowedNumber(
        number="+442079460000",
        name="Agence de Londres",
        comment="jusqu’au printemps",
        changed_by="boss",
        changed_at=datetime.now(UTC),
    )
    await company.store.allow_list.put(london)
    call = await (await phones.carrier()).number(CUSTOMER).dial("+33170000101")
    await (await (await phones.carrier()).number(MOBILE).rings()).answer()
    await call.answered()
    alice = await people.signed_in("101", Role.USER, language, theme)
    boss = await people.signed_in("boss", Role.ADMIN, language, theme)
    for page in (alice, boss):
        weight = Weight(page)
        for address in PAGES:
            if address.startswith("admin") != (page is boss):
                continue
            for width, height in WIDTHS.items():
                await page.set_viewport_size({"width": width, "height": height})
                await page.goto(f"{people.url}/{address}")
                assert await page.get_attribute("html", "lang") == language
                assert await weight.of_this_page() < MOST_BYTES, address
                await look(page, screenshots, address, language, theme.value, width)
    await call.hangup()
    await company.store.allow_list.remove(london.number, by="boss", at=datetime.now(UTC))
    assert [said for said in people.complaints if "404" not in said] == []  # "nowhere"


async def test_the_pages_before_signing_in(people: People, screenshots: Path) -> None:
    addresses = (
        ("sign-in", f"{people.url}/sign-in"),
        ("invitation", await people.invitation("104")),
        ("invitation-used", f"{people.url}/invitation/{'x' * 43}"),
    )
    for language, scheme, width in (
        ("fr-FR", "light", 390),
        ("fr-FR", "dark", 1280),
        ("en-GB", "light", 1280),
        ("en-GB", "dark", 390),
    ):
        page = await people.page(
            locale=language, color_scheme=scheme, viewport={"width": width, "height": WIDTHS[width]}
        )
        for name, address in addresses:
            await page.goto(address)
            assert await page.get_attribute("html", "lang") == language[:2]
            dark = await page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert dark == ("rgb(16, 21, 27)" if scheme == "dark" else "rgb(244, 246, 248)")
            await look(page, screenshots, name, language[:2], scheme, width)


async def test_a_wrong_sign_in_and_a_weak_password_say_why(people: People, screenshots: Path) -> None:
    page = await people.page(viewport={"width": 390, "height": 844})
    await page.goto(f"{people.url}/sign-in")
    await page.fill("#name", "101")
    await page.fill("#password", "not this one")
    await page.press("#password", "Enter")
    assert "ne vont pas ensemble" in await page.inner_text("#password-wrong")
    assert await page.input_value("#name") == "101"
    await look(page, screenshots, "refused-sign-in", "fr", "light", 390)
    await page.goto(await people.invitation("104"))
    for password, again, where in (("azertyuiop", "azertyuiop", "password"), (PASSWORD, "something else", "again")):
        await page.fill("#password", password)
        await page.fill("#again", again)
        await page.click("main button")
        await page.locator(f"#{where}-wrong").wait_for()
        await look(page, screenshots, f"refused-invitation-{where}", "fr", "light", 390)


async def nothing(page: Page) -> None:
    """The address asks for it already."""


async def refused_number(page: Page) -> None:
    await page.check("#external [value=number]")
    await page.fill("#external-number", "08 99 12 34 56")
    await page.click("#external .set [type=submit]")


async def refused_name(page: Page) -> None:
    await page.check("#internal [value=extension]")
    await page.fill("#internal-extension", "ma")
    await page.click("#internal .set [type=submit]")


async def refused_call(page: Page) -> None:
    await page.fill("#dialled", "08 99 12 34 56")
    await page.click("#dial [type=submit]")


async def refused_profile(page: Page) -> None:
    text: Any = {"name": "me.png", "mimeType": "image/png", "buffer": b"no picture"}
    await page.set_input_files("#photo", text)
    await page.click(".save [type=submit]")


async def refused_password(page: Page) -> None:
    await page.fill("#current", "not this one")
    await page.click("[action='/security/password'] [type=submit]")


async def refused_allowed(page: Page) -> None:
    await page.fill("#number", "08 99 12 34 56")
    await page.click("[action='/admin/numbers'][method=post] [type=submit]")


REFUSED: dict[str, tuple[str, Callable[[Page], Awaitable[None]], str]] = {
    "forwarding-number": ("forwarding", refused_number, "#external-number-wrong"),
    "forwarding-name": ("forwarding", refused_name, "#internal-extension-wrong"),
    "forwarding-test": ("forwarding?caller=nobody", nothing, "#caller-wrong"),
    "keypad": ("keypad", refused_call, "#dialled-wrong"),
    "profile": ("profile", refused_profile, "#photo-wrong"),
    "security": ("security", refused_password, "#current-wrong"),
    "admin-numbers": ("admin/numbers", refused_allowed, "#number-wrong"),
}
"""Where something is refused: the page, what is done there, and where the reason stands."""


@pytest.mark.parametrize(("language", "theme", "width"), [("fr", Theme.DARK, 390), ("en", Theme.LIGHT, 1280)])
async def test_what_is_refused_says_so_beside_the_field(
    people: People, company: Company, screenshots: Path, language: str, theme: Theme, width: int
) -> None:
    size = {"width": width, "height": WIDTHS[width]}
    alice = await people.signed_in("101", Role.USER, language, theme, viewport=size)
    boss = await people.signed_in("boss", Role.ADMIN, language, theme, viewport=size)
    for page in (alice, boss):
        page.on("dialog", lambda dialog: dialog.accept())  # what was refused is not saved: leaving is asked
    for name, (address, does, where) in REFUSED.items():
        page = boss if address.startswith("admin") else alice
        await page.goto(f"{people.url}/{address}")
        await does(page)
        wrong = page.locator(where)
        await wrong.wait_for()
        field = page.locator(f"[aria-describedby~='{where[1:]}']")
        assert await field.get_attribute("aria-invalid") == "true", name
        assert await field.evaluate("(field) => field === document.activeElement"), name
        tops = [await part.evaluate("(part) => part.getBoundingClientRect().top") for part in (field, wrong)]
        assert 0 < tops[1] - tops[0] < 160, name
        await look(page, screenshots, f"refused-{name}", language, theme.value, width)
    assert people.complaints == []


async def look(page: Page, screenshots: Path, address: str, language: str, theme: str, width: int) -> None:
    """Draw a page; nothing is too wide or cut, and axe-core finds nothing serious."""
    name = re.sub("[/?=]", "-", address)
    height = await page.evaluate("document.documentElement.scrollHeight")
    await page.set_viewport_size({"width": width, "height": max(height, WIDTHS[width])})  # what sticks is at its place
    await page.screenshot(path=screenshots / f"{name}.{language}.{theme}.{width}.png")
    await page.set_viewport_size({"width": width, "height": WIDTHS[width]})
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{address} is too wide"
    assert await cut_off(page) == [], address
    if (language, width) in (("fr", 1280), ("en", 390)):
        return  # the same elements as in the other language, which axe-core has seen or will see at this width
    found = (await Axe().run(page)).response["violations"]
    serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
    assert serious == [], address


class Weight:
    """The bytes of each answer since the last page, headers not counted."""

    def __init__(self, page: Page) -> None:
        self._reading: list[asyncio.Task[int]] = []
        page.on("response", lambda response: self._reading.append(asyncio.ensure_future(self._bytes(response))))

    async def of_this_page(self) -> int:
        """All of them together; the next page begins at nothing."""
        reading, self._reading = self._reading, []
        return sum(await asyncio.gather(*reading))

    async def _bytes(self, response: Response) -> int:
        try:
            return len(await response.body())
        except Error:  # a redirect has no body
            return 0


async def cut_off(page: Page) -> list[str]:
    """Buttons, labels and headings whose words do not fit, and what reaches over the edge of its card."""
    cut: list[str] = await page.evaluate(
        """() => [...document.querySelectorAll("button, label, h1, h2, .badge, legend, nav a")]
            .filter((e) => e.offsetParent && e.scrollWidth > e.clientWidth + 1)
            .filter((e) => getComputedStyle(e).display !== "inline")
            .concat([...document.querySelectorAll(".card :is(button, .button, .badge, input, select)")]
                .filter((e) => e.offsetParent && !e.closest(".scroll"))
                .filter((e) => {
                    const edge = e.closest(".card").getBoundingClientRect().right - 8;
                    return e.getBoundingClientRect().right > edge;
                }))
            .map((e) => e.textContent.trim() || e.id)"""
    )
    return cut
