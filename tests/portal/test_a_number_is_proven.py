"""In the browser, scripts or none: a number is refused, called, its code heard and typed; the next call goes there."""

import re
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Dialog, Page

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.portal.people import People
from tests.stories.company import CUSTOMER, Company, setting
from tests.stories.played import Played
from tests.stories.test_a_number_is_proven_before_use import code_in

pytestmark = PBX


@pytest.mark.parametrize(
    ("extension", "mobile", "scripts"), [("107", "0612340107", True), ("108", "0612340108", False)]
)
async def test_from_the_refusal_to_the_call(
    people: People,
    company: Company,
    phones: Phones,
    screenshots: Path,
    extension: str,
    mobile: str,
    scripts: bool,
) -> None:
    carrier = await phones.carrier()
    theirs = carrier.number(f"+33{mobile[1:]}")
    async with company.configured(setting("forwarding", "prove_numbers", "true")):
        viewport = {"width": 1280 if scripts else 390, "height": 844}
        page = await people.signed_in(extension, java_script_enabled=scripts, viewport=viewport)
        asked: list[str] = []

        async def leave(dialog: Dialog) -> None:
            asked.append(dialog.type)
            await dialog.accept()

        page.on("dialog", leave)
        await page.goto(f"{people.url}/forwarding")
        await page.fill("#always-number", mobile)
        await page.click("#always .set button")
        assert "n’a pas été vérifié" in await page.inner_text("#always-number-wrong")
        await page.screenshot(path=screenshots / f"unproven.fr.{extension}.png", full_page=True)
        await looks_well(page, scripts)
        await page.click("#always .prove button")
        await page.wait_for_url("**/forwarding/always/prove?*")
        on_mobile = await theirs.rings()
        assert on_mobile.caller == f"+33170000{extension}"
        await on_mobile.answer()
        await on_mobile.hears_speech()
        played = Played(company)
        await on_mobile.press("1")
        assert (await on_mobile.ended(within=40)).by_far_end
        await page.click("main p a")  # how is the call going?
        assert await page.get_attribute("#progress", "data-state") == "said"
        code = code_in(played)[:5]
        await looks_well(page, scripts)
        await page.screenshot(path=screenshots / f"prove.fr.{extension}.png", full_page=True)

        await page.fill("#code", f"{(int(code) + 1) % 100000:05}")
        await page.click(".card button")
        assert "Ce n’est pas le code" in await page.inner_text("#code-wrong")
        await page.fill("#code", code)
        await page.click(".card button")
        await page.wait_for_url("**/forwarding?done=proven#always")
        assert re.sub(r"\D", "", await page.inner_text("#always .present p")) == mobile
        assert "Tous vos appels" in await page.inner_text(".now")

        call = await carrier.number(CUSTOMER).dial(f"+33170000{extension}")
        on_mobile = await theirs.rings()
        await on_mobile.answer()
        await call.answered()
        await call.hangup()
    assert asked == [], "what was refused is taken along, not lost"
    assert people.complaints == []
    (one,) = await company.store.proven.all(extension)
    assert (one.number, one.proven_by) == (f"+33{mobile[1:]}", f"portal:{extension}")
    await company.store.proven.remove(extension, one.number, by="test", at=one.proven_at)


async def looks_well(page: Page, scripts: bool) -> None:
    """Nothing sticks out of its card, and nothing keeps anybody out."""
    out = await page.evaluate(
        """() => [...document.querySelectorAll(".card")].filter((e) => e.scrollWidth > e.clientWidth).length"""
    )
    assert out == 0
    if not scripts:  # axe is one
        return
    found = (await Axe().run(page)).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
