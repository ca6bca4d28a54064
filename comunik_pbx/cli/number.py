"""`comunik-pbx number …`: outside numbers that users have proven, or that an administrator vouches for."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from comunik_pbx.cli.explain import rules_in_force
from comunik_pbx.cli.output import (
    ConfigOption,
    JsonOption,
    Refused,
    columns,
    command,
    load_with_numbers,
    opened,
    print_json,
    print_table,
    shown,
    store_exists,
    who,
)

if TYPE_CHECKING:
    from comunik_pbx.accounts.account import ProvenNumber
    from comunik_pbx.config import Config
    from comunik_pbx.forwarding.rules import Rule

number = typer.Typer(
    help="Outside numbers proven before use (forwarding.prove_numbers).",
    no_args_is_help=True,
)


@number.command("prove")
@command
async def prove(
    extension: Annotated[str | None, typer.Argument(metavar="EXTENSION", help="Whose, such as 101.")] = None,
    written: Annotated[str | None, typer.Argument(metavar="NUMBER", help="As people write it.")] = None,
    *,
    of_rules: Annotated[bool, typer.Option("--rules", help="All outside numbers of the rules as they stand.")] = False,
    config: ConfigOption = None,
) -> None:
    """Vouch for a number: calls of this extension may be forwarded to it without a proof."""
    loaded = await load_with_numbers(config)
    if of_rules in (extension is not None, written is not None):
        raise typer.BadParameter("EXTENSION and NUMBER, or --rules alone")
    if extension is None or written is None:
        wanted = [(rule.extension, str(rule.to)) for rule in await unproven_rules(loaded, off_too=True)]
    else:
        wanted = [(extension, _allowed(extension, written, loaded))]
    async with opened(loaded) as store:
        new = await store.proven.add(list(dict.fromkeys(wanted)), by=who(), at=datetime.now(UTC))
    typer.echo(f"{who()} vouches for {new} number{'' if new == 1 else 's'} more")
    if loaded.directory.proven is None:
        typer.echo("forwarding.prove_numbers is off: nothing asks for it yet", err=True)


@number.command("list")
@command
async def list_(
    extension: Annotated[str | None, typer.Argument(help="Of this extension only.")] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """The numbers that users have proven, or that an administrator vouches for."""
    loaded = await load_with_numbers(config)
    found: list[ProvenNumber] = []
    if store_exists(loaded):
        async with opened(loaded) as store:
            found = await store.proven.all(extension)
    if json:
        names = ("extension", "number", "proven_by")
        print_json([{n: getattr(one, n) for n in names} | {"proven_at": one.proven_at.isoformat()} for one in found])
        return
    if not found:
        typer.echo("no number has been proven")
        return
    table = columns("extension", "number", "proven", "by")
    for one in found:
        table.add_row(one.extension, one.number, shown(one.proven_at), one.proven_by)
    print_table(table)


@number.command("remove")
@command
async def remove(
    extension: Annotated[str, typer.Argument(metavar="EXTENSION")],
    written: Annotated[str, typer.Argument(metavar="NUMBER")],
    config: ConfigOption = None,
) -> None:
    """Ask for a proof again: until then calls of this extension are not forwarded to the number."""
    loaded = await load_with_numbers(config)
    e164 = loaded.directory.numbers.e164(written) or written
    async with opened(loaded) as store:
        if not await store.proven.remove(extension, e164, by=who(), at=datetime.now(UTC)):
            raise Refused(f"{extension} has not proven {e164}; right: one of `comunik-pbx number list {extension}`")
    typer.echo(f"{e164} must be proven again by {extension}")


def _allowed(extension: str, written: str, config: "Config") -> str:
    from comunik_pbx.config.hints import extensions, hint  # noqa: PLC0415
    from comunik_pbx.forwarding.plan import outside  # noqa: PLC0415
    from comunik_pbx.forwarding.refusals import Refusal  # noqa: PLC0415

    directory = config.directory.trusting()
    if (found := directory.extensions.get(extension)) is None:
        raise Refused(f"there is no extension {extension}; right: {extensions(directory)}")
    allowed = outside(written, found, directory)
    if isinstance(allowed, Refusal):
        raise Refused(f"{allowed.words()}; right: {hint(allowed, directory)}")
    return allowed.number


async def unproven_rules(config: "Config", *, off_too: bool = False) -> "list[Rule]":
    """The rules that lead to outside numbers of which a proof is, or would be, missing; those that are on."""
    import msgspec  # noqa: PLC0415

    from comunik_pbx.cli.rules import each  # noqa: PLC0415
    from comunik_pbx.forwarding.plan import unproven  # noqa: PLC0415

    directory = config.directory
    if directory.proven is None:
        directory = msgspec.structs.replace(directory, proven={})
    missing = []
    for rule in each(await rules_in_force(config)):
        extension = directory.extensions.get(rule.extension)
        if extension is not None and (rule.enabled or off_too) and unproven(rule, extension, directory):
            missing.append(rule)
    return missing
