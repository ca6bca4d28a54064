"""Diversion headers (RFC 5806) of forwarded calls: all who diverted, newest on top, each with its reason."""

from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, MOBILE, Company, setting, trunks_say
from tests.stories.talking import talk_and_part

pytestmark = PBX

DID = "+33170000101"
AT = "@sandbox.example>"


async def test_over_two_hops(company: Company, phones: Phones) -> None:
    bruno = await phones.register("102")
    carrier = await phones.carrier()
    await company.forwards("101", "always", "102")
    await company.forwards("102", "external", MOBILE, rings=1)
    call = await carrier.number(CUSTOMER).dial(DID)
    assert (await bruno.rings()).diversion == ("101", "unconditional")
    on_mobile = await carrier.number(MOBILE).rings()
    assert on_mobile.invite.all("Diversion") == [
        f"<sip:+33170000102{AT};reason=no-answer",
        f"<sip:+33170000101{AT};reason=unconditional",
    ]
    await talk_and_part(call, on_mobile)


async def test_reasons_are_what_happened_and_numbers_as_the_trunk_wants_them(company: Company, phones: Phones) -> None:
    carrier = await phones.carrier()
    await company.forwards("101", "external", "102", rings=1)
    await company.forwards("102", "external", "103", rings=1)
    await company.forwards("103", "always", MOBILE)
    async with (
        company.configured(setting("trunks.carrier", "number_format", '"national"')),
        sipp.phone(company.sandbox, "101", [486]),
    ):
        call = await carrier.number(CUSTOMER).dial(DID)
        on_mobile = await carrier.number("0612345678").rings()
        assert on_mobile.invite.all("Diversion") == [
            f"<sip:0170000103{AT};reason=unconditional",
            f"<sip:0170000102{AT};reason=unavailable",
            f"<sip:0170000101{AT};reason=user-busy",
        ]
        await talk_and_part(call, on_mobile)


async def test_those_a_call_came_with_are_handed_on(company: Company, phones: Phones) -> None:
    carrier = await phones.carrier()
    await company.forwards("101", "always", MOBILE)
    theirs = ['"Müller, Wien" <sip:+4315555@other.example;user=phone>;reason=user-busy;counter=1', "<tel:+4316666>"]
    async with sipp.caller(
        company.sandbox, DID, headers=[f"Diversion: {header}" for header in theirs], talk_seconds=1.0
    ) as caller:
        on_mobile = await carrier.number(MOBILE).rings()
        assert on_mobile.invite.all("Diversion") == [f"<sip:+33170000101{AT};reason=unconditional", *theirs]
        await on_mobile.answer()
        assert (await caller.final()).status == 200
        await on_mobile.ended()


async def test_several_in_one_header_are_handed_on_after_a_phone_has_rung(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    carrier = await phones.carrier()
    await company.forwards("101", "external", MOBILE, rings=1)
    theirs = "<sip:+4315555@other.example>;reason=user-busy,<sip:+4316666@other.example>;reason=unconditional"
    call = await carrier.number(CUSTOMER).dial(DID, headers={"Diversion": theirs})
    await alice.rings()
    on_mobile = await carrier.number(MOBILE).rings()
    assert on_mobile.invite.all("Diversion") == [f"<sip:+33170000101{AT};reason=no-answer", theirs]
    await talk_and_part(call, on_mobile)
    assert alice.rang == 1


async def test_a_name_from_before_is_not_put_to_our_number(company: Company, phones: Phones) -> None:
    bruno = await phones.register("102")
    customer = (await phones.carrier()).number(CUSTOMER)
    await company.forwards("101", "always", "102")
    theirs = '"Somebody" <sip:+4315555@other.example>;reason=user-busy'
    call = await customer.dial(DID, headers={"Diversion": theirs})
    at_desk = await bruno.rings()
    assert at_desk.diversion == ("101", "unconditional")
    assert "Somebody" not in at_desk.invite.text
    await talk_and_part(call, at_desk)


async def test_a_trunk_that_wants_no_diversion_gets_none(company: Company, phones: Phones) -> None:
    carrier = await phones.carrier()
    await company.forwards("101", "always", "102")
    await company.forwards("102", "always", MOBILE)
    async with trunks_say(company.sandbox, "send_diversion = no", "send_diversion = yes"):
        call = await carrier.number(CUSTOMER).dial(DID)
        on_mobile = await carrier.number(MOBILE).rings()
        assert on_mobile.invite.all("Diversion") == []
        await talk_and_part(call, on_mobile)


async def test_a_withheld_number_is_not_asserted_to_a_trunk_that_is_not_trusted(
    company: Company, phones: Phones
) -> None:
    carrier = await phones.carrier()
    await company.forwards("101", "always", "102")
    await company.forwards("102", "always", MOBILE)
    async with trunks_say(company.sandbox, "trust_id_outbound = no", "trust_id_outbound = yes"):
        call = await carrier.withheld(CUSTOMER).dial(DID)
        on_mobile = await carrier.number(MOBILE).rings()
        assert on_mobile.caller == "anonymous"
        assert on_mobile.invite.header("P-Asserted-Identity") is None
        assert CUSTOMER[1:] not in on_mobile.invite.text
        await talk_and_part(call, on_mobile)


async def test_a_forward_inside_shows_the_colleague_as_plain_dial_does(company: Company, phones: Phones) -> None:
    bruno = await phones.register("102")
    claire = await phones.register("103")
    plain = await bruno.dial("9103")
    await (await claire.rings()).answer()
    await plain.answered()
    await plain.hangup()
    await company.forwards("101", "always", "103")
    call = await bruno.dial("101")
    await talk_and_part(call, await claire.rings())
    for answer in (180, 200):
        usual = await plain.receives(answer)
        ours = await call.receives(answer)
        assert ours.header("P-Asserted-Identity") == usual.header("P-Asserted-Identity")
    assert "103" in ((await call.receives(200)).header("P-Asserted-Identity") or "")


async def test_history_info_where_the_trunk_wants_it(company: Company, phones: Phones) -> None:
    carrier = await phones.carrier()
    await company.forwards("101", "external", "102", rings=1)
    await company.forwards("102", "external", MOBILE, rings=1)
    bruno = await phones.register("102")
    async with (
        company.configured(setting("trunks.carrier", "history_info", "true")),
        sipp.phone(company.sandbox, "101", [486]),
    ):
        call = await carrier.number(CUSTOMER).dial(DID)
        await bruno.rings()
        on_mobile = await carrier.number(MOBILE).rings()
        assert on_mobile.invite.all("History-Info") == [
            f"<sip:+33170000101{AT};index=1",
            f"<sip:+33170000102{AT[:-1]};cause=486>;index=1.1;mp=1",
            f"<sip:{MOBILE}{AT[:-1]};cause=408>;index=1.1.1;mp=1.1",
        ]
        assert len(on_mobile.invite.all("Diversion")) == 2
        await talk_and_part(call, on_mobile)
        await company.forwards("103", "always", MOBILE)
        again = await carrier.withheld(CUSTOMER).dial("+33170000103")
        on_mobile = await carrier.number(MOBILE).rings()
        assert on_mobile.invite.all("History-Info") == [
            f"<sip:+33170000103{AT};index=1",
            f"<sip:{MOBILE}{AT[:-1]};cause=302>;index=1.1;mp=1",
        ]
        assert len(on_mobile.invite.all("Diversion")) == 1
        await talk_and_part(again, on_mobile)
