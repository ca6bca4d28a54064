"""`number …`: who vouches for outside numbers, and what `check` and `explain` say of those nobody has proven."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run

MOBILE = "+33612345678"


@pytest.fixture
def proving(main: Path) -> Path:
    """A proof is needed from now on."""
    text = main.read_text()
    main.write_text(text.replace("[forwarding]\n", "[forwarding]\nprove_numbers = true\n"))
    return main


def explained(run: Run) -> list[str]:
    steps = json.loads(run("explain", "+33140000000", "101", "--json").good)["steps"]
    return [step["to"] for step in steps if step["kind"] == "forward"]


def test_what_an_admin_sets_by_command_is_proven_by_his_word(proving: Path, run: Run) -> None:
    assert run("number", "list").good == "no number has been proven"
    run("rules", "set", "101", "always", "--to", MOBILE)
    run("rules", "set", "101", "internal", "--to", "102")
    run("rules", "set", "103", "internal", "--to", "01 70 00 01 01")  # Alice's own DID
    assert explained(run) == [MOBILE, MOBILE]
    (one,) = json.loads(run("number", "list", "--json").good)
    assert (one["extension"], one["number"], one["proven_by"]) == ("101", MOBILE, "cli:nadia")
    assert run("number", "list", "103").good == "no number has been proven"


def test_a_number_no_longer_proven_is_not_called_and_check_says_so(proving: Path, run: Run) -> None:
    run("rules", "set", "101", "always", "--to", MOBILE)
    assert "note" not in run("check").good
    assert run("number", "remove", "101", "06 12 34 56 78").good == f"{MOBILE} must be proven again by 101"
    assert explained(run) == []
    why = json.loads(run("explain", "+33140000000", "101", "--json").good)["trace"][0]
    assert (why["followed"], why["why"].split(":")[0]) == (False, "refused")
    assert f"note: rule 101/always is not followed until {MOBILE} is proven" in run("check").good
    reason = run("number", "remove", "101", MOBILE).refusal
    assert reason == f"101 has not proven {MOBILE}; right: one of `comunik-pbx number list 101`"
    assert run("number", "prove", "101", "0612345678").good == "cli:nadia vouches for 1 number more"
    assert explained(run) == [MOBILE, MOBILE]
    assert "note" not in run("check").good


def test_rules_from_before_are_vouched_for_at_once(main: Path, run: Run) -> None:
    """An admin who turns it on: what is there is not followed until he, or its user, says that it is right."""
    run("rules", "set", "101", "always", "--to", MOBILE)
    run("rules", "set", "103", "internal", "--to", "0612345679")
    run("rules", "off", "103", "internal")
    text = main.read_text()
    main.write_text(text.replace("[forwarding]\n", "[forwarding]\nprove_numbers = true\n"))
    assert explained(run) == []
    said = run("check").good
    assert "rule 101/always is not followed" in said
    assert "103/internal" not in said, "it is off"
    assert "102/always" not in said, "the configuration's own"
    assert run("number", "prove", "--rules").good == "cli:nadia vouches for 2 numbers more"
    assert explained(run) == [MOBILE, MOBILE]
    assert "note" not in run("check").good


def test_rules_vouched_for_before_it_is_turned_on_go_on(main: Path, run: Run) -> None:
    run("rules", "set", "101", "always", "--to", MOBILE)
    assert run("number", "prove", "--rules").out == "cli:nadia vouches for 2 numbers more\n"  # 102's default too
    text = main.read_text()
    main.write_text(text.replace("[forwarding]\n", "[forwarding]\nprove_numbers = true\n"))
    assert explained(run) == [MOBILE, MOBILE]


def test_import_and_on_vouch_too(proving: Path, run: Run) -> None:
    exported = json.dumps({"rules": [{"extension": "103", "kind": "always", "to": f"number {MOBILE}"}]})
    run("rules", "import", "-", stdin=exported)
    assert [one["extension"] for one in json.loads(run("number", "list", "--json").good)] == ["103"]
    run("number", "remove", "103", MOBILE)
    run("rules", "on", "103", "always")
    run("rules", "off", "103", "always")
    run("rules", "on", "103", "always")
    assert [one["extension"] for one in json.loads(run("number", "list", "--json").good)] == ["103"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["199", MOBILE], "there is no extension 199; right: 101, 102, 103, 104"),
        (["101", "0899123456"], "+33899123456 is a premium-rate number"),
        (["104", MOBILE], "extension 104 may not forward calls to outside numbers"),
    ],
)
def test_nobody_vouches_for_what_may_not_be_called(arguments: list[str], reason: str, proving: Path, run: Run) -> None:
    assert reason in run("number", "prove", *arguments).refusal
    assert run("number", "list").good == "no number has been proven"


def test_prepared_before_it_is_needed(run: Run) -> None:
    said = run("number", "prove", "101", MOBILE)
    assert (said.status, said.out) == (0, "cli:nadia vouches for 1 number more\n")
    assert said.err == "forwarding.prove_numbers is off: nothing asks for it yet\n"
    assert run("number", "prove").status == 2
    assert run("number", "prove", "101", "--rules").status == 2
