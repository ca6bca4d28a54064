"""What is known of Asterisk's versions, and that the documents list the modules we need."""

from pathlib import Path

import pytest

from comunik_pbx.needed import ALWAYS, CONFIRMATION, PROMPTS, VOICEMAIL, Need, has_start_time, is_tested, lacks_actions

VERSIONS = (Path(__file__).parent.parent / "docs/dialplan.md").read_text().partition("## Versions")[2]


@pytest.mark.parametrize("need", [*ALWAYS, VOICEMAIL, CONFIRMATION, PROMPTS], ids=lambda need: need.modules[0])
def test_each_module_is_in_the_documents(need: Need) -> None:
    assert need.modules[0] in VERSIONS


@pytest.mark.parametrize(
    ("version", "has"),
    [
        ("16.28.0~dfsg-0+deb11u4", False),
        ("certified/18.9-cert8", False),
        ("20.6.0", False),
        ("20.7.0", True),
        ("20.17.2", True),
        ("21.1.0", False),
        ("21.2.0", True),
        ("22.0.0", True),
        ("GIT-master-3f7", True),
    ],
)
def test_dial_gives_up_what_shows_no_sign_of_life(version: str, has: bool) -> None:
    assert has_start_time(version) is has


@pytest.mark.parametrize(
    ("version", "tested"),
    [
        ("16.28.0~dfsg-0+deb11u4", True),
        ("22.10.1", True),
        ("22.10", True),
        ("22.1.0", False),
        ("22.100", False),
        ("GIT-x", False),
    ],
)
def test_tested_versions(version: str, tested: bool) -> None:
    assert is_tested(version) is tested


def test_an_ami_user_who_may_do_all() -> None:
    assert lacks_actions("22.10.1", "comunik", {"DBPut", "DBDel", "DBGetTree", "Ping"}) == []
