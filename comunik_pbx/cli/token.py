"""`comunik-pbx token …`: tokens of the API."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from comunik_pbx.accounts.account import SCOPES, Role, Token
from comunik_pbx.cli.output import (
    ConfigOption,
    JsonOption,
    Refused,
    columns,
    command,
    load,
    opened,
    print_json,
    print_table,
    shown,
    store_exists,
    who,
)

token = typer.Typer(help="Tokens of the portal's API.", no_args_is_help=True)

AccountArgument = Annotated[str, typer.Argument(metavar="ACCOUNT", help="For whom it acts, such as 101.")]
LabelArgument = Annotated[str, typer.Argument(metavar="LABEL", help="What it is for, in a word.")]


@token.command("make")
@command
async def make(
    account: AccountArgument,
    label: LabelArgument,
    *,
    scope: Annotated[list[str], typer.Option("--scope", help=f"One or more of {', '.join(SCOPES)}.")],
    days: Annotated[int | None, typer.Option("--days", help="How long it works; for ever unless given.", min=1)] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Print a new token, once: only its fingerprint is kept."""
    from comunik_pbx.store.accounts import fingerprint  # noqa: PLC0415

    loaded = load(config)
    if unknown := [one for one in scope if one not in SCOPES]:
        raise typer.BadParameter(f"{unknown[0]!r} is none; right: {', '.join(SCOPES)}", param_hint="--scope")
    secret, now = f"cpbx_{secrets.token_urlsafe(32)}", datetime.now(UTC)
    expires = now + timedelta(days=days) if days else None
    async with opened(loaded) as store:
        owner = await store.accounts.account(account)
        if owner is None:
            raise Refused(f"there is no account {account}; make it: comunik-pbx user invite {account}")
        if any(one.startswith("admin:") for one in scope) and owner.role is not Role.ADMIN:
            raise Refused(f"{account} is no administrator; right: other scopes, or comunik-pbx user invite --admin")
        made = Token(
            id=fingerprint(secret),
            account=account,
            label=label,
            scopes=tuple(dict.fromkeys(scope)),
            created_at=now,
            expires_at=expires,
        )
        await store.accounts.put_token(made, by=who())
    if json:
        print_json({"token": secret, "account": account, "label": label, "scopes": list(made.scopes)})
    else:
        typer.echo(secret)


@token.command("list")
@command
async def list_(json: JsonOption = False, config: ConfigOption = None) -> None:
    """All tokens, without their secrets."""
    loaded = load(config)
    found: list[Token] = []
    if store_exists(loaded):
        async with opened(loaded) as store:
            found = await store.accounts.tokens()
    if json:
        print_json([_json(one) for one in found])
        return
    table = columns("account", "label", "scopes", "made", "until", "used")
    for one in found:
        scopes = " ".join(one.scopes)
        table.add_row(one.account, one.label, scopes, shown(one.created_at), shown(one.expires_at), shown(one.used_at))
    print_table(table)


@token.command("remove")
@command
async def remove(account: AccountArgument, label: LabelArgument, config: ConfigOption = None) -> None:
    """Forget a token: it no longer works."""
    loaded = load(config)
    async with opened(loaded) as store:
        if not await store.accounts.remove_token(account, label, by=who(), at=datetime.now(UTC)):
            raise Refused(f"{account} has no token {label}; right: one of `comunik-pbx token list`")
    typer.echo(f"token {label} of {account} removed")


def _json(one: Token) -> dict[str, object]:
    return {
        "account": one.account,
        "label": one.label,
        "scopes": list(one.scopes),
        "created_at": one.created_at.isoformat(),
        "expires_at": one.expires_at.isoformat() if one.expires_at else None,
        "used_at": one.used_at.isoformat() if one.used_at else None,
    }
