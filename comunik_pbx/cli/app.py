"""The commands and their names."""

from typing import Annotated

import typer

from comunik_pbx.cli.calls import calls
from comunik_pbx.cli.check import check
from comunik_pbx.cli.explain import explain
from comunik_pbx.cli.history import history
from comunik_pbx.cli.init import init
from comunik_pbx.cli.number import number
from comunik_pbx.cli.rules import rules
from comunik_pbx.cli.serving import reload, run
from comunik_pbx.cli.token import token
from comunik_pbx.cli.user import user

app = typer.Typer(
    help="Call forwarding for Asterisk: every incoming call goes where the called user's rules say.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415

        typer.echo(f"comunik-pbx {version('comunik-pbx')}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="The version.")] = False,
) -> None:
    pass


app.command()(run)
app.command()(check)
app.command()(explain)
rules.command()(history)
app.add_typer(rules, name="rules")
app.command()(calls)
app.command()(reload)
app.add_typer(number, name="number")
app.add_typer(user, name="user")
app.add_typer(token, name="token")
app.command()(init)
