"""What README and docs/ say is true: links lead somewhere, and the first screen's commands print what it shows."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from comunik_pbx.cli.app import app
from comunik_pbx.sandbox import company
from comunik_pbx.sandbox.layout import Addresses, Layout

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, heading = target.partition("#")
        file = (document.parent / name).resolve() if name else document
        assert file.exists(), f"{document.name}: {target}"
        assert file.is_relative_to(ROOT), f"{document.name}: {target}"
        if heading:
            assert heading in headings(file), f"{document.name}: {target}"


def headings(document: Path) -> set[str]:
    """The anchors of its headings, as forges make them."""
    titles = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def first_screen() -> list[tuple[str, str]]:
    """README's first example: each command, and what it prints as README has it."""
    block = re.search(r"(?:^    .*\n)+", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert block
    lines = [line[4:] for line in block[0].splitlines()]
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    ends = [*starts[1:], len(lines)]
    return [(lines[i][2:], "\n".join(lines[i + 1 : end])) for i, end in zip(starts, ends, strict=True)]


def test_the_first_screen_is_what_the_commands_print(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(tmp_path, tmp_path, Addresses())
    config = company.write_comunik_toml(layout, company.load_secrets(layout))
    monkeypatch.setenv("COMUNIK_PBX_CONFIG", str(config))
    shown = first_screen()
    assert [command.split()[:2] for command, _ in shown] == [["comunik-pbx", "rules"], ["comunik-pbx", "explain"]]
    for command, output in shown:
        said = CliRunner().invoke(app, shlex.split(command)[1:])
        assert said.exit_code == 0, said.output
        if output:
            assert said.stdout.rstrip("\n") == output


def test_every_target_of_make_is_in_its_help_and_every_one_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    helped = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert targets == helped
    for document in DOCUMENTS:
        named = set(re.findall(r"(?:`|^    )make ([a-z]+)\b", document.read_text(encoding="utf-8"), re.MULTILINE))
        assert named <= targets, document.name
