"""Loops that leave the PBX: the call comes back by the carrier, or phones send it round with 302."""

from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, MOBILE, Company, setting, told
from tests.stories.talking import talk_and_part

pytestmark = PBX

DID = "+33170000101"


async def test_the_mobile_sends_the_call_back(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    carrier = await phones.carrier()
    mobile = carrier.number(MOBILE)
    await company.forwards("101", "always", MOBILE)

    call = await carrier.number(CUSTOMER).dial(DID)
    on_mobile = await mobile.rings()
    diverted = on_mobile.invite.header("Diversion") or ""
    # What the mobile's network does when the mobile, too, forwards to the office.
    back = await carrier.number(CUSTOMER).dial(
        DID, headers={"Diversion": f"<sip:{MOBILE}@mobile.example>;reason=unconditional, {diverted}"}
    )
    at_desk = await alice.rings()
    await mobile.stays_quiet(0.5)
    await talk_and_part(back, at_desk)
    await call.hangup()

    records = await company.records(2)
    came_back = next(record for record in records if record.status == "answered")
    assert told(came_back) == "external live: ring 101 ANSWER/16 -> answered"
    assert (came_back.trace[0]["rule"], came_back.trace[0]["why"]) == ("always", "loop")


async def test_without_diversion_our_own_number_as_the_caller_tells(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    carrier = await phones.carrier()
    await company.forwards("101", "always", MOBILE)
    async with company.configured(setting("trunks.carrier", "caller_id", '"forwarder"')):
        call = await carrier.number(CUSTOMER).dial(DID)
        on_mobile = await carrier.number(MOBILE).rings()
        back = await carrier.number(on_mobile.caller or "").dial(DID)
        await talk_and_part(back, await alice.rings())
        await call.hangup()


async def test_a_colleague_who_diverted_before_is_not_rung_again(company: Company, phones: Phones) -> None:
    bruno = await phones.register("102")
    alice = await phones.register("101")
    customer = (await phones.carrier()).number(CUSTOMER)
    await company.forwards("101", "external", "102")
    call = await customer.dial(DID, headers={"Diversion": "<sip:0170000102@carrier.example>;reason=no-answer"})
    await talk_and_part(call, await alice.rings())
    assert bruno.rang == 0


async def test_diversions_count_as_hops(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    customer = (await phones.carrier()).number(CUSTOMER)
    await company.forwards("101", "always", MOBILE)
    far = ", ".join(f"<sip:+3314000010{n}@carrier.example>;reason=unconditional" for n in range(5))
    call = await customer.dial(DID, headers={"Diversion": far})
    await talk_and_part(call, await alice.rings())
    record = await company.record()
    assert record.trace[0]["why"] == "max-hops"


async def test_two_phones_send_the_call_to_each_other(company: Company, phones: Phones) -> None:
    """302 there and back: each phone is asked once, then the first callee's mailbox takes the call."""
    customer = (await phones.carrier()).number(CUSTOMER)
    host = company.sandbox.layout.addresses.host
    async with (
        sipp.phone(company.sandbox, "101", [302], headers=[f"Contact: <sip:102@{host}>"]) as alice,
        sipp.phone(company.sandbox, "102", [302], headers=[f"Contact: <sip:101@{host}>"]) as bruno,
    ):
        call = await customer.dial(DID)
        await call.answered()
        await call.hears_speech()
        assert (len(alice.invites), len(bruno.invites)) == (1, 1)
        await call.hangup()


async def test_two_phones_without_a_mailbox_between_them(company: Company, phones: Phones) -> None:
    customer = (await phones.carrier()).number(CUSTOMER)
    host = company.sandbox.layout.addresses.host
    async with (
        sipp.phone(company.sandbox, "111", [302], headers=[f"Contact: <sip:112@{host}>"]) as one,
        sipp.phone(company.sandbox, "112", [302], headers=[f"Contact: <sip:111@{host}>"]) as other,
    ):
        call = await customer.dial("111")
        assert (await call.refused()).status == 480
        assert (len(one.invites), len(other.invites)) == (1, 1)
