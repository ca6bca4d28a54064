"""Telephone numbers: read as people write them, kept as E.164, checked against what may be dialled.

Numbering plans are those of `phonenumbers` (Google's libphonenumber): lengths and ranges come from there,
never from a count of digits.
"""

import re
from enum import StrEnum
from functools import lru_cache

import msgspec
import phonenumbers
from phonenumbers import UNKNOWN_REGION, PhoneMetadata, PhoneNumberFormat, PhoneNumberType

from comunik_pbx.forwarding.refusals import Refusal, RefusalCode


class NumberFormat(StrEnum):
    """How a trunk wants numbers: `+33612345678`, `0612345678` (other countries 00…), or `0033612345678`."""

    E164 = "e164"
    NATIONAL = "national"
    INTERNATIONAL_00 = "international-00"


class NumberPolicy(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """What may be dialled. `country` is the default region (ISO 3166), `allowed_countries` where forwards may go.

    `allow` and `deny` hold numbers or prefixes with `*` (`+33899*`), E.164; deny wins, allow adds to the
    countries. Emergency, premium and shared-cost numbers, short codes and star codes are always refused.
    """

    country: str
    allowed_countries: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()

    def e164(self, written: str) -> str | None:
        """The E.164 form of a number as people write it, None if it is not a telephone number."""
        return written if _is_e164(written) else _e164(written, self.country)

    def refusal(self, written: str) -> Refusal | None:
        """Why calls may not be forwarded to this number, None if they may."""
        return _refusal(written, self)

    def formatted(self, number: str, style: NumberFormat) -> str:
        """An E.164 number as a trunk wants it, digits and `+` only."""
        return number if style is NumberFormat.E164 else _formatted(number, self.country, style)


# What people put between the digits of a number; anything else (letters, commas, semicolons) is no number.
_WRITTEN = re.compile(r"\+?[0-9 ().\-/\u00a0\u202f\u2011]{2,40}")

_REFUSED_TYPES = {
    PhoneNumberType.PREMIUM_RATE: RefusalCode.PREMIUM,
    PhoneNumberType.SHARED_COST: RefusalCode.SHARED_COST,
    PhoneNumberType.VOICEMAIL: RefusalCode.VOICEMAIL_ACCESS,
    PhoneNumberType.PAGER: RefusalCode.PREMIUM,
}


@lru_cache(maxsize=65536)
def _parsed(written: str, country: str) -> phonenumbers.PhoneNumber | None:
    if not _WRITTEN.fullmatch(written.strip()):
        return None
    try:
        return phonenumbers.parse(written, country)
    except phonenumbers.NumberParseException:
        return None


def _is_e164(written: str) -> bool:
    """Whether this is certainly the E.164 form of a number already, as a caller's is on most trunks.

    `phonenumbers` would say so too, but code that was not run for a moment is slow: to parse the number of each new
    caller cost a tenth of the service's CPU per call.
    """
    digits = written[1:]
    if written[:1] != "+" or not (digits.isascii() and digits.isdigit()):
        return False
    for length in (1, 2, 3):
        if (plan := _country_plan(digits[:length])) is not None:
            lengths, prefix = plan
            return len(digits) - length in lengths and not (prefix and digits.startswith(prefix, length))
    return False


@lru_cache(maxsize=1024)
def _country_plan(code: str) -> tuple[frozenset[int], str] | None:
    """The possible lengths of numbers behind a country code, and its national prefix (0 in France), if it has one.

    None if there is no such code, no length if more than a look at the first digit is needed (Argentina, Brazil …).
    """
    if code[:1] == "0" or (region := phonenumbers.region_code_for_country_code(int(code or 0))) == UNKNOWN_REGION:
        return None
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(int(code), region)
    prefix = metadata and metadata.national_prefix_for_parsing
    if metadata is None or metadata.general_desc is None or (prefix and not prefix.isdigit()):
        return frozenset(), ""
    return frozenset(metadata.general_desc.possible_length), prefix or ""


@lru_cache(maxsize=65536)
def _e164(written: str, country: str) -> str | None:
    number = _parsed(written, country)
    if number is None or not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


@lru_cache(maxsize=65536)
def _refusal(written: str, policy: NumberPolicy) -> Refusal | None:
    compact = re.sub(r"[^0-9A-Za-z+*#]", "", written)
    if "*" in compact or "#" in compact:
        return Refusal(RefusalCode.STAR_CODE, written)
    if phonenumbers.connects_to_emergency_number(compact, policy.country):
        return Refusal(RefusalCode.EMERGENCY, written)
    number = _parsed(written, policy.country)
    if number is None:
        return Refusal(RefusalCode.NOT_A_NUMBER, written)
    if not phonenumbers.is_valid_number(number):
        short = compact[0] not in "+0" and phonenumbers.is_possible_short_number_for_region(number, policy.country)
        return Refusal(RefusalCode.SHORT_CODE if short else RefusalCode.NOT_A_NUMBER, written)
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    if code := _REFUSED_TYPES.get(phonenumbers.number_type(number)):
        return Refusal(code, e164)
    if _listed(e164, policy.deny):
        return Refusal(RefusalCode.DENIED, e164)
    region = phonenumbers.region_code_for_number(number) or ""
    if region in (policy.allowed_countries or (policy.country,)) or _listed(e164, policy.allow):
        return None
    return Refusal(RefusalCode.COUNTRY, e164)


def _listed(e164: str, patterns: tuple[str, ...]) -> bool:
    return any(e164.startswith(p[:-1]) if p.endswith("*") else e164 == p for p in patterns)


@lru_cache(maxsize=65536)
def _formatted(number: str, country: str, style: NumberFormat) -> str:
    parsed = phonenumbers.parse(number, country)
    if style is NumberFormat.NATIONAL and parsed.country_code == phonenumbers.country_code_for_region(country):
        return re.sub(r"[^0-9]", "", phonenumbers.format_number(parsed, PhoneNumberFormat.NATIONAL))
    return "00" + number.removeprefix("+")
