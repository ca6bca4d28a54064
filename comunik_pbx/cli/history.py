"""`comunik-pbx rules history`: who changed which rule when, and what led to an outside number for the first time."""

from typing import TYPE_CHECKING, Annotated, Any

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
    shown,
    store_exists,
)

if TYPE_CHECKING:
    from comunik_pbx.store import Change


@command
async def history(
    extension: Annotated[str | None, typer.Argument(help="Of this extension only.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", help="At most so many.", min=1, max=100_000)] = 50,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Who changed which rule, the newest last; `new` marks an outside number the extension never had before."""
    loaded = load(config)
    changes: list[Change] = []
    if store_exists(loaded):
        async with opened(loaded) as store:
            changes = (await store.history(extension, limit))[::-1]
    if json:
        print_json([_json(change) for change in changes])
        return
    if not changes:
        typer.echo("no rule has been changed")
        return
    table = columns("when", "extension", "rule", "change", "to", "new", "by")
    for change in changes:
        new = "new" if change.new_target else ""
        row = (shown(change.changed_at), change.extension, change.kind, change.action, _to(change), new)
        table.add_row(*row, change.changed_by)
    print_table(table)


def _to(change: "Change") -> str:
    columns = change.after or {}
    return str(columns.get("to_number") or columns.get("to_kind") or "")


def _json(change: "Change") -> dict[str, Any]:
    return {
        "extension": change.extension,
        "kind": change.kind,
        "action": change.action,
        "changed_by": change.changed_by,
        "changed_at": change.changed_at.isoformat(),
        "new_target": change.new_target,
        "before": change.before,
        "after": change.after,
    }
