"""Read `comunik.toml` and the files it includes, and put together what they say, each value with its file.

Extensions and trunks may be spread over files; the same one twice is a mistake. Of a setting outside them the
value read last holds, so that an included file can override its parent.
"""

import glob
import os
import pwd
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comunik_pbx.config.problems import NoConfig, Problem
from comunik_pbx.config.settings import NAMED_TABLES, TABLES

USUAL_PATH = Path("/etc/comunik-pbx/comunik.toml")
ENVIRONMENT = "COMUNIK_PBX_CONFIG"
MAX_FILE_BYTES = 10_000_000

Key = tuple[str, ...]


def find(named: Path | None = None) -> Path:
    """The configuration to read: the one named, else COMUNIK_PBX_CONFIG, else /etc/comunik-pbx/comunik.toml."""
    if named is not None:
        return named
    if from_environment := os.environ.get(ENVIRONMENT):
        return Path(from_environment)
    try:
        exists = USUAL_PATH.exists()
    except OSError:  # its directory may not be entered: reading it will say so
        exists = True
    if not exists:
        raise NoConfig(USUAL_PATH)
    return USUAL_PATH


@dataclass
class Written:
    """What the files say: nested tables as in TOML, and the file of each value.

    `complete` is false when a file could not be read, so that what is missing may stand there. `notes` are
    worth telling but not wrong.
    """

    main: Path
    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[Key, Path] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    complete: bool = True

    def file_of(self, key: Key) -> Path:
        """The file that gives this key, or the nearest table above it."""
        for length in range(len(key), 0, -1):
            if origin := self.origins.get(key[:length]):
                return origin
        return self.main

    def refuse(self, key: Key, what: str, right: str) -> None:
        """Add a problem at a key, in the file that gives it."""
        self.problems.append(Problem(str(self.file_of(key)), dotted(key), what, right))


def dotted(key: Key) -> str:
    """A key as TOML writes it: `extensions.101.did`; parts with other characters are quoted."""
    parts: list[str] = []
    for part in key:
        if part.startswith("[") and parts:  # an index in a list
            parts[-1] += part
        else:
            bare = part.isascii() and part.replace("-", "").replace("_", "").isalnum()
            parts.append(part if bare else repr(part))
    return ".".join(parts)


def read(main: Path) -> Written:
    """Read the file and all it includes. Problems are collected, never raised."""
    written = Written(main)
    _read_file(main, written)
    return written


def _read_file(path: Path, written: Written) -> None:
    real = path.resolve()
    if real in (file.resolve() for file in written.files):
        return
    written.files.append(path)
    tables = _parse(path, written)
    if tables is None:
        written.complete = False
        return
    include = tables.get("include", [])
    _merge(tables, path, written)
    if not isinstance(include, list):
        return  # General refuses it
    for number, pattern in enumerate(include):
        if isinstance(pattern, str):
            for included in _included(path, pattern, f"include[{number}]", written):
                _read_file(included, written)


def _parse(path: Path, written: Written) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        written.problems.append(unreadable(path, "", error))
        return None
    if len(content) > MAX_FILE_BYTES:
        written.problems.append(Problem(str(path), "", "is larger than 10 MB", "a TOML file"))
        return None
    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        written.problems.append(Problem(str(path), f"line {line}", "is not UTF-8", "save the file as UTF-8"))
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is a ValueError
        written.problems.append(_syntax(path, error))
    return None


def _syntax(path: Path, error: Exception) -> Problem:
    what, _, where = str(error).rpartition(" (at ")
    if isinstance(error, RecursionError):
        return Problem(str(path), "", "is nested too deeply", "at most a few levels")
    place = where.removesuffix(")") if what else ""
    what = what or str(error)
    return Problem(str(path), place, f"not TOML: {what[:1].lower()}{what[1:]}", _syntax_hint(what))


def _syntax_hint(what: str) -> str:
    if "Invalid value" in what:
        return "texts in quotes, true or false without, numbers without"
    if "Cannot overwrite" in what or "Cannot declare" in what or "Cannot mutate" in what:
        return "each key and table once"
    return 'lines such as key = "value", and tables such as [ringing]'


def unreadable(path: Path, key: str, error: Exception, *, named_in: Path | None = None) -> Problem:
    """A file that cannot be read, and who would have to be able to."""
    file = str(named_in or path)
    name = f"{path} " if named_in else ""
    match error:
        case FileNotFoundError():
            if named_in is None:
                right = f"name another by --config FILE or {ENVIRONMENT}, or write one with `comunik-pbx init DIR`"
                return Problem(file, key, "does not exist", right)
            return Problem(file, key, f"{name}does not exist", "a file that exists; relative names start at this file")
        case IsADirectoryError():
            return Problem(file, key, f"{name}is a directory", "a file")
        case PermissionError():
            user = user_name()
            fix = f"let user {user} read it (chgrp {user} FILE; chmod 640 FILE), or run as the user that may"
            return Problem(file, key, f"{name}may not be read by user {user}", fix)
        case OSError():
            return Problem(file, key, f"{name}cannot be read: {error.strerror or error}", "a readable file")
    return Problem(file, key, f"{name}is not a file name", "a file name")


def user_name() -> str:
    """The user we run as."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _included(path: Path, pattern: str, key: str, written: Written) -> Iterator[Path]:
    full = os.path.join(path.parent, pattern)
    if not pattern or "\0" in pattern:
        written.problems.append(Problem(str(path), key, "is not a file name", "a file name or a pattern"))
        return
    if not glob.has_magic(pattern):
        if os.path.lexists(full):
            yield Path(full)
        else:
            written.problems.append(unreadable(Path(full), key, FileNotFoundError(), named_in=path))
            written.complete = False
        return
    directory = Path(full).parent
    if not glob.has_magic(str(directory)) and directory.is_dir() and not os.access(directory, os.R_OK | os.X_OK):
        written.problems.append(unreadable(directory, key, PermissionError(), named_in=path))
        written.complete = False
        return
    found = sorted(glob.glob(full))
    if not found:
        written.notes.append(f"{path}: {key}: no file matches {pattern}")
    yield from map(Path, found)


def _merge(tables: dict[str, Any], path: Path, written: Written) -> None:
    for name, value in tables.items():
        key: Key = (name,)
        if name in NAMED_TABLES or name in TABLES:
            if not isinstance(value, dict):
                _not_a_table(path, key, value, written)
            elif name in TABLES:
                _override(value, path, key, written)
            else:
                _add_named(value, path, key, written)
        elif name == "include":
            written.values.setdefault("include", value if isinstance(value, list) else [])
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                wrong = f"is {described(value)}, not a list of texts"
                written.problems.append(Problem(str(path), "include", wrong, 'such as ["extensions.d/*.toml"]'))
        else:
            _override({name: value}, path, (), written)


def _override(table: dict[str, Any], path: Path, at: Key, written: Written) -> None:
    target = written.values.setdefault(at[0], {}) if at else written.values
    written.origins.setdefault(at, path)
    for name, value in table.items():
        key = (*at, name)
        if key in written.origins and written.origins[key] != path:
            written.notes.append(f"{path}: {dotted(key)}: overrides {written.origins[key]}")
        written.origins[key] = path
        target[name] = value


def _add_named(tables: dict[str, Any], path: Path, at: Key, written: Written) -> None:
    """Add `[extensions.101]` and the like. A file may add keys to one of another file, not give any again."""
    for name, value in tables.items():
        key = (*at, name)
        if not isinstance(value, dict):
            _not_a_table(path, key, value, written)
            continue
        mine = {k: v for k, v in value.items() if k != "forward" or at != ("extensions",)}
        target = written.values.setdefault(at[0], {}).setdefault(name, {})
        written.origins.setdefault(key, path)
        twice = [k for k in mine if k in target]
        if twice:
            first = written.origins[(*key, twice[0])]
            what = f"is already defined in {first} (given twice: {', '.join(twice)})"
            written.problems.append(Problem(str(path), dotted(key), what, "define it once"))
        for k, v in mine.items():
            if k not in target:
                target[k] = v
                written.origins[(*key, k)] = path
        if len(mine) < len(value):
            _add_forwards(value["forward"], path, (*key, "forward"), target, written)


def _add_forwards(forwards: Any, path: Path, at: Key, extension: dict[str, Any], written: Written) -> None:
    if not isinstance(forwards, dict):
        _not_a_table(path, at, forwards, written)
        return
    target = extension.setdefault("forward", {})
    for kind, value in forwards.items():
        key = (*at, kind)
        if kind in target:
            what = f"is already given in {written.origins[key]}"
            written.problems.append(Problem(str(path), dotted(key), what, "give it once"))
            continue
        written.origins[key] = path
        target[kind] = value


def _not_a_table(path: Path, key: Key, value: Any, written: Written) -> None:
    name = dotted(key)
    written.problems.append(Problem(str(path), name, f"is {described(value)}, not a table", f"a table [{name}]"))
    written.complete = False


def described(value: Any) -> str:
    """A value in words short enough for a message."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text {value if len(value) <= 60 else value[:57] + '…'!r}"
    if isinstance(value, int | float):
        try:
            text = str(value)
        except ValueError:  # more digits than Python converts
            return "a number far too large"
        return text if len(text) <= 30 else "a number far too large"
    if isinstance(value, list):
        return "a list"
    return "a table" if isinstance(value, dict) else "a date or time"
