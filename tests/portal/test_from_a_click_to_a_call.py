"""A click in the browser, then a call that follows it."""

from typing import Any

from playwright.async_api import Dialog

from comunik_pbx.accounts.account import Profile, Role
from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.portal.people import People
from tests.stories.company import CUSTOMER, MOBILE, Company
from tests.web.test_profile import png

pytestmark = PBX


async def test_the_next_call_goes_where_the_click_says(people: People, company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    carrier = await phones.carrier()
    mobile, customer = carrier.number(MOBILE), carrier.number(CUSTOMER)
    page = await people.signed_in("101")
    await page.goto(f"{people.url}/forwarding")
    await page.check("#external [value=number]")
    await page.fill("#external-number", "06 12 34 56 78")
    await page.select_option("#external-rings", "0")
    await page.click("#external .set button")
    await page.wait_for_url("**?done=forwarding#external")
    assert "tout de suite vers 06" in await page.inner_text(".now")

    call = await customer.dial("+33170000101")  # at once: what was confirmed is in force
    on_mobile = await mobile.rings()
    await on_mobile.answer()
    await call.answered()
    assert alice.rang == 0
    await call.hangup()

    await page.click("#external .present button")
    await page.wait_for_url("**?done=forwarding#external")
    assert "06" in await page.inner_text("#external .present")
    again = await customer.dial("+33170000101")
    at_desk = await alice.rings()
    await again.hangup()
    await at_desk.ended()
    assert people.complaints == []


async def test_by_keyboard_alone(people: People, company: Company) -> None:
    page = await people.signed_in("101")
    await page.goto(f"{people.url}/forwarding")
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.className") == "skip"
    await reach(page, "always-number")
    await page.keyboard.type("0612345678")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**?done=forwarding#always")
    rule = (await company.store.rules())["101"].always
    assert rule is not None
    assert str(rule.to) == MOBILE
    await reach(page, "internal-rings")
    await page.keyboard.press("Home")
    assert await page.input_value("#internal-rings") == "0"


async def test_without_scripts(people: People, company: Company) -> None:
    page = await people.signed_in("101", java_script_enabled=False)
    await page.goto(f"{people.url}/forwarding")
    await page.check("#internal [value=extension]")
    await page.fill("#internal-extension", "102 Bruno Petit")
    assert not await page.is_visible("#internal-number")
    await page.click("#internal .set button")
    await page.wait_for_url("**?done=forwarding#internal")
    rule = (await company.store.rules())["101"].internal
    assert rule is not None
    assert str(rule.to) == "102"
    await page.goto(f"{people.url}/preferences")
    await page.check("[value=dark]")
    await page.click("main button")
    assert await page.get_attribute("html", "data-theme") == "dark"


async def test_a_refused_number_gets_the_focus_and_its_reason(people: People, company: Company) -> None:
    page = await people.signed_in("101")
    await page.goto(f"{people.url}/forwarding")
    await page.fill("#always-number", "08 99 12 34 56")
    await page.click("#always .set button")
    wrong = page.locator("#always-number-wrong")
    assert "est un numéro surtaxé" in await wrong.inner_text()
    assert await page.evaluate("document.activeElement.id") == "always-number"
    assert await page.input_value("#always-number") == "08 99 12 34 56"


async def test_a_photo_is_shown_at_once(people: People) -> None:
    page = await people.signed_in("101")
    await page.goto(f"{people.url}/profile")
    photo: Any = {"name": "me.png", "mimeType": "image/png", "buffer": png()}
    await page.set_input_files("#photo", photo)
    assert (await page.get_attribute("#portrait", "src") or "").startswith("blob:")
    assert await page.evaluate("document.getElementById('portrait').decode().then(() => true)")
    await page.click(".save button")
    await page.wait_for_url("**?done=profile")
    assert await page.get_attribute("#portrait", "src") == "/profile/photo?v=1"
    assert people.complaints == []


async def test_unsaved_changes_are_not_lost_by_accident(people: People) -> None:
    page = await people.signed_in("101")
    await page.goto(f"{people.url}/profile")
    await page.fill("#full_name", "Alice M.")
    asked: list[str] = []

    async def stay(dialog: object) -> None:
        asked.append(dialog.type)  # type: ignore[attr-defined]
        await dialog.accept()  # type: ignore[attr-defined]

    page.on("dialog", stay)
    await page.goto(f"{people.url}/security")
    assert asked == ["beforeunload"]
    await page.goto(f"{people.url}/profile")
    await page.fill("#full_name", "Alice M.")
    await page.click(".save button")
    await page.wait_for_url("**?done=profile")
    await page.goto(f"{people.url}/security")
    assert asked == ["beforeunload"]


async def test_what_was_typed_in_a_card_is_not_lost_by_switching_another(people: People, company: Company) -> None:
    await company.forwards("101", "external", MOBILE, rings=0)
    page = await people.signed_in("101")
    asked: list[str] = []

    async def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        await dialog.dismiss()

    page.on("dialog", stay)
    await page.goto(f"{people.url}/forwarding")
    await page.fill("#always-number", "06 98 76")
    async with page.expect_event("dialog"):
        await page.click("#external .present button", no_wait_after=True)
    assert asked == ["beforeunload"]
    assert await page.input_value("#always-number") == "06 98 76"
    await page.click("#always .set [type=submit]")  # refused: still not saved
    await page.locator("#always-number-wrong").wait_for()
    async with page.expect_event("dialog"):
        await page.click("text=Profil", no_wait_after=True)
    assert asked == ["beforeunload"] * 2


async def test_ones_own_number_at_a_click(people: People, company: Company) -> None:
    await company.store.accounts.set_profile("101", Profile(full_name="Alice", phone=MOBILE))
    page = await people.signed_in("101")
    await page.goto(f"{people.url}/forwarding")
    await page.check("#internal [value=number]")
    await page.click("#internal [data-fill]")
    assert (await page.input_value("#internal-number")).replace("\u00a0", " ") == "06 12 34 56 78"
    await page.click("#internal .set [type=submit]")
    await page.wait_for_url("**?done=forwarding#internal")
    rule = (await company.store.rules())["101"].internal
    assert rule is not None
    assert str(rule.to) == MOBILE


async def test_every_page_by_keyboard(people: People, company: Company) -> None:
    alice, boss = await people.signed_in("101"), await people.signed_in("boss", Role.ADMIN)
    for page, addresses in (
        (alice, ("forwarding?caller=102", "keypad", "profile", "preferences", "security", "help")),
        (boss, ("admin", "admin/extensions/101", "admin/calls", "admin/changes", "admin/numbers")),
    ):
        for address in addresses:
            await page.goto(f"{people.url}/{address}")
            expected = await page.evaluate(REACHABLE)
            assert expected > 5
            reached = 0
            for _ in range(expected + 5):
                await page.keyboard.press("Tab")
                if reached and await page.evaluate("document.activeElement.matches('body, .skip')"):
                    break  # Chromium begins again at the first link, or before it
                reached += 1
                assert await page.evaluate(SHOWN), (address, await page.evaluate("document.activeElement.outerHTML"))
            assert reached == expected, address


async def test_all_else_without_scripts(people: People, company: Company, phones: Phones) -> None:
    phone = await phones.register("101")
    page = await people.signed_in("101", java_script_enabled=False)
    await page.goto(f"{people.url}/profile")
    photo: Any = {"name": "me.png", "mimeType": "image/png", "buffer": png()}
    await page.set_input_files("#photo", photo)
    assert await page.is_visible("#photo")
    await page.fill("#full_name", "Alice M.")
    await page.click(".save button")
    await page.wait_for_url("**?done=profile")
    assert await page.get_attribute("#portrait", "src") == "/profile/photo?v=1"
    await page.goto(f"{people.url}/keypad")
    assert not await page.is_visible(".keys")
    await page.fill("#dialled", "102")
    await page.click("#dial [type=submit]")
    rings = await phone.rings()
    await page.click("#hang-up button")
    await rings.ended()
    await page.wait_for_url("**/keypad")
    assert not await page.is_visible("#hang-up button")
    await page.goto(f"{people.url}/forwarding")
    await page.fill("#caller", "bruno")
    await page.click("#test button")
    assert "Un appel interne (Bruno Petit)" in await page.inner_text("#test")


REACHABLE = """() => {
    const groups = new Set();
    return [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
        .filter((one) => one.checkVisibility() && !one.disabled && one.type !== "hidden")
        .filter((one) => {  // of radio buttons, Tab reaches one of a group
            if (one.type !== "radio") return true;
            const group = `${one.form.action} ${one.name}`;
            return !groups.has(group) && groups.add(group);
        })
        .reduce((all, one) => all + (one.type === "datetime-local" ? 6 : 1), 0);
}"""
"""How often Tab has to be pressed to have been everywhere; a date has its parts."""

SHOWN = """() => {
    const one = document.activeElement;
    const ring = one.type === "file" ? one.labels[0] : one;
    return getComputedStyle(ring).outlineStyle !== "none" && ring.getBoundingClientRect().width > 8;
}"""
"""Whether one sees where the focus is."""


async def reach(page, element: str) -> None:  # type: ignore[no-untyped-def]
    """Press Tab until an element has the focus."""
    for _ in range(80):
        if await page.evaluate("document.activeElement.id") == element:
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"{element} cannot be reached by Tab")
