"""What may be saved."""

import pytest

from comunik_pbx.forwarding.refusals import Refusal, RefusalCode
from comunik_pbx.forwarding.rules import ExtensionRules, Rule, RuleKind, ToExtension, ToNumber, ToVoicemail, effective
from comunik_pbx.forwarding.saving import read_destination, refusal_to_save
from tests.forwarding.company import MOBILE, directory, extension, rules, to


def rule(line: str, **changes: object) -> Rule:
    number, kind, rings, where = line.split()
    return Rule(extension=number, kind=RuleKind(kind), rings=int(rings), to=to(where), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("voicemail", ToVoicemail()),
        ("102", ToExtension("102")),
        ("extension 102", ToExtension("102")),
        ("199", ToExtension("199")),
        ("06 12 34 56 78", ToNumber(MOBILE)),
        ("number 06 12 34 56 78", ToNumber(MOBILE)),
        ("+33 1 70 00 01 02", ToNumber("+33170000102")),
        ("0899123456", Refusal(RefusalCode.PREMIUM, "+33899123456")),
        ("3639", Refusal(RefusalCode.SHORT_CODE, "3639")),
        ("chez moi", Refusal(RefusalCode.NOT_A_NUMBER, "chez moi")),
        ("", Refusal(RefusalCode.NOT_A_NUMBER, "")),
    ],
)
def test_a_destination_as_people_write_it(written: str, expected: object) -> None:
    assert read_destination(written, directory()) == expected


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("101 always 0 102", None),
        ("101 internal 12 102", None),
        ("101 internal 13 102", RefusalCode.RINGS),
        ("101 always 0 101", RefusalCode.SELF),
        ("101 external 3 +33170000101", RefusalCode.SELF),
        ("101 always 0 199", RefusalCode.UNKNOWN_EXTENSION),
        ("199 always 0 101", RefusalCode.UNKNOWN_EXTENSION),
        ("101 always 0 +33899123456", RefusalCode.PREMIUM),
        ("103 always 0 101", RefusalCode.CYCLE),
        ("103 always 0 +33170000101", RefusalCode.CYCLE),
        ("103 external 3 101", None),
        ("104 always 0 101", None),
    ],
)
def test_a_rule_to_save(line: str, code: RefusalCode | None) -> None:
    present = rules("101 always 0 102", "102 always 0 103")
    refusal = refusal_to_save(rule(line), directory(), present)
    assert (refusal.code if refusal else None) == code


def test_a_cycle_names_its_extensions_and_may_be_saved_when_off() -> None:
    present = rules("101 always 0 102", "102 always 0 103")
    refusal = refusal_to_save(rule("103 always 0 101"), directory(), present)
    assert refusal == Refusal(RefusalCode.CYCLE, "103 → 101 → 102 → 103")
    assert refusal_to_save(rule("103 always 0 101", enabled=False), directory(), present) is None


def test_voicemail_needs_a_mailbox() -> None:
    company = directory(extension("101", mailbox=None))
    assert refusal_to_save(rule("101 always 0 voicemail"), company, {}) == Refusal(RefusalCode.NO_MAILBOX, "101")


def test_the_users_rule_wins_unless_the_default_is_locked() -> None:
    default, own = rule("101 always 0 102"), rule("101 always 0 103", version=4)
    locked = rule("101 always 0 102", locked=True)
    stored = {"101": ExtensionRules(always=own)}
    assert effective({"101": ExtensionRules(always=default)}, stored)["101"].always == own
    assert effective({"101": ExtensionRules(always=locked)}, stored)["101"].always == locked
    assert effective({"101": ExtensionRules(internal=default)}, stored)["101"] == ExtensionRules(
        always=own, internal=default
    )
    assert effective({}, stored) == stored
    refusal = refusal_to_save(own, directory(), {"101": ExtensionRules(always=locked)})
    assert refusal is not None
    assert refusal.code is RefusalCode.LOCKED
