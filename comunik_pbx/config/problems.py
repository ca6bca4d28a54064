"""What is wrong in a configuration: where, what, and what would be right."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """One thing wrong. `file` is the path of the file, `key` the dotted key or `line 3`, either may be empty.

    `what` says what is wrong and `right` what would be right; both are parts of one sentence.
    """

    file: str
    key: str
    what: str
    right: str

    def __str__(self) -> str:
        """One line: `comunik.toml: ringing.default_rings: is 13; right: a whole number from 1 to 12`."""
        where = ": ".join(part for part in (self.file, self.key) if part)
        return f"{where}: {self.what}; right: {self.right}"

    def as_json(self) -> dict[str, str]:
        """The same, for `check --json`."""
        return {"file": self.file, "key": self.key, "what": self.what, "right": self.right}


class ConfigError(Exception):
    """Anything wrong with the configuration.

    ConfigError
    ├── ConfigProblems: a file was read and these things in it are wrong
    └── NoConfig: there is no file to read
    """


class ConfigProblems(ConfigError):
    """Everything found wrong, in the order of the files and keys."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class NoConfig(ConfigError):
    """No configuration file was named and none stands at the usual place."""

    def __init__(self, tried: Path) -> None:
        super().__init__(
            f"no configuration: {tried} does not exist; name one by --config FILE or COMUNIK_PBX_CONFIG, "
            "or write one with `comunik-pbx init DIR`"
        )
