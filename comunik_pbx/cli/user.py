"""`comunik-pbx user …`: who may sign in to the portal."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from comunik_pbx.accounts.account import INVITATION_DAYS, Account, Role
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

if TYPE_CHECKING:
    from comunik_pbx.config import Config

user = typer.Typer(help="Who may sign in to the portal.", no_args_is_help=True)

_ADMIN_NAME = r"[A-Za-z][A-Za-z0-9_.-]{0,31}"


@user.command("invite")
@command
async def invite(
    name: Annotated[str, typer.Argument(metavar="EXTENSION", help="Such as 101; for an administrator a name will do.")],
    admin: Annotated[bool, typer.Option("--admin", help="May see everybody.")] = False,
    days: Annotated[int, typer.Option("--days", help="How long the link works.", min=1, max=90)] = INVITATION_DAYS,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Print a link by which somebody chooses a password, once. Also for one that was forgotten."""
    loaded = load(config)
    _may_have_an_account(name, admin, loaded)
    if loaded.portal.listen is None:
        raise Refused(
            f'{loaded.path}: portal.listen is not set; right: [portal] with listen = "127.0.0.1:8080", then restart'
        )
    secret, now = secrets.token_urlsafe(32), datetime.now(UTC)
    expires = now + timedelta(days=days)
    role = Role.ADMIN if admin else Role.USER
    async with opened(loaded) as store:
        await store.accounts.invite(name, role, secret, expires, by=who(), at=now)
    link = f"{loaded.portal.url}/invitation/{secret}"
    if json:
        print_json({"name": name, "role": role.value, "link": link, "expires_at": expires.isoformat()})
    else:
        typer.echo(link)
        typer.echo(f"for {name} ({role.value}), once, until {shown(expires)}", err=True)


@user.command("list")
@command
async def list_(json: JsonOption = False, config: ConfigOption = None) -> None:
    """All accounts."""
    loaded = load(config)
    found: list[Account] = []
    if store_exists(loaded):
        async with opened(loaded) as store:
            found = await store.accounts.all()
    if json:
        print_json([_account_json(account) for account in found])
        return
    if not found:
        typer.echo("no accounts yet; make one: comunik-pbx user invite EXTENSION")
        return
    table = columns("account", "role", "password", "since")
    for account in found:
        password = f"set {shown(account.password_changed_at)}" if account.password_hash else "none yet"
        table.add_row(account.name, account.role.value, password, shown(account.created_at))
    print_table(table)


@user.command("remove")
@command
async def remove(name: Annotated[str, typer.Argument(metavar="ACCOUNT")], config: ConfigOption = None) -> None:
    """Forget an account: its sessions and tokens end at once. Its rules stay."""
    loaded = load(config)
    async with opened(loaded) as store:
        if not await store.accounts.remove(name, by=who(), at=datetime.now(UTC)):
            raise Refused(f"there is no account {name}; right: one of `comunik-pbx user list`")
    typer.echo(f"{name} removed")


def _account_json(account: Account) -> dict[str, object]:
    changed = account.password_changed_at
    return {
        "name": account.name,
        "role": account.role.value,
        "has_password": account.password_hash is not None,
        "password_changed_at": changed.isoformat() if changed else None,
        "language": account.language,
        "theme": account.theme.value,
        "created_at": account.created_at.isoformat(),
    }


def _may_have_an_account(name: str, admin: bool, config: "Config") -> None:
    import re  # noqa: PLC0415

    from comunik_pbx.config.hints import extensions  # noqa: PLC0415

    if name in config.directory.extensions or (admin and re.fullmatch(_ADMIN_NAME, name)):
        return
    right = f"{extensions(config.directory)}" + (", or a name of letters and digits" if admin else "")
    raise Refused(f"there is no extension {name}; right: {right}")
