"""Whose number a forwarded call shows: each trunk has its policy, and outsiders never see an extension's number."""

import csv
import re
from collections.abc import Sequence
from contextlib import AsyncExitStack

import pytest

from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.phones import Phones
from comunik_pbx.sandbox.sip_message import SipMessage
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, MOBILE, Company, setting, told, trunks_say
from tests.stories.talking import talk_and_part

pytestmark = PBX

COMPANY_NUMBER = "+33170000100"
DID = "+33170000101"
COLLEAGUES_DID = "+33170000102"


def shown(invite: SipMessage) -> tuple[str | None, str | None]:
    """Whom an INVITE shows: in From, and asserted (RFC 3325)."""
    return invite.user_of("From"), invite.user_of("P-Asserted-Identity")


async def trunk_says(company: Company, stack: AsyncExitStack, settings: Sequence[tuple[str, str]]) -> None:
    for key, value in settings:
        await stack.enter_async_context(company.configured(setting("trunks.carrier", key, value)))


@pytest.mark.parametrize(
    ("policy", "number_format", "number", "diverting"),
    [
        ("original", "e164", CUSTOMER, DID),
        ("original", "national", "0140000000", "0170000101"),
        ("forwarder", "e164", DID, DID),
        ("forwarder", "international-00", "0033170000101", "0033170000101"),
        ("company", "national", "0170000100", "0170000101"),
    ],
)
async def test_an_outside_call(
    company: Company, phones: Phones, policy: str, number_format: str, number: str, diverting: str
) -> None:
    carrier = await phones.carrier()
    async with AsyncExitStack() as stack:
        await trunk_says(company, stack, [("caller_id", f'"{policy}"'), ("number_format", f'"{number_format}"')])
        await company.forwards("101", "external", MOBILE)
        call = await carrier.number(CUSTOMER).dial(DID)
        mobile = {"e164": MOBILE, "national": "0612345678", "international-00": "0033612345678"}[number_format]
        on_mobile = await carrier.number(mobile).rings()
        assert shown(on_mobile.invite) == (number, number)
        assert on_mobile.diversion == (diverting, "unconditional")
        assert on_mobile.header("Privacy") is None
        await talk_and_part(call, on_mobile)
    record = await company.record()
    assert record.caller == CUSTOMER
    rows = list(csv.reader((company.sandbox.layout.log / "cdr-csv" / "Master.csv").read_text().splitlines()))
    assert rows[-1][1] == CUSTOMER, "what a leg shows is not the caller's number in the CDR"


@pytest.mark.parametrize(("extension", "number"), [("102", COLLEAGUES_DID), ("111", COMPANY_NUMBER)])
async def test_an_inside_caller_shows_a_number_that_can_be_called_back(
    company: Company, phones: Phones, extension: str, number: str
) -> None:
    colleague = await phones.register(extension)
    mobile = (await phones.carrier()).number(MOBILE)
    await company.forwards("101", "internal", MOBILE)
    call = await colleague.dial("101")
    on_mobile = await mobile.rings()
    assert shown(on_mobile.invite) == (number, number)
    assert f"sip:{extension}@" not in on_mobile.invite.text
    await talk_and_part(call, on_mobile)
    assert told(await company.record()) == "internal live: forward carrier ANSWER/16 -> answered"


EXTENSIONS = re.compile(r"(?<![0-9A-Za-z.+-])1(?:01|02|11|12)(?![0-9A-Za-z.])")


@pytest.mark.parametrize(
    ("policy", "company_number"),
    [
        ("original", COMPANY_NUMBER),
        ("forwarder", COMPANY_NUMBER),
        ("company", COMPANY_NUMBER),
        ("original", None),
        ("forwarder", None),
    ],
)
async def test_no_extensions_number_goes_outside(
    company: Company, phones: Phones, policy: str, company_number: str | None
) -> None:
    """In no header at all, whoever calls and forwards: with and without DIDs, names, a company's number."""
    callers = [await phones.register("102"), await phones.register("111")]
    await company.forwards("112", "always", "101")  # no DID: by 112 and 101
    await company.forwards("101", "always", MOBILE)

    def change(text: str) -> str:
        text = setting("trunks.carrier", "caller_id", f'"{policy}"')(text)
        text = setting("trunks.carrier", "history_info", "true")(text)
        return text if company_number else text.replace(f'company_number = "{COMPANY_NUMBER}"\n', "")

    async with company.configured(change), sipp.switch(company.sandbox, "carrier", [486]) as carrier:
        for caller in callers:
            for number in ("112", "*30112", "*31112"):
                assert (await (await caller.dial(number)).refused()).status == 486
        invites = carrier.invites
    assert len(invites) == 6
    headers = ("From", "P-Asserted-Identity", "Remote-Party-ID", "Contact", "Diversion", "History-Info")
    told = [f"{name}: {text}" for invite in invites for name, text in invite.headers if EXTENSIONS.search(text)]
    assert [line for line in told if not line.startswith(("Via", "Call-ID", "CSeq", "Content-Length"))] == []
    assert all(invite.header(name) for invite in invites for name in headers if name[0] != "P" and name[0] != "R")
    if policy == "original":
        assert [invite.user_of("From") for invite in invites[2::3]] == ["anonymous", "anonymous"], "withheld"


async def test_a_withheld_number_gives_way_to_the_companys(company: Company, phones: Phones) -> None:
    carrier = await phones.carrier()
    async with company.configured(setting("trunks.carrier", "caller_id", '"company"')):
        await company.forwards("101", "external", MOBILE)
        call = await carrier.withheld(CUSTOMER).dial(DID)
        on_mobile = await carrier.number(MOBILE).rings()
        assert shown(on_mobile.invite) == (COMPANY_NUMBER, COMPANY_NUMBER)
        assert CUSTOMER[1:] not in on_mobile.invite.text
        await talk_and_part(call, on_mobile)


async def test_the_carrier_refuses_the_callers_number_and_takes_the_forwarders(
    company: Company, phones: Phones
) -> None:
    backup = await phones.carrier("backup")
    await company.forwards("101", "external", MOBILE)
    async with sipp.switch(company.sandbox, "carrier", [403]) as strict:
        call = await backup.number(CUSTOMER).dial(DID)
        on_mobile = await backup.number(MOBILE).rings()
        assert [shown(invite) for invite in strict.invites] == [(CUSTOMER, CUSTOMER), (DID, DID)], "one more try"
        assert [invite.user_of("Diversion") for invite in strict.invites] == [DID, DID]
        assert shown(on_mobile.invite) == (CUSTOMER, CUSTOMER), "the next trunk hears of the caller himself again"
        await talk_and_part(call, on_mobile)
    record = await company.record()
    assert told(record) == (
        "external live: forward carrier CHANUNAVAIL/21, forward carrier CHANUNAVAIL/21, "
        "forward backup ANSWER/16 -> answered"
    )


async def test_a_mobile_that_declines_is_not_called_twice(company: Company, phones: Phones) -> None:
    backup = await phones.carrier("backup")
    await company.forwards("111", "external", MOBILE)
    async with sipp.switch(company.sandbox, "carrier", [180, 603]) as carrier:
        call = await backup.number(CUSTOMER).dial("111")
        assert (await call.refused()).status == 403
        assert len(carrier.invites) == 1
    assert backup.number(MOBILE).rang == 0


async def test_a_network_that_takes_no_anonymous_calls_is_not_shown_another_number(
    company: Company, phones: Phones
) -> None:
    """433 (RFC 5079) is the called person's wish: her service that rejects anonymous calls is not got round."""
    backup = await phones.carrier("backup")
    await company.forwards("111", "external", MOBILE)
    async with sipp.switch(company.sandbox, "carrier", [433]) as carrier:
        call = await backup.withheld(CUSTOMER).dial("111")
        on_mobile = await backup.number(MOBILE).rings()
        assert on_mobile.caller == "anonymous"
        assert len(carrier.invites) == 1
        await call.hangup()


async def test_from_is_the_account_and_the_caller_is_asserted_where_the_trunk_wants_that(
    company: Company, phones: Phones
) -> None:
    """`from_user` of the trunk's endpoint."""
    carrier = await phones.carrier()
    await company.forwards("101", "external", MOBILE)
    written = "from_domain = sandbox.example"
    async with trunks_say(company.sandbox, f"{written}\nfrom_user = account7", written):
        call = await carrier.number(CUSTOMER).dial(DID)
        on_mobile = await carrier.number(MOBILE).rings()
        assert shown(on_mobile.invite) == ("account7", CUSTOMER)
        await call.hangup()
