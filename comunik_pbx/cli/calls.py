"""`comunik-pbx calls`: what came in, what was decided, and what happened."""

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from comunik_pbx.cli.output import (
    ConfigOption,
    JsonOption,
    columns,
    command,
    load,
    opened,
    print_json,
    print_table,
    store_exists,
)

if TYPE_CHECKING:
    from comunik_pbx.store import CallRow

ANSWERED_ELSEWHERE = "answered"


@command
async def calls(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with each call as it ends, until Ctrl-C.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", help="At most so many.", min=0, max=100_000)] = 20,
    extension: Annotated[str | None, typer.Option("--extension", "-e", help="Of this extension only.")] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """The last calls, the newest last. With --json and --follow, one line of JSON for each."""
    loaded = load(config)
    if not follow and not store_exists(loaded):
        rows: list[CallRow] = []
        _print(rows, json)
        return
    async with opened(loaded) as store:
        written = await store.calls_written()
        newest_first = await store.calls(limit=limit, extension=extension) if limit else []
        rows = sorted(newest_first, key=lambda row: row.started_at)
        if not follow:
            _print(rows, json)
            return
        for row in rows:
            _print_line(row, json)
        try:
            async with aclosing(store.follow_calls(written)) as news:
                async for row in news:
                    # A record written between the two readings has been printed.
                    if row.ended_at is not None and row not in rows and extension in (None, row.extension):
                        _print_line(row, json)
        except asyncio.CancelledError:  # Ctrl-C: that is how following ends
            return


def call_json(row: "CallRow") -> dict[str, Any]:
    """A call record as `calls --json` prints it."""
    record: dict[str, Any] = msgspec.to_builtins(row)
    return record


def _print(rows: "list[CallRow]", json: bool) -> None:
    if json:
        print_json([call_json(row) for row in rows])
        return
    if not rows:
        typer.echo("no calls yet")
        return
    table = columns("started", "caller", "called", "origin", "plan", "outcome", "decided")
    for row in rows:
        table.add_row(*_cells(row))
    print_table(table)


def _print_line(row: "CallRow", json: bool) -> None:
    if json:
        print_json(call_json(row), indent=None)
    else:
        typer.echo("  ".join(cell for cell in _cells(row) if cell))


def _cells(row: "CallRow") -> list[str]:
    called = row.called if row.extension in (None, row.called) else f"{row.called} ({row.extension})"
    started = row.started_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return [started, row.caller, called, row.origin, " → ".join(map(_step, row.plan)), _outcome(row), row.decided]


def _step(step: dict[str, Any]) -> str:
    match step.get("kind"):
        case "ring":
            return f"ring {step.get('extension')} ×{step.get('rings')}"
        case "forward":
            return f"{step.get('to')} by {step.get('trunk')}"
        case "voicemail":
            return f"voicemail {step.get('mailbox')}"
    return f"end {step.get('cause')}"


def _outcome(row: "CallRow") -> str:
    if row.status is None:
        return "in progress"
    by = next((step["answered_by"] for step in row.outcome if step.get("answered_by")), "")
    cause = f", cause {row.cause}" if row.cause is not None and row.status != ANSWERED_ELSEWHERE else ""
    return f"{row.status}{f' by {by}' if by else ''}{cause}"
