"""The command line. One module for each thing an admin does; `output` says how commands answer and fail.

Exit status: 0, 1 (said no, the reason is on standard error), 2 (usage). Heavy imports are made when needed, so that
`comunik-pbx --help` and completion are quick.
"""


def main() -> None:
    """The program `comunik-pbx`."""
    from comunik_pbx.cli.app import app  # noqa: PLC0415 - typer only when it is a program

    app(prog_name="comunik-pbx")
