"""`comunik-pbx init DIR`: all that an admin has to copy or include, with his extensions' names in it."""

import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from comunik_pbx.cli.output import ConfigOption, Refused, command

if TYPE_CHECKING:
    from comunik_pbx.config import Config

PUBLIC, SECRET = 0o644, 0o640


@dataclass(frozen=True)
class File:
    """A file to write: its name in DIR, its text, its mode.

    One to be written `once` is never replaced: the admin's own work, and secrets that Asterisk knows by now.
    """

    name: str
    text: str
    mode: int = PUBLIC
    once: bool = False


@command
def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write, such as /etc/comunik-pbx.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace files of before, but never comunik.toml nor secrets.")
    ] = False,
    country: Annotated[str, typer.Option("--country", help="For a new comunik.toml (ISO 3166).")] = "FR",
    language: Annotated[str, typer.Option("--language", help="For a new comunik.toml: en or fr.")] = "en",
    config: ConfigOption = None,
) -> None:
    """Write what Asterisk and systemd need into DIR, and say what is left to do.

    Extensions come from --config, else from a comunik.toml already in DIR, else from COMUNIK_PBX_CONFIG, else from a
    new one with examples.
    """
    directory = directory.absolute()
    _make(directory)
    own = _own_config(directory, config)
    if own is None:
        own = directory / "comunik.toml"
        for file in _new_config(directory, own, country, language):
            _write(directory, file, force)
    loaded = _load(own)
    for file in _files(directory, loaded):
        _write(directory, file, force)
    _copy_sounds(directory, force)
    typer.echo(_left_to_do(directory, own, loaded.asterisk.ari))


def _own_config(directory: Path, named: Path | None) -> Path | None:
    if named is not None:
        return named.absolute()
    if (directory / "comunik.toml").exists():
        return directory / "comunik.toml"
    from_environment = os.environ.get("COMUNIK_PBX_CONFIG")
    return Path(from_environment).absolute() if from_environment else None


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for part in ("comunik", "asterisk"):
            (directory / part).mkdir(exist_ok=True)
    except FileExistsError as error:
        raise Refused(f"{error.filename} is not a directory") from None
    except OSError as error:
        raise Refused(f"{error.filename}: {error.strerror}; right: a directory that you may write") from None


def _new_config(directory: Path, own: Path, country: str, language: str) -> Iterator[File]:
    system_wide = directory.is_relative_to("/etc")
    values = {
        "country": country,
        "language": language,
        "store_url": "sqlite:////var/lib/comunik-pbx/comunik.db" if system_wide else "sqlite:///comunik.db",
    }
    for which in ("ari", "ami"):
        yield File(f"{which}.secret", secrets.token_urlsafe(32) + "\n", SECRET, once=True)
    yield File(own.name, _filled("comunik.toml", values), once=True)


def _load(path: Path) -> "Config":
    from comunik_pbx import config  # noqa: PLC0415

    try:
        return config.load(path)
    except config.ConfigProblems as wrong:
        raise Refused(f"{wrong}\nnothing more was written: correct this first") from None


def _files(directory: Path, config: "Config") -> Iterator[File]:
    from comunik_pbx.cli.dialplan import dialplan  # noqa: PLC0415

    for name, text in dialplan(config).items():
        yield File(f"comunik/{name}", text)
    asterisk = config.asterisk
    values = {
        "ari_user": asterisk.ari_user,
        "ari_password": asterisk.ari_password,
        "ari_port": str(urlsplit(asterisk.ari_url).port or 8088),
        "ami_user": asterisk.ami_user,
        "ami_password": asterisk.ami_password,
        "program": _program(),
        "config": str(config.path),
        "writable": str(Path(config.store_url.removeprefix("sqlite:///")).parent),
        "protect_home": "read-only" if directory.is_relative_to("/home") else "yes",
    }
    if asterisk.ari:
        yield File("asterisk/ari.conf", _filled("ari.conf", values), SECRET)
        yield File("asterisk/http.conf", _filled("http.conf", values))
    yield File("asterisk/manager.conf", _filled("manager.conf", values), SECRET)
    yield File("comunik-pbx.service", _filled("comunik-pbx.service", values))


def _filled(name: str, values: dict[str, str]) -> str:
    text = (Path(__file__).parent / "init_files" / name).read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"@{key}@", value.replace(";", "\\;") if key.endswith("_password") else value)
    return text


def _program() -> str:
    beside = Path(sys.executable).parent / "comunik-pbx"
    found = str(beside) if beside.exists() else shutil.which("comunik-pbx")
    return found or f"{sys.executable} -m comunik_pbx.cli"


def _write(directory: Path, file: File, force: bool) -> None:
    path = directory / file.name
    try:
        if path.exists() or path.is_symlink():
            if path.read_text(encoding="utf-8") == file.text:
                return
            if not force or file.once:
                typer.echo(f"kept     {path} (there already{'' if file.once else '; --force replaces it'})")
                return
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            os.fchmod(descriptor, file.mode)
            opened.write(file.text)
        draft.replace(path)
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    typer.echo(f"written  {path}{'  (secret: mode 640)' if file.mode == SECRET else ''}")


def _copy_sounds(directory: Path, force: bool) -> None:
    from comunik_pbx.cli.dialplan import packaged  # noqa: PLC0415

    source = packaged("sounds")
    for file in sorted(source.rglob("*")):
        target = directory / "sounds" / file.relative_to(source)
        if not file.is_file() or (target.exists() and not force):
            continue
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        except OSError as error:
            raise Refused(f"{target}: {error.strerror}") from None
        typer.echo(f"written  {target}")


def _link(source: Path, name: str) -> str:
    target = Path("/etc/asterisk") / name
    return "" if source == target else f" Let Asterisk read it: ln -s {source} {target}"


def _left_to_do(directory: Path, own: Path, ari: bool) -> str:
    of_ari = (
        f"""
   In ari.conf:      enabled = yes under [general], and #include "comunik-pbx/ari.conf"
   In http.conf:     what {directory}/asterisk/http.conf says"""
        if ari
        else ""
    )
    again = "Then restart Asterisk once (http.conf), or: " if ari else "Then: "
    return f"""
Three things are left to do:

1. The dialplan.{_link(directory / "comunik", "comunik")}
   In /etc/asterisk/extensions.conf:
       #include "comunik/*.conf"
   and point the contexts your calls come in by at it, for example:
       [from-carrier]
       include => comunik-incoming

2. Access to Asterisk.{_link(directory / "asterisk", "comunik-pbx")}
   In manager.conf:  enabled = yes under [general], and #include "comunik-pbx/manager.conf"{of_ari}
   The files with secrets are mode 640: chgrp -R asterisk {directory}
   {again}asterisk -rx "core reload"

3. Your users and the service. Edit {own}, then
       comunik-pbx check --live --config {own}
       systemctl enable --now {directory}/comunik-pbx.service"""
