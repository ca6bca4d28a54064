"""Hold and music, digits both ways, a second call to a phone that talks, early media, 302: as on plain `Dial()`."""

from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.beside import PLAIN, both_ways, number_of_bruno
from tests.stories.company import CUSTOMER, MOBILE, Company
from tests.stories.talking import talk_and_part

pytestmark = PBX


@both_ways
async def test_held_with_music_and_back(company: Company, phones: Phones, way: str) -> None:
    bruno = await phones.register("102")
    customer = (await phones.carrier()).number(CUSTOMER)
    call = await customer.dial(await number_of_bruno(company, way))
    at_bruno = await bruno.rings()
    await at_bruno.answer()
    await call.hears(bruno)
    await at_bruno.hold()
    await call.hears_music()
    await at_bruno.resume()
    await call.hears(bruno)
    await at_bruno.hears(customer)
    await call.hangup()
    await at_bruno.ended()


@both_ways
async def test_digits_both_ways(company: Company, phones: Phones, way: str) -> None:
    bruno = await phones.register("102")
    customer = (await phones.carrier()).number(CUSTOMER)
    call = await customer.dial(await number_of_bruno(company, way))
    at_bruno = await bruno.rings()
    await at_bruno.answer()
    await call.hears(bruno)
    await call.press("1234")
    await at_bruno.receives_digits("1234")
    await at_bruno.press("56*9")
    await call.receives_digits("56*9")
    await call.hangup()
    await at_bruno.ended()


@both_ways
async def test_a_second_call_to_a_phone_that_talks(company: Company, phones: Phones, way: str) -> None:
    bruno = await phones.register("102")
    carrier = await phones.carrier()
    customer, other = carrier.number(CUSTOMER), carrier.number("+33140000001")
    number = await number_of_bruno(company, way)
    first = await customer.dial(number)
    at_bruno = await bruno.rings()
    await at_bruno.answer()
    await first.hears(bruno)
    second = await other.dial(number)
    waiting = await bruno.rings()  # call waiting
    await second.ringing()
    await at_bruno.hold()
    await waiting.answer()
    await second.hears(bruno)
    await first.hears_music()
    await second.hangup()
    await waiting.ended()
    await at_bruno.resume()
    await first.hears(bruno)
    await first.hangup()
    await at_bruno.ended()


@both_ways
async def test_the_phone_sends_early_media(company: Company, phones: Phones, way: str) -> None:
    customer = (await phones.carrier()).number(CUSTOMER)
    async with sipp.phone(company.sandbox, "102", [183, 2.0, 200], early_media=True) as bruno:
        call = await customer.dial(await number_of_bruno(company, way))
        await call.progress()
        await call.hears(customer)  # SIPp sends back what it hears
        assert call.statuses == [183], "before anybody has answered"
        await bruno.received("ACK")
        await call.answered()
        assert call.statuses == [183, 200]
        await call.hangup()


async def test_the_mobiles_network_sends_early_media(company: Company, phones: Phones) -> None:
    customer = (await phones.carrier("backup")).number(CUSTOMER)
    await company.forwards("101", "always", MOBILE)
    async with sipp.switch(company.sandbox, "carrier", [183, 2.0, 200]):
        call = await customer.dial("101")
        await call.progress()
        await call.hears(customer)
        assert call.statuses == [183]
        await call.answered()
        await call.hangup()


@both_ways
async def test_the_phone_sends_the_call_elsewhere(company: Company, phones: Phones, way: str) -> None:
    """302 to 103: followed, and 103 sees who sent it."""
    chloe = await phones.register("103")
    customer = (await phones.carrier()).number(CUSTOMER)
    host = company.sandbox.layout.addresses.host
    async with sipp.phone(company.sandbox, "102", [302], headers=[f"Contact: <sip:103@{host}>"]) as bruno:
        call = await customer.dial(await number_of_bruno(company, way))
        at_chloe = await chloe.rings()
        assert at_chloe.caller == CUSTOMER
        if way == PLAIN:
            assert at_chloe.diversion is None or at_chloe.diversion[0] == "102"
        else:
            assert at_chloe.diversion is not None
        await at_chloe.answer()
        await call.hears(chloe)
        assert len(bruno.invites) == 1
        await call.hangup()
        await at_chloe.ended()


@both_ways
async def test_the_phone_names_several_it_could_go_to(company: Company, phones: Phones, way: str) -> None:
    """302 with two Contacts: the one that is liked best (`q`) is called, nobody else."""
    chloe, david = await phones.register("103"), await phones.register("104")
    customer = (await phones.carrier()).number(CUSTOMER)
    host = company.sandbox.layout.addresses.host
    contacts = [f"Contact: <sip:104@{host}>;q=0.5", f"Contact: <sip:103@{host}>;q=0.9"]
    async with sipp.phone(company.sandbox, "102", [302], headers=contacts):
        call = await customer.dial(await number_of_bruno(company, way))
        await talk_and_part(call, await chloe.rings())
    assert david.rang == 0
