"""The commands as an admin types them, on a small company with a store of its own."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from comunik_pbx.cli.app import app
from tests.config.company import GOOD, write

TEXT = GOOD + '[extensions.104]\nendpoints = ["104"]\noutside = false\n'


class Said:
    """What a command said: exit status, standard output, standard error."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def refusal(self) -> str:
        """The reason of a command that said no."""
        assert self.status == 1, (self.status, self.out, self.err)
        assert "Traceback" not in self.err
        return self.err.strip()

    @property
    def good(self) -> str:
        """The answer of a command that went well."""
        assert self.status == 0, (self.status, self.out, self.err)
        assert not self.err
        return self.out.rstrip("\n")


Run = Callable[..., Said]


@pytest.fixture
def main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The company's configuration, which commands find by the environment."""
    path = write(tmp_path, TEXT)
    monkeypatch.setenv("COMUNIK_PBX_CONFIG", str(path))
    monkeypatch.setenv("SUDO_USER", "nadia")
    return path


@pytest.fixture
def run(main: Path) -> Run:
    """Run a command in this process."""

    def run(*arguments: str, stdin: str | None = None) -> Said:
        result = CliRunner().invoke(app, list(arguments), input=stdin)
        return Said(result.exit_code, result.stdout, result.stderr)

    return run
