"""Loops that leave the PBX: the call comes back by the carrier, or phones send it round with 302."""

from contextlib import AsyncExitStack

from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, MOBILE, Company, setting, told
from tests.stories.talking import talk_and_part

pytestmark = PBX

DID = "+33170000101"
MAX_HOPS = 5  # forwarding.max_hops of the sandbox company


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


async def test_a_phone_rings_before_several_diversions_in_one_header_are_read(company: Company, phones: Phones) -> None:
    """Asterisk takes no note of such a header, so that nobody knows of it until the call is about to go out again."""
    alice = await phones.register("101")
    carrier = await phones.carrier()
    mobile = carrier.number(MOBILE)
    await company.forwards("101", "external", MOBILE, rings=1)
    both = f"<sip:{MOBILE}@mobile.example>;reason=unconditional, <sip:{DID}@office.example>;reason=no-answer"
    call = await carrier.number(CUSTOMER).dial(DID, headers={"Diversion": both})
    await alice.rings()
    await call.answered()
    await call.hears_speech()  # the mailbox
    assert mobile.rang == 0
    await call.hangup()
    record = await company.record()
    assert told(record) == (
        "external live: ring 101 NOANSWER/19, forward carrier SKIPPED/0, forward backup SKIPPED/0, "
        "voicemail 101@default VOICEMAIL/16 -> voicemail"
    )


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


async def test_a_carrier_takes_diversions_away_and_sends_every_call_back(company: Company, phones: Phones) -> None:
    """Nothing tells one round from the next but that the same number calls again: five legs, and no more."""
    alice = await phones.register("101")
    carrier = await phones.carrier()
    mobile, customer = carrier.number(MOBILE), carrier.number(CUSTOMER)
    await company.forwards("101", "always", MOBILE)
    calls = [await customer.dial(DID)]
    for _ in range(MAX_HOPS):
        await mobile.rings()
        calls.append(await customer.dial(DID))
    at_desk = await alice.rings()
    assert mobile.rang == MAX_HOPS
    await talk_and_part(calls[-1], at_desk)
    for call in calls:
        await call.hangup()
    records = await company.records(MAX_HOPS + 1)
    assert [record.trace[0]["why"] for record in records if record.status == "answered"] == ["max-hops"]
    again = await customer.dial(DID)  # a later call goes where it should
    await talk_and_part(again, await mobile.rings())


async def test_the_carrier_sends_back_what_a_phone_sent_there(company: Company, phones: Phones) -> None:
    """302 to the mobile, which forwards to the office: the phone is asked again, and its answer not followed."""
    carrier = await phones.carrier()
    mobile = carrier.number(MOBILE)
    to_mobile = [f"Contact: <sip:0612345678@{company.sandbox.layout.addresses.host}>"]
    async with sipp.phone(company.sandbox, "101", [302], headers=to_mobile):
        call = await carrier.number(CUSTOMER).dial(DID)
        on_mobile = await mobile.rings()
        back = await carrier.number(CUSTOMER).dial(
            DID, headers={"Diversion": on_mobile.invite.header("Diversion") or ""}
        )
        await back.answered()
        await back.hears_speech()  # the mailbox
        assert mobile.rang == 1
        await back.hangup()
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


async def test_trunks_of_local_channels_that_lead_back(company: Company, phones: Phones) -> None:
    """Both trunks do, and no mailbox ends it: one leg by each, not two to the power of `max_hops`."""
    customer = (await phones.carrier()).number(CUSTOMER)
    await company.forwards("111", "external", MOBILE)
    before = len(company.sandbox.asterisk.log_lines())
    async with AsyncExitStack() as stack:
        for trunk in ("carrier", "backup"):
            local = company.configured(setting(f"trunks.{trunk}", "dial", '"Local/{number}@round"'))
            await stack.enter_async_context(local)
        call = await customer.dial("111")
        refused = await call.refused()
    legs = [line for line in company.sandbox.asterisk.log_lines()[before:] if f"[{MOBILE}@round:1]" in line]
    assert (len(legs), refused.status) == (2, 503)


async def test_local_channels_without_us_end_by_asterisks_own_count(company: Company, phones: Phones) -> None:
    """CHANNEL(max_forwards), 20 unless the admin lowers it."""
    customer = (await phones.carrier()).number(CUSTOMER)
    before = len(company.sandbox.asterisk.log_lines())
    call = await customer.dial("7000")
    await call.refused()
    legs = [line for line in company.sandbox.asterisk.log_lines()[before:] if "[7000@round:1]" in line]
    assert 1 < len(legs) <= 21
    company.normal.append("Max forwards exceeded")
