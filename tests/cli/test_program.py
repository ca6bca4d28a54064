"""The program itself: exit status, no tracebacks, and a quick start."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[2] / "docs" / "cli.md"


def program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The program, as a process of its own."""
    command = [sys.executable, "-m", "comunik_pbx.cli", *arguments]
    environ = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=environ)


def test_statuses(main: Path) -> None:
    assert program("explain", "103", "101").returncode == 0
    assert program("explain", "nobody", "101").returncode == 1
    assert program("explain", "103").returncode == 2
    assert program("frobnicate").returncode == 2
    assert program("check", "--config", "/nonexistent.toml").returncode == 1


def test_the_unexpected_is_one_line_and_how_to_see_more(main: Path) -> None:
    # A store of which the code is broken: nothing of it can be foreseen.
    broken = main.parent / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text("import sys\nsys.modules['comunik_pbx.store'] = None\n")
    said = program("rules", "set", "101", "internal", "--to", "103", PYTHONPATH=str(broken))
    assert said.returncode == 1
    assert "Traceback" not in said.stderr
    assert said.stderr.splitlines()[-1] == "Run it again with COMUNIK_PBX_DEBUG=1 to see where, and report it."
    more = program("rules", "set", "101", "internal", "--to", "103", PYTHONPATH=str(broken), COMUNIK_PBX_DEBUG="1")
    assert "Traceback" in more.stderr


def test_output_that_nobody_reads_any_more(main: Path) -> None:
    command = f"{sys.executable} -m comunik_pbx.cli rules show --json | true"
    said = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, check=True)
    assert said.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "without"),
    [
        (["--help"], ["pydantic", "sqlalchemy", "alembic", "aiohttp"]),
        (["check"], ["sqlalchemy", "alembic", "aiohttp"]),
        (["explain", "103", "101"], ["sqlalchemy", "alembic", "aiohttp"]),
    ],
)
def test_commands_load_only_what_they_need(arguments: list[str], without: list[str], main: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "comunik_pbx.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip() for line in said.stderr.splitlines() if line.startswith("import time:")}
    assert "typer" in loaded
    assert not loaded & set(without)


def test_every_command_and_option_is_documented() -> None:
    import typer.main

    from comunik_pbx.cli.app import app

    text = DOCUMENT.read_text(encoding="utf-8")
    root = typer.main.get_command(app)
    groups = [("", root), ("rules ", root.commands["rules"])]  # type: ignore[attr-defined]
    for prefix, group in groups:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                continue
            assert re.search(rf"`{prefix}{name}\b", text), f"{prefix}{name}"
            for parameter in command.params:
                for option in parameter.opts:
                    assert not option.startswith("--") or option in text, f"{prefix}{name} {option}"
