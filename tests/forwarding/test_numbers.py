"""Numbers as people write them, and those that calls may not be forwarded to."""

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comunik_pbx.forwarding import numbers
from comunik_pbx.forwarding.numbers import NumberFormat, NumberPolicy
from comunik_pbx.forwarding.refusals import RefusalCode

FRANCE = NumberPolicy(country="FR", allowed_countries=("FR", "BE"), allow=("+4122*",), deny=("+33145*", "+33612000000"))


@pytest.mark.parametrize(
    "written",
    ["06 12 34 56 78", "06.12.34.56.78", "+33612345678", "+33 (0)6 12 34 56 78", "0033612345678", "06-12-34-56-78"],
)
def test_a_number_is_read_as_people_write_it(written: str) -> None:
    assert FRANCE.e164(written) == "+33612345678"
    assert FRANCE.refusal(written) is None


@pytest.mark.parametrize(
    "written", ["", "bonjour", "+", "06 12 34", "102", "+33612345678;ext=1", "1" * 60, "06 12 34 56 78 90 12"]
)
def test_what_is_no_number(written: str) -> None:
    assert FRANCE.e164(written) is None
    assert FRANCE.refusal(written) is not None


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("112", RefusalCode.EMERGENCY),
        ("15", RefusalCode.EMERGENCY),
        ("0899 12 34 56", RefusalCode.PREMIUM),
        ("0810 12 34 56", RefusalCode.SHARED_COST),
        ("3639", RefusalCode.SHORT_CODE),
        ("888", RefusalCode.SHORT_CODE),
        ("*21*0612345678#", RefusalCode.STAR_CODE),
        ("*98", RefusalCode.STAR_CODE),
        ("0145 00 00 00", RefusalCode.DENIED),
        ("+33 6 12 00 00 00", RefusalCode.DENIED),
        ("+1 415 555 2671", RefusalCode.COUNTRY),
        ("06 12 34", RefusalCode.NOT_A_NUMBER),
        ("abc", RefusalCode.NOT_A_NUMBER),
    ],
)
def test_a_number_that_is_refused(written: str, code: RefusalCode) -> None:
    refusal = FRANCE.refusal(written)
    assert refusal is not None
    assert refusal.code is code
    assert refusal.words("fr") != refusal.words("en")


def test_other_countries_only_if_allowed() -> None:
    assert FRANCE.refusal("+32 2 555 12 12") is None
    assert FRANCE.refusal("+41 22 730 51 11") is None  # by the allow list
    home = NumberPolicy(country="FR")  # nothing said: the own country
    assert home.refusal("+33612345678") is None
    assert home.refusal("+3225551212") is not None


def test_each_trunk_gets_the_number_as_it_wants_it() -> None:
    assert FRANCE.formatted("+33612345678", NumberFormat.E164) == "+33612345678"
    assert FRANCE.formatted("+33612345678", NumberFormat.NATIONAL) == "0612345678"
    assert FRANCE.formatted("+3225551212", NumberFormat.NATIONAL) == "003225551212"
    assert FRANCE.formatted("+33612345678", NumberFormat.INTERNATIONAL_00) == "0033612345678"


CODES = [str(code) for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE]


@given(st.sampled_from([*CODES, "0", "21", "999"]), st.text("0123456789", max_size=16))
def test_what_is_in_e164_already_is_what_phonenumbers_makes_of_it(code: str, rest: str) -> None:
    """Most callers' numbers are not parsed: those are told from others by their country's lengths and prefix."""
    assert FRANCE.e164(f"+{code}{rest}") == parsed_e164(f"+{code}{rest}")


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_numbers_of_every_country(region: str) -> None:
    for kind in phonenumbers.PhoneNumberType.values():
        if (example := phonenumbers.example_number_for_type(region, kind)) is not None:
            number = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
            assert FRANCE.e164(number) == parsed_e164(number)
            assert FRANCE.e164(f"{number[:3]}0{number[3:]}") == parsed_e164(f"{number[:3]}0{number[3:]}")


@pytest.mark.parametrize(
    ("number", "known"),
    [("+33612345678", True), ("+330612345678", False), ("+3361234567", False), ("+541143219876", False), ("+", False)],
)
def test_a_callers_number_is_seldom_parsed(number: str, known: bool) -> None:
    assert numbers._is_e164(number) is known


def parsed_e164(number: str) -> str | None:
    try:
        parsed = phonenumbers.parse(number, "FR")
    except phonenumbers.NumberParseException:
        return None
    e164 = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    return e164 if phonenumbers.is_possible_number(parsed) else None


@given(st.text(max_size=40))
def test_any_text_is_a_number_in_e164_or_none(text: str) -> None:
    number = FRANCE.e164(text)
    assert number is None or (number[0] == "+" and number[1:].isascii() and number[1:].isdigit())
    assert FRANCE.refusal(text) is None or FRANCE.refusal(text).words()  # type: ignore[union-attr]
