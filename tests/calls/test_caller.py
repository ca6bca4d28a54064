import pytest

from comunik_pbx.calls.caller import caller
from comunik_pbx.forwarding.call import Caller, Origin
from tests.forwarding.company import directory


@pytest.mark.parametrize(
    ("endpoint", "number", "presentation", "expected"),
    [
        ("102", "102", "allowed_not_screened", Caller(extension="102", number="102")),
        ("carrier", "0140000000", "allowed", Caller(number="+33140000000")),
        ("carrier", "+33140000000", "prohib_passed_screen", Caller(number="+33140000000", withheld=True)),
        ("carrier", "", "unavailable", Caller(withheld=True)),
        ("carrier", "anonymous", "allowed", Caller(number="anonymous")),
        ("carrier", "101", "allowed", Caller(number="101")),  # a forged caller id proves nothing
        ("", "101", "allowed", Caller(number="101")),
        ("unknown", "101", "allowed", Caller(number="101")),
    ],
)
def test_who_calls(endpoint: str, number: str, presentation: str, expected: Caller) -> None:
    found = caller(directory(), endpoint, number, presentation)
    assert found == expected
    assert found.origin is (Origin.INTERNAL if expected.extension else Origin.EXTERNAL)
