"""Codes: who gets how many calls, how often and how long a code may be typed."""

import pytest

from comunik_pbx.calls.proofs import CODE_SECONDS, MOST_CALLS, MOST_TRIES, WINDOW_SECONDS, Progress, Proofs
from comunik_pbx.forwarding.refusals import Refusal, RefusalCode

MOBILE, OTHER = "+33612345678", "+33612345679"


def said(proofs: Proofs, extension: str = "101", number: str = MOBILE, now: float = 0.0) -> str:
    """A call that has ended and in which the code was heard."""
    code = proofs.begin(extension, number, now)
    assert isinstance(code, str), code
    proofs.reached(extension, number, Progress.SAID)
    proofs.ended(extension, number)
    return code


def code_of(refusal: object) -> RefusalCode | None:
    return refusal.code if isinstance(refusal, Refusal) else None


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 100000:05}"


def test_the_code_that_was_said_is_right_once() -> None:
    proofs = Proofs()
    code = said(proofs)
    assert len(code) == 5
    assert code.isdigit()
    assert code_of(proofs.typed("101", OTHER, code, 1)) is RefusalCode.NO_CODE, "of another number"
    assert code_of(proofs.typed("102", MOBILE, code, 1)) is RefusalCode.NO_CODE, "of another extension"
    assert proofs.typed("101", MOBILE, code, 1) is None
    assert proofs.typed("101", MOBILE, code, 1) is None, "until it has been kept: the store may be away"
    proofs.used("101", MOBILE)
    assert code_of(proofs.typed("101", MOBILE, code, 1)) is RefusalCode.NO_CODE


def test_three_tries() -> None:
    proofs = Proofs()
    code = said(proofs)
    for _ in range(MOST_TRIES):
        assert proofs.progress("101", MOBILE, 1) is Progress.SAID
        assert code_of(proofs.typed("101", MOBILE, wrong(code), 1)) is RefusalCode.WRONG_CODE
    assert code_of(proofs.typed("101", MOBILE, code, 1)) is RefusalCode.NO_CODE
    assert proofs.progress("101", MOBILE, 1) is None
    again = said(proofs, now=2)
    assert proofs.typed("101", MOBILE, again, 3) is None


@pytest.mark.parametrize("typed", ["", "é", "0" * 1000, "1 2 3 4 5"])
def test_whatever_is_typed_is_only_wrong(typed: str) -> None:
    proofs = Proofs()
    said(proofs)
    assert code_of(proofs.typed("101", MOBILE, typed, 1)) is RefusalCode.WRONG_CODE


def test_ten_minutes() -> None:
    proofs = Proofs()
    code = said(proofs)
    assert proofs.typed("101", MOBILE, code, CODE_SECONDS - 1) is None
    assert code_of(proofs.typed("101", MOBILE, code, CODE_SECONDS)) is RefusalCode.NO_CODE
    assert proofs.progress("101", MOBILE, CODE_SECONDS) is None


def test_a_code_that_nobody_heard_is_not_to_be_guessed() -> None:
    proofs = Proofs()
    code = proofs.begin("101", MOBILE, 0)
    assert isinstance(code, str)
    for progress in (Progress.CALLING, Progress.ASKED, Progress.UNHEARD):
        proofs.reached("101", MOBILE, progress)
        assert code_of(proofs.typed("101", MOBILE, code, 1)) is RefusalCode.NO_CODE
    proofs.ended("101", MOBILE)
    assert proofs.progress("101", MOBILE, 1) is Progress.UNHEARD


def test_one_call_at_a_time_of_an_extension_and_to_a_number() -> None:
    proofs = Proofs()
    first = proofs.begin("101", MOBILE, 0)
    assert isinstance(first, str)
    assert code_of(proofs.begin("101", OTHER, 1)) is RefusalCode.PROOF_PENDING
    assert code_of(proofs.begin("102", MOBILE, 1)) is RefusalCode.PROOF_PENDING
    assert isinstance(proofs.begin("102", OTHER, 1), str)
    proofs.reached("101", MOBILE, Progress.SAID)
    proofs.ended("101", MOBILE)
    second = said(proofs, now=2)
    assert proofs.typed("101", MOBILE, second, 3) is None, "the newer code"


def test_three_calls_an_hour_of_an_extension_and_to_a_number() -> None:
    proofs = Proofs()
    for call in range(MOST_CALLS):
        said(proofs, "101", f"+3361234567{call}", now=call)
    assert code_of(proofs.begin("101", OTHER, 10)) is RefusalCode.PROOF_CALLS, "whatever the number"
    for call in range(MOST_CALLS):
        said(proofs, f"20{call}", OTHER, now=call)
    assert code_of(proofs.begin("301", OTHER, 10)) is RefusalCode.PROOF_CALLS, "whoever asks"
    assert code_of(proofs.begin("101", MOBILE, WINDOW_SECONDS - 1)) is RefusalCode.PROOF_CALLS
    assert isinstance(proofs.begin("101", MOBILE, WINDOW_SECONDS + 1), str)


def test_nothing_is_remembered_for_ever() -> None:
    proofs = Proofs()
    for extension in range(1000):
        said(proofs, str(extension), f"+3361234{extension:04}", now=extension)
    assert proofs.progress("1", MOBILE, 1000 + WINDOW_SECONDS) is None
    assert not proofs._proofs
    assert not proofs._calls
