"""`comunik-pbx explain CALLER CALLED`: where a call would go, and why. Nothing needs to be running."""

import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from comunik_pbx.cli.output import (
    ConfigOption,
    JsonOption,
    Refused,
    command,
    load_with_numbers,
    moment,
    opened,
    print_json,
    store_exists,
)

if TYPE_CHECKING:
    from comunik_pbx.config import Config
    from comunik_pbx.forwarding.call import Caller
    from comunik_pbx.forwarding.directory import Directory
    from comunik_pbx.forwarding.rules import Rules


@command
async def explain(
    caller: Annotated[str, typer.Argument(help="An extension, a number as people write it, or anonymous.")],
    called: Annotated[str, typer.Argument(help="An extension or a DID.")],
    at: Annotated[
        str | None, typer.Option("--at", help="When; now unless given. Local time without an offset.")
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Where a call would go, and why. Uses the rules in force; nothing needs to be running."""
    from comunik_pbx.forwarding import explain as words  # noqa: PLC0415
    from comunik_pbx.forwarding.call import Call  # noqa: PLC0415
    from comunik_pbx.forwarding.plan import plan  # noqa: PLC0415

    now = moment(at, "--at") if at else datetime.now().astimezone()
    loaded = await load_with_numbers(config)
    call = Call(caller=read_caller(caller, loaded.directory), called=called.strip())
    decided = plan(call, loaded.directory, await rules_in_force(loaded), now)
    if json:
        print_json(words.as_json(call, decided))
    else:
        typer.echo(words.as_text(call, decided, loaded.directory))


def read_caller(written: str, directory: "Directory") -> "Caller":
    """Who calls, as people write it. A number of ours is the extension it belongs to."""
    from comunik_pbx.forwarding.call import Caller  # noqa: PLC0415

    text = written.strip()
    if text.lower() == "anonymous":
        return Caller(withheld=True)
    if extension := directory.called(text):
        return Caller(extension=extension.number)
    if number := directory.numbers.e164(text):
        return Caller(number=number)
    if re.fullmatch(r"\+?[0-9 ().-]+", text):  # callers send what they like, short codes too
        return Caller(number=re.sub(r"[^0-9+]", "", text))
    raise Refused(f"the caller {written!r} is nobody; right: an extension, a number such as +33140000000, or anonymous")


async def rules_in_force(config: "Config") -> "Rules":
    """The configuration's default rules and the users' own, as a call would meet them."""
    from comunik_pbx.forwarding.rules import effective  # noqa: PLC0415

    if not store_exists(config):  # nobody has set a rule yet
        return config.default_rules
    async with opened(config) as store:
        return effective(config.default_rules, await store.rules())
