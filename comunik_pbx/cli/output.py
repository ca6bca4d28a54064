"""How commands answer and fail: words or JSON on standard output, one clear reason on standard error."""

import asyncio
import functools
import inspect
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from comunik_pbx.config import Config
    from comunik_pbx.store import Store

P = ParamSpec("P")

DEBUG = "COMUNIK_PBX_DEBUG"

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="The configuration; else COMUNIK_PBX_CONFIG, else /etc/comunik-pbx/comunik.toml."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Refused(Exception):
    """The command says no; the message says why, and what would be right."""


def command(function: Callable[P, Any]) -> Callable[P, None]:
    """A command: whatever goes wrong in it ends as words on standard error and exit status 1, never a traceback."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            result = function(*args, **kwargs)
            if inspect.iscoroutine(result):
                with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:  # nobody else's loop is touched
                    runner.run(result)
        except (typer.Exit, typer.Abort, typer.BadParameter, KeyboardInterrupt):
            raise
        except BrokenPipeError:  # whoever read our output has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except Exception as error:
            if os.environ.get(DEBUG):
                raise
            typer.echo(_words(error), err=True)
            raise typer.Exit(1) from None

    return guarded


def _words(error: Exception) -> str:
    from comunik_pbx.config import ConfigError  # noqa: PLC0415

    if isinstance(error, Refused | ConfigError):
        return str(error)
    store = sys.modules.get("comunik_pbx.store")
    if store is not None and isinstance(error, store.StoreError):
        return str(error)
    return (
        f"comunik-pbx failed where it should not have: {type(error).__name__}: {error}\n"
        f"Run it again with {DEBUG}=1 to see where, and report it."
    )


def load(named: Path | None, *, secrets: bool = False) -> "Config":
    """The configuration this command is about."""
    from comunik_pbx import config  # noqa: PLC0415

    return config.load(config.find(named), secrets=secrets)


async def load_with_numbers(named: Path | None) -> "Config":
    """The configuration, with the numbers that administrators allow in the portal and those that users have proven."""
    from dataclasses import replace  # noqa: PLC0415

    config = load(named)
    if not store_exists(config):
        return config
    async with opened(config) as store:
        directory = config.directory.allowing(await store.allow_list.enabled())
        return replace(config, directory=directory.proving(await store.proven.by_extension()))


@asynccontextmanager
async def opened(config: "Config") -> "AsyncIterator[Store]":
    """The configuration's store, open."""
    from comunik_pbx.store import Store  # noqa: PLC0415

    store = await Store.open(config.store_url)
    try:
        yield store
    finally:
        await store.close()


def store_exists(config: "Config") -> bool:
    """Whether there is a store yet. Commands that only read do not make one."""
    file = config.store_url.removeprefix("sqlite:///")
    return file == config.store_url or Path(file).exists()


def print_json(data: Any, *, indent: int | None = 2) -> None:
    """Data on standard output."""
    typer.echo(json.dumps(data, ensure_ascii=False, indent=indent))


def print_table(table: "Table") -> None:
    """A table on standard output; complete lines where it is no terminal."""
    from rich.console import Console  # noqa: PLC0415

    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = 500
    console.print(table)


def columns(*names: str) -> "Table":
    """An empty table with these headings."""
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def moment(written: str, option: str) -> datetime:
    """A moment as people write it, aware: `2026-12-24 18:00`, with an offset or local, or `18:00` today."""
    text = written.strip()
    now = datetime.now().astimezone()
    try:
        if "-" not in text and ":" in text:
            text = f"{now.date().isoformat()} {text}"
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError, OSError):
        raise typer.BadParameter(
            f"{written!r} is not a moment; right: 2026-12-24T18:00, 2026-12-24T18:00+01:00, or 18:00 for today",
            param_hint=option,
        ) from None


def shown(when: datetime | None) -> str:
    """A moment in local time, to the minute."""
    return "" if when is None else when.astimezone().strftime("%Y-%m-%d %H:%M")


def who() -> str:
    """Who asks, for the history: `cli:USER`."""
    from comunik_pbx.config.loading import user_name  # noqa: PLC0415

    return f"cli:{os.environ.get('SUDO_USER') or user_name()}"
