"""The manifest of prompts, the settings that play them, and the voices must agree."""

import re
import tomllib
from pathlib import Path

import pytest

from comunik_pbx.sandbox.sandbox import Sandbox
from tests.pbx import PBX

ROOT = Path(__file__).parents[2]
PROMPTS = tomllib.loads((ROOT / "sounds/manifest.toml").read_text())["prompt"]


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: str(prompt["key"]))
def test_settings_play_what_the_manifest_lists(prompt: dict[str, object]) -> None:
    settings = (ROOT / "dialplan/settings.conf").read_text()
    files = prompt["files"]
    assert isinstance(files, list)
    assert re.search(rf"Set\({prompt['setting']}=(.*)\)", settings)[1] == "&".join(files)  # type: ignore[index]
    assert set(prompt["words"]) == {"en", "fr"}  # type: ignore[call-overload]


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("mark", [PBX[0]])
def test_both_voices_say_it(sandbox: Sandbox, language: str, mark: object) -> None:
    sounds = sandbox.layout.data / "sounds" / language
    assert [name for prompt in PROMPTS for name in prompt["files"] if not (sounds / f"{name}.wav").exists()] == []
