"""Whoever was reached by a forward, or the caller, transfers the call: blindly, attended, or with ##."""

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.beside import both_ways, number_of_bruno
from tests.stories.company import CUSTOMER, Company

pytestmark = PBX


@both_ways
async def test_blindly_by_the_callee(company: Company, phones: Phones, way: str) -> None:
    bruno, chloe = await phones.register("102"), await phones.register("103")
    customer = (await phones.carrier()).number(CUSTOMER)
    call = await customer.dial(await number_of_bruno(company, way))
    at_bruno = await bruno.rings()
    await at_bruno.answer()
    await call.answered()
    await at_bruno.transfer("103")
    at_chloe = await chloe.rings()
    assert at_chloe.caller == CUSTOMER
    await at_chloe.answer()
    await call.hears(chloe)
    await at_chloe.hears(customer)
    await at_bruno.ended()
    await call.hangup()
    await at_chloe.ended()


@both_ways
async def test_blindly_by_the_caller(company: Company, phones: Phones, way: str) -> None:
    bruno, chloe, david = await phones.register("102"), await phones.register("103"), await phones.register("104")
    call = await david.dial(await number_of_bruno(company, way))
    at_bruno = await bruno.rings()
    await at_bruno.answer()
    await call.answered()
    await call.transfer("103")
    at_chloe = await chloe.rings()
    await at_chloe.answer()
    await at_bruno.hears(chloe)
    await at_chloe.hears(bruno)
    await call.ended()
    await at_chloe.hangup()
    await at_bruno.ended()


@both_ways
async def test_attended_by_the_callee(company: Company, phones: Phones, way: str) -> None:
    bruno, chloe = await phones.register("102"), await phones.register("103")
    customer = (await phones.carrier()).number(CUSTOMER)
    call = await customer.dial(await number_of_bruno(company, way))
    at_bruno = await bruno.rings()
    await at_bruno.answer()
    await call.answered()
    await at_bruno.hold()
    asked = await bruno.dial("103")
    at_chloe = await chloe.rings()
    await at_chloe.answer()
    await asked.answered()
    await at_chloe.hears(bruno)
    await at_bruno.hand_over(asked)
    await call.hears(chloe)
    await at_chloe.hears(customer)
    await at_bruno.ended()
    await asked.ended()
    await call.hangup()
    await at_chloe.ended()


@both_ways
async def test_attended_by_the_caller(company: Company, phones: Phones, way: str) -> None:
    bruno, chloe, david = await phones.register("102"), await phones.register("103"), await phones.register("104")
    call = await david.dial(await number_of_bruno(company, way))
    at_bruno = await bruno.rings()
    await at_bruno.answer()
    await call.answered()
    await call.hold()
    asked = await david.dial("103")
    at_chloe = await chloe.rings()
    await at_chloe.answer()
    await asked.answered()
    await call.hand_over(asked)
    await at_bruno.is_told_of("103")
    await at_chloe.is_told_of("102")
    await at_bruno.hears(chloe)
    await at_chloe.hears(bruno)
    await call.ended()
    await asked.ended()
    await at_chloe.hangup()
    await at_bruno.ended()


@both_ways
async def test_with_two_hashes(company: Company, phones: Phones, way: str) -> None:
    bruno, chloe = await phones.register("102"), await phones.register("103")
    customer = (await phones.carrier()).number(CUSTOMER)
    call = await customer.dial(await number_of_bruno(company, way))
    at_bruno = await bruno.rings()
    await at_bruno.answer()
    await call.answered()
    await at_bruno.hears(customer)
    await at_bruno.press("##")
    await at_bruno.hears_speech()  # "transfer"
    await at_bruno.press("103")
    at_chloe = await chloe.rings()
    await at_chloe.answer()
    await call.hears(chloe)
    await at_chloe.hears(customer)
    await call.hangup()
    await at_chloe.ended()


@both_ways
async def test_parked_and_taken_back(company: Company, phones: Phones, way: str) -> None:
    bruno, chloe = await phones.register("102"), await phones.register("103")
    customer = (await phones.carrier()).number(CUSTOMER)
    call = await customer.dial(await number_of_bruno(company, way))
    at_bruno = await bruno.rings()
    await at_bruno.answer()
    await call.answered()
    await at_bruno.hears(customer)
    await at_bruno.press("##")
    await at_bruno.hears_speech()
    await at_bruno.press("700")
    await call.hears_music()
    taken = await chloe.dial("701")
    await taken.answered()
    await call.hears(chloe)
    await taken.hears(customer)
    await taken.hangup()
    await call.ended()
