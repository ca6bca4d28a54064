"""A call begun in the browser: one's own phone rings, then the other's; how it goes is shown as it happens."""

from comunik_pbx.accounts.account import Role
from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.portal.people import PASSWORD, People
from tests.stories.company import CUSTOMER, Company

pytestmark = PBX

CALL = "#dial button[type=submit]"


async def test_a_call_to_a_colleague(people: People, company: Company, phones: Phones) -> None:
    alice, bruno = await phones.register("101"), await phones.register("102")
    page = await people.signed_in("101", language="en")
    await page.goto(f"{people.url}/keypad")
    for key in "102":
        await page.click(f"[data-key='{key}']")
    await page.click(CALL)
    state = page.locator("#state")
    own = await alice.rings()
    await state.get_by_text("Your phone rings: pick it up.").wait_for()
    await own.answer()
    others = await bruno.rings()
    assert others.caller == "101"
    await state.get_by_text("Calling …").wait_for()
    await others.answer()
    await state.get_by_text("Connected.").wait_for()
    await own.hears(bruno)
    await others.hears(alice)
    await page.click("#hang-up button")
    await own.ended()
    await others.ended()
    await state.get_by_text("The call has ended.").wait_for()
    record = await company.record()
    assert (record.origin, record.caller, record.extension) == ("internal", "101", "102")
    assert people.complaints == []


async def test_it_follows_the_callees_rules(people: People, company: Company, phones: Phones) -> None:
    alice, chloe = await phones.register("101"), await phones.register("103")
    await company.forwards("102", "internal", "103", rings=0)
    page = await people.signed_in("101", language="en")
    await page.goto(f"{people.url}/keypad?number=102")
    await page.click(CALL)
    own = await alice.rings()
    await own.answer()
    others = await chloe.rings()
    await others.answer()
    await page.locator("#state").get_by_text("Connected.").wait_for()
    await others.hangup()
    await page.locator("#state").get_by_text("The call has ended.").wait_for()


async def test_nobody_picks_up_ones_own_phone(people: People, company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    page = await people.signed_in("101", language="en")
    await page.goto(f"{people.url}/keypad?number=102")
    await page.click(CALL)
    own = await alice.rings()
    await own.reject()
    await page.locator("#state").get_by_text("Your phone was not picked up.").wait_for()


async def test_what_cannot_be_called(people: People, company: Company, phones: Phones) -> None:
    page = await people.signed_in("105", language="en")
    for number, why in (
        ("15", "15 is an emergency number."),
        ("105", "This is your own extension."),
        ("+44 20 7946 0000", "is in a country"),
        ("102", "None of your phones is connected."),
    ):
        await page.goto(f"{people.url}/keypad")
        await page.fill("#dialled", number)
        await page.click(CALL)
        assert why in await page.inner_text("#dialled-wrong"), number


async def test_keys_keyboard_paste_and_redial(people: People, company: Company) -> None:
    page = await people.signed_in("105", language="en")
    await page.goto(f"{people.url}/keypad")
    for key in ("0", "*", "#"):
        await page.click(f"[data-key='{key}']")
    assert await page.input_value("#dialled") == "0*#"
    await page.click("#erase")
    await page.evaluate("document.activeElement.blur()")
    await page.keyboard.type("06a12")
    await page.keyboard.press("Backspace")
    assert await page.input_value("#dialled") == "061"
    await page.click("#erase")
    await page.evaluate("document.activeElement.blur()")
    await page.evaluate(
        """() => {
            const data = new DataTransfer();
            data.setData("text", "tel: 06 12 34 56 78");
            document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
        }"""
    )
    assert await page.input_value("#dialled") == "06 12 34 56 78"
    await page.click(CALL)  # refused, no phone is connected; but it was dialled
    await page.goto(f"{people.url}/keypad")
    await page.click("#redial")
    assert await page.input_value("#dialled") == "06 12 34 56 78"


async def test_a_mouse_then_enter_calls_and_does_not_press_the_key_again(
    people: People, company: Company, phones: Phones
) -> None:
    alice = await phones.register("101")
    page = await people.signed_in("101", language="en")
    await page.goto(f"{people.url}/keypad?number=10")
    await page.click("[data-key='2']")
    assert await page.input_value("#dialled") == "102"  # at its end
    await page.keyboard.press("Enter")
    own = await alice.rings()
    await own.reject()
    await page.locator("#state").get_by_text("Your phone was not picked up.").wait_for()


async def test_zero_held_is_plus_and_another_person_finds_no_number_of_mine(people: People, company: Company) -> None:
    page = await people.signed_in("105", language="en")
    await page.goto(f"{people.url}/keypad")
    await page.click("[data-key='0']", delay=700)
    await page.click("[data-key='3']")
    await page.click("[data-key='0']")
    assert await page.input_value("#dialled") == "+30"
    await page.click(CALL)
    await page.goto(f"{people.url}/keypad")
    assert await page.is_visible("#redial")
    await page.click(".sign-out button")
    await page.goto(await people.invitation("106"))
    await page.fill("#password", PASSWORD)
    await page.fill("#again", PASSWORD)
    await page.click("main button")
    await page.goto(f"{people.url}/keypad")
    assert await page.is_visible("#erase")
    assert not await page.is_visible("#redial")


async def test_administrators_see_calls_come_and_go(people: People, company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    boss = await people.signed_in("boss", Role.ADMIN, language="en")
    await boss.goto(f"{people.url}/admin/calls")
    call = await (await phones.carrier()).number(CUSTOMER).dial("+33170000101")
    rings = await alice.rings()
    await boss.locator("#live .path").get_by_text("101 Alice Martin rings").wait_for()
    await call.hangup()
    await rings.ended()
    await boss.locator("#ended").get_by_text("missed").first.wait_for()
    await boss.locator("#live").get_by_text("None at the moment.").wait_for()
    assert people.complaints == []
