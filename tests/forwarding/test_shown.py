"""Whose number a forwarded leg shows, who it says diverted it, and whether it must be confirmed."""

import pytest
from msgspec.structs import replace

from comunik_pbx.asterisk.plan_encoding import decode, encode
from comunik_pbx.forwarding.call import Call, Caller
from comunik_pbx.forwarding.directory import CallerIdPolicy, Extension, Trunk
from comunik_pbx.forwarding.numbers import NumberFormat
from comunik_pbx.forwarding.plan import plan
from comunik_pbx.forwarding.steps import Confirm, Diversion, Forward, Reason
from tests.forwarding.company import (
    BACKUP,
    CARRIER,
    MOBILE,
    NOW,
    directory,
    extension,
    inside_call,
    outside_call,
    rules,
)

COMPANY = replace(CARRIER, company_number="+33170000100")
NO_DID = extension("101", did=())
HIDDEN = Call(caller=Caller(number="+33140000000", withheld=True), called="101")


def legs(call: Call, *people: Extension, trunks: tuple[Trunk, ...] = (CARRIER,), its: str = "") -> list[Forward]:
    """The outside legs of a call to 101, which forwards it to the mobile at once."""
    written = its.split(", ") if its else [f"101 always 0 {MOBILE}"]
    company = directory(*people, trunks=trunks) if people else directory(trunks=trunks)
    made = plan(call, company, rules(*written), NOW)
    assert decode(encode(made.steps)) == made.steps
    return [step for step in made.steps if isinstance(step, Forward)]


@pytest.mark.parametrize(
    ("policy", "call", "trunk", "people", "shown"),
    [
        ("original", outside_call(), CARRIER, (), "+33140000000"),
        ("original", outside_call(number="0033140000000"), CARRIER, (), "+33140000000"),
        ("original", outside_call(), BACKUP, (), "0140000000"),
        ("original", outside_call(number=None), CARRIER, (), None),
        ("original", outside_call(number="101"), CARRIER, (), None),
        ("original", HIDDEN, CARRIER, (), None),
        ("original", inside_call("102"), CARRIER, (), "+33170000102"),
        ("original", inside_call("102"), BACKUP, (), "0170000102"),
        ("original", inside_call("102"), COMPANY, (extension("101"), extension("102", did=())), "+33170000100"),
        ("original", inside_call("102"), CARRIER, (extension("101"), extension("102", did=())), "+33170000101"),
        ("original", inside_call("102"), CARRIER, (NO_DID, extension("102", did=())), "anonymous"),
        ("original", inside_call(""), CARRIER, (), "+33170000101"),
        ("forwarder", outside_call(), CARRIER, (), "+33170000101"),
        ("forwarder", HIDDEN, CARRIER, (), "+33170000101"),
        ("forwarder", outside_call(), COMPANY, (NO_DID,), "+33170000100"),
        ("forwarder", outside_call(), CARRIER, (NO_DID,), "anonymous"),
        ("company", inside_call("102"), COMPANY, (), "+33170000100"),
        ("company", outside_call(), replace(COMPANY, number_format=NumberFormat.NATIONAL), (), "0170000100"),
    ],
)
def test_shown(policy: str, call: Call, trunk: Trunk, people: tuple[Extension, ...], shown: str | None) -> None:
    (leg,) = legs(call, *people, trunks=(replace(trunk, caller_id=CallerIdPolicy(policy)),))
    assert leg.shown == shown
    assert leg.caller_id == policy


def test_each_trunk_has_its_own_policy() -> None:
    first, second = legs(outside_call(), trunks=(replace(CARRIER, caller_id=CallerIdPolicy.FORWARDER), BACKUP))
    assert (first.shown, second.shown) == ("+33170000101", "0140000000")
    assert (first.diversion.number, second.diversion.number) == ("+33170000101", "0170000101")


def test_every_hop_is_told_newest_first() -> None:
    (leg,) = legs(outside_call(), its=f"101 always 0 102, 102 external 2 103, 103 always 0 {MOBILE}")
    assert leg.diversion == Diversion("103", "+33170000103", Reason.UNCONDITIONAL, 3)
    assert leg.earlier == (
        Diversion("102", "+33170000102", Reason.NO_ANSWER, 2),
        Diversion("101", "+33170000101", Reason.UNCONDITIONAL, 1),
    )


def test_who_has_no_public_number_diverts_namelessly() -> None:
    people = (NO_DID, extension("102"), extension("103", did=()))
    (leg,) = legs(outside_call(), *people, its=f"101 always 0 102, 102 external 2 103, 103 always 0 {MOBILE}")
    assert [one.number for one in (leg.diversion, *leg.earlier)] == ["anonymous", "+33170000102", "anonymous"]


@pytest.mark.parametrize(
    ("trunk", "own", "call", "confirm"),
    [
        (False, None, outside_call(), None),
        (True, None, outside_call(), Confirm("fr", "0140000000")),
        (True, None, outside_call(number="+442079460000"), Confirm("fr", "00442079460000")),
        (True, None, outside_call(number="sales"), Confirm("fr")),
        (True, None, HIDDEN, Confirm("fr")),
        (True, None, inside_call("102"), Confirm("fr", "102")),
        (True, False, outside_call(), None),
        (False, True, outside_call(), Confirm("fr", "0140000000")),
    ],
)
def test_confirmation(trunk: bool, own: bool | None, call: Call, confirm: Confirm | None) -> None:
    alice = extension("101", language="fr", confirm=own)
    (leg,) = legs(call, alice, extension("102"), trunks=(replace(CARRIER, confirm=trunk),))
    assert leg.confirm == confirm


@pytest.mark.parametrize(
    ("policy", "call", "received", "written"),
    [
        pytest.param("original", outside_call(), "+33140000000", "", id="as it came"),
        pytest.param("original", outside_call(number="0033140000000"), "0033140000000", "+33140000000", id="otherwise"),
        pytest.param("original", outside_call(), "", "+33140000000", id="not known how it came"),
        pytest.param("original", HIDDEN, "+33140000000", "", id="withheld: as it came too"),
        pytest.param("forwarder", outside_call(), "+33140000000", "+33170000101", id="another's"),
    ],
)
def test_a_plan_need_not_say_the_callers_number_as_it_came(
    policy: str, call: Call, received: str, written: str
) -> None:
    """So the plan is the same for many callers; but the forwarder's own number the dialplan must know as that."""
    [leg] = legs(call, trunks=(replace(CARRIER, caller_id=CallerIdPolicy(policy)),))
    [carried_out] = decode(encode((leg,), received=received))
    assert isinstance(carried_out, Forward)
    assert (carried_out.shown or "") == written
    assert replace(carried_out, shown=leg.shown) == leg


def test_a_number_that_is_the_forwarders_too_is_said() -> None:
    """After a 403 the dialplan tries the forwarder's number, unless it was that one already."""
    call = outside_call(number="+33170000100")
    [leg] = legs(call, NO_DID, trunks=(COMPANY,))
    assert leg.shown == leg.diversion.number == call.caller.number
    assert decode(encode((leg,), received="+33170000100")) == (leg,)
