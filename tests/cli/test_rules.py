"""`rules …` changes what users asked for, and refuses with the reason what would not work."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run


def test_set_prints_what_is_now_in_force(run: Run) -> None:
    said = run("rules", "set", "101", "external", "--to", "06 12 34 56 78", "--rings", "3").good
    assert said == "101 external: to +33612345678 after 3 rings, on"
    said = run("rules", "set", "101", "always", "--to", "102", "--until", "2031-01-01 12:00").good
    assert said == "101 always: to 102 (Bruno Petit) without ringing, on until 2031-01-01 12:00"


@pytest.mark.parametrize(
    ("to", "stored"),
    [
        ("+33612345678", "+33612345678"),
        ("number 06.12.34.56.78", "+33612345678"),
        ("103", "103"),
        ("extension 103", "103"),
        ("voicemail", "voicemail"),
    ],
)
def test_destinations_as_people_write_them(to: str, stored: str, run: Run) -> None:
    assert json.loads(run("rules", "set", "101", "internal", "--to", to, "--json").good)["to"] == stored


def test_who_changed_it(run: Run) -> None:
    run("rules", "set", "101", "internal", "--to", "103")
    run("rules", "set", "101", "external", "--to", "103", "--by", "ticket 4711")
    by = {rule["kind"]: rule["changed_by"] for rule in json.loads(run("rules", "show", "101", "--json").good)}
    assert by == {"internal": "cli:nadia", "external": "ticket 4711"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["199", "internal", "--to", "102"], "there is no extension 199; right: 101, 102, 103, 104"),
        (
            ["101", "internal", "--to", "199"],
            "there is no extension 199; right: an extension there is: 101, 102, 103, 104",
        ),
        (
            ["101", "internal", "--to", "101"],
            "101 would forward to itself; right: another extension, a number or voicemail",
        ),
        (
            ["101", "internal", "--to", "+33170000101"],
            "101 would forward to itself; right: another extension, a number or voicemail",
        ),
        (
            ["103", "internal", "--to", "voicemail"],
            "extension 103 has no mailbox; right: give it a mailbox in the configuration, or another destination",
        ),
        (
            ["101", "internal", "--to", "0899123456"],
            "+33899123456 is a premium-rate number; right: an ordinary telephone number, an extension or voicemail",
        ),
        (
            ["101", "internal", "--to", "+442079460000"],
            "+442079460000 is in a country that calls may not be forwarded to; right: a number of FR, BE, or add its "
            "country to forwarding.allowed_countries",
        ),
        (
            ["104", "internal", "--to", "+33612345678"],
            "extension 104 may not forward calls to outside numbers; right: an extension or voicemail, or outside = "
            "true in the configuration",
        ),
        (
            ["101", "internal", "--to", "102", "--rings", "13"],
            "13 rings: the number of rings is 0 to 12; right: a whole number from 0 to 12",
        ),
        (
            ["102", "always", "--to", "103"],
            "the administrator has locked this rule: 102/always; right: ask the administrator, or unlock it in the "
            "configuration",
        ),
    ],
)
def test_refused(arguments: list[str], reason: str, run: Run) -> None:
    assert run("rules", "set", *arguments).refusal == reason
    assert json.loads(run("rules", "export").good)["rules"] == []


def test_cycle_of_always_rules_is_refused_but_backing_each_other_up_is_not(run: Run) -> None:
    run("rules", "set", "101", "always", "--to", "103")
    reason = run("rules", "set", "103", "always", "--to", "101").refusal
    assert reason.startswith("these extensions would forward to each other for ever: 103 → 101 → 103; right: ")
    assert run("rules", "set", "101", "internal", "--to", "103").good
    assert run("rules", "set", "103", "internal", "--to", "101").good


def test_switching_on_again_is_checked(run: Run) -> None:
    run("rules", "set", "101", "always", "--to", "103")
    assert run("rules", "off", "101", "always").good == "101 always: to 103 without ringing, off"
    run("rules", "set", "103", "always", "--to", "101")
    assert "for ever" in run("rules", "on", "101", "always").refusal
    run("rules", "clear", "103", "always")
    assert run("rules", "on", "101", "always").good == "101 always: to 103 without ringing, on"


def test_off_keeps_a_default_s_destination_as_the_user_s_own(run: Run) -> None:
    assert run("rules", "off", "101", "external").good == "101 external: to voicemail after 4 rings, off"
    assert (
        run("rules", "clear", "101", "external").good
        == "101 external: to voicemail after 4 rings, on, from the configuration"
    )


def test_nothing_to_switch_or_clear(run: Run) -> None:
    assert (
        run("rules", "off", "101", "internal").refusal
        == "extension 101 has no internal rule; set one: rules set 101 internal --to …"
    )
    assert run("rules", "clear", "101", "internal").refusal == "extension 101 has no internal rule of its own"
    assert "locked" in run("rules", "off", "102", "always").refusal


def test_rings_stay_as_they_were_unless_given(run: Run) -> None:
    run("rules", "set", "101", "internal", "--to", "102", "--rings", "2")
    assert run("rules", "set", "101", "internal", "--to", "103").good == "101 internal: to 103 after 2 rings, on"
    assert run("rules", "set", "103", "internal", "--to", "101").good.endswith("after 6 rings, on")
    assert run("rules", "set", "103", "internal", "--to", "101", "--rings", "0").good.endswith("at once, on")


def test_show(run: Run) -> None:
    run("rules", "set", "101", "always", "--to", "103")
    lines = [line.split() for line in run("rules", "show").good.splitlines()]
    assert lines[0] == ["extension", "rule", "to", "rings", "state", "by", "changed"]
    assert [line[:3] for line in lines[1:]] == [
        ["101", "always", "103"],
        ["101", "external", "voicemail"],
        ["102", "always", "+33612345678"],
    ]
    assert "config, locked" in run("rules", "show", "102").good
    assert run("rules", "show", "104").good == "no rules: extensions ring 6 times, then their voicemail"
    assert run("rules", "show", "199").refusal == "there is no extension 199; right: 101, 102, 103, 104"


def test_export_and_import(run: Run, tmp_path: Path) -> None:
    run("rules", "set", "101", "always", "--to", "103", "--until", "2031-01-01T12:00:00+01:00")
    run("rules", "set", "101", "internal", "--to", "+33612345678", "--rings", "2")
    run("rules", "off", "101", "internal")
    exported = run("rules", "export").good
    run("rules", "clear", "101", "always")
    run("rules", "clear", "101", "internal")
    assert run("rules", "import", "-", stdin=exported).good == "2 rules imported"
    assert run("rules", "export").good == exported


def test_import_is_all_or_nothing_and_lists_everything(run: Run, tmp_path: Path) -> None:
    rules = [
        {"extension": "101", "kind": "internal", "to": "103", "rings": 3},
        {"extension": "101", "kind": "internal", "to": "104"},
        {"extension": "199", "kind": "internal", "to": "103"},
        {"extension": "101", "kind": "external", "to": "nowhere"},
        {"extension": "102", "kind": "always", "to": "103"},
        {"extension": "103", "kind": "always", "to": "104"},
        {"extension": "104", "kind": "always", "to": "103"},
    ]
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"rules": rules}))
    reasons = [line.partition(";")[0] for line in run("rules", "import", str(file)).refusal.splitlines()]
    assert reasons == [
        "rules[1] (101/internal): is given twice",
        "rules[3] (101/external): to: nowhere is not a telephone number",
        "rules[2] (199/internal): there is no extension 199",
        "rules[4] (102/always): the administrator has locked this rule: 102/always",
        "rules[5] (103/always): these extensions would forward to each other for ever: 103 → 104 → 103",
        "rules[6] (104/always): these extensions would forward to each other for ever: 104 → 103 → 104",
        "nothing was imported (6 refused)",
    ]
    assert json.loads(run("rules", "export").good)["rules"] == []


@pytest.mark.parametrize("content", ["", "[]", '{"rules": 1}', '{"rules": [{"extension": "101"}]}', "{" * 100_000])
def test_import_of_something_else(content: str, run: Run) -> None:
    assert run("rules", "import", "-", stdin=content).refusal.startswith("-: not what `rules export` writes: ")


def test_store_that_cannot_be_written(run: Run, main: Path) -> None:
    main.write_text(main.read_text() + '[store]\nurl = "sqlite:////proc/comunik.db"\n')
    assert "/proc/comunik.db" in run("rules", "set", "101", "internal", "--to", "103").refusal


@pytest.mark.parametrize(
    "arguments",
    [
        ["set", "101", "sometimes", "--to", "102"],
        ["set", "101", "always"],
        ["set", "101", "internal", "--to", "102", "--rings", "x"],
        ["set", "101", "always", "--to", "103", "--rings", "3"],
        ["frobnicate"],
    ],
)
def test_usage(arguments: list[str], run: Run) -> None:
    assert run("rules", *arguments).status == 2


def test_the_history_marks_outside_numbers_never_used_before(run: Run) -> None:
    assert run("rules", "history").good == "no rule has been changed"
    run("rules", "set", "101", "external", "--to", "0612345678")
    run("rules", "set", "101", "external", "--to", "102")
    run("rules", "set", "101", "always", "--to", "0612345678", "--by", "ticket 4711")
    run("rules", "off", "102", "always")
    lines = json.loads(run("rules", "history", "101", "--json").good)
    assert [(line["kind"], line["new_target"]) for line in lines] == [
        ("external", True),
        ("external", False),
        ("always", False),
    ]
    first, *_, last = run("rules", "history").good.splitlines()[1:]
    assert first.split()[2:] == ["101", "external", "set", "+33612345678", "new", "cli:nadia"]
    assert last.split()[2:] == ["101", "always", "set", "+33612345678", "ticket", "4711"]
