"""`explain` tells where a call would go, with the rules in force, while nothing runs."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run


def test_json_is_as_the_contract_says(run: Run) -> None:
    run("rules", "set", "101", "internal", "--to", "+33612345678", "--rings", "3")
    answer = json.loads(run("explain", "103", "101", "--json").good)
    assert {key: answer[key] for key in ("caller", "called", "origin")} == {
        "caller": "103",
        "called": "101",
        "origin": "internal",
    }
    assert answer["steps"][0] == {
        "kind": "ring",
        "extension": "101",
        "endpoints": ["101", "alice-mobile"],
        "rings": 3,
        "seconds": 15.0,
    }
    assert answer["steps"][1] == {
        "kind": "forward",
        "to": "+33612345678",
        "trunk": "carrier",
        "seconds": 60.0,
        "reason": "no-answer",
        "diverting": "101",
    }
    assert answer["steps"][-1] == {"kind": "voicemail", "mailbox": "101@default", "greeting": "unavailable"}
    assert answer["trace"][0]["rule"] == "internal"
    assert answer["trace"][0]["followed"] is True


@pytest.mark.parametrize(
    ("caller", "origin", "shown"),
    [
        ("103", "internal", "103"),
        ("+33140000000", "external", "+33140000000"),
        ("01 40 00 00 00", "external", "+33140000000"),
        ("anonymous", "external", "anonymous"),
        ("+33170000101", "internal", "101"),
        ("3900", "external", "3900"),
    ],
)
def test_callers(caller: str, origin: str, shown: str, run: Run) -> None:
    answer = json.loads(run("explain", caller, "102", "--json").good)
    assert (answer["caller"], answer["origin"]) == (shown, origin)


def test_called_may_be_a_did_in_any_writing(run: Run) -> None:
    assert json.loads(run("explain", "anonymous", "01 70 00 01 01", "--json").good)["called"] == "101"


def test_unknown_called_ends_with_cause_1(run: Run) -> None:
    assert json.loads(run("explain", "anonymous", "999", "--json").good)["steps"] == [{"kind": "end", "cause": 1}]


def test_text(run: Run) -> None:
    lines = run("explain", "103", "101").good.splitlines()
    assert lines[0] == "103 calls 101 (Alice Martin): inside call"
    assert lines[1] == "  1. ring 101 (101, alice-mobile) 6 times, 30 s"
    assert "because" in lines


def test_at_a_moment(run: Run) -> None:
    run("rules", "set", "101", "always", "--to", "103", "--until", "2031-01-01 12:00")
    before = json.loads(run("explain", "104", "101", "--json", "--at", "2031-01-01 11:59").good)
    after = json.loads(run("explain", "104", "101", "--json", "--at", "2031-01-01 12:00").good)
    assert before["steps"][0]["extension"] == "103"
    assert after["steps"][0]["extension"] == "101"
    assert after["trace"][0]["why"] == "expired"


def test_makes_no_store(run: Run, main: Path) -> None:
    run("explain", "103", "101")
    assert not (main.parent / "comunik.db").exists()


def test_caller_who_is_nobody(run: Run) -> None:
    expected = "the caller 'bob' is nobody; right: an extension, a number such as +33140000000, or anonymous"
    assert run("explain", "bob", "101").refusal == expected


def test_wrong_moment_is_usage(run: Run) -> None:
    said = run("explain", "103", "101", "--at", "noon")
    assert said.status == 2
    assert "'noon' is not a moment" in said.err
