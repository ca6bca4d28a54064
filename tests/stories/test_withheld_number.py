"""A caller withholds his number, which the network knows: nobody who must not see it does (RFC 3323, 3325)."""

from comunik_pbx.sandbox.phones import Phones
from tests.pbx import PBX
from tests.stories.company import CUSTOMER, MOBILE, Company, told
from tests.stories.talking import talk_and_part

pytestmark = PBX


async def test_withheld_number_is_shown_neither_at_the_desk_nor_on_the_mobile(company: Company, phones: Phones) -> None:
    alice = await phones.register("101")
    carrier = await phones.carrier()
    await company.forwards("101", "external", MOBILE, rings=1)

    call = await carrier.withheld(CUSTOMER).dial("+33170000101")
    at_desk = await alice.rings()
    assert at_desk.caller == "anonymous"
    assert CUSTOMER not in at_desk.invite.text

    on_mobile = await carrier.number(MOBILE).rings()
    invite = on_mobile.invite
    assert on_mobile.caller == "anonymous"
    assert "id" in (invite.header("Privacy") or "").split(";")
    shown = [name for name, value in invite.headers if CUSTOMER[1:] in value]
    assert set(shown) <= {"P-Asserted-Identity", "Remote-Party-ID"}, "only the carrier, who knows it already, is told"
    assert "privacy=full" in (invite.header("Remote-Party-ID") or "")
    assert on_mobile.diversion == ("+33170000101", "no-answer")
    await talk_and_part(call, on_mobile)

    record = await company.record()
    assert told(record) == "external live: ring 101 NOANSWER/19, forward carrier ANSWER/16 -> answered"
    assert record.caller == "anonymous"
    assert CUSTOMER not in str(record)
