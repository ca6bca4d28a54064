"""A small company as its admin writes it."""

from pathlib import Path

GOOD = """\
country = "FR"
language = "fr"
[asterisk]
ari_password_file = "ari.secret"
ami_password_file = "ami.secret"
[forwarding]
allowed_countries = ["FR", "BE"]
deny = ["+33899*"]
[trunks.carrier]
dial = "PJSIP/{number}@carrier"
endpoints = ["carrier"]
[trunks.backup]
dial = "PJSIP/{number}@backup"
[extensions.101]
name = "Alice Martin"
endpoints = ["101", "alice-mobile"]
mailbox = "101@default"
did = ["+33170000101", "01 70 00 01 91"]
[extensions.101.forward.external]
to = "voicemail"
rings = 4
[extensions.102]
name = "Bruno Petit"
busy = "busy"
[extensions.102.forward.always]
to = "06 12 34 56 78"
locked = true
[extensions.103]
"""


def write(directory: Path, text: str = GOOD, **files: str) -> Path:
    """Write `comunik.toml` and its secrets; further files by name with `__` for the dot."""
    for name, content in {"ari__secret": "ari-pw\n", "ami__secret": "ami-pw\n", **files}.items():
        path = directory / name.replace("__", ".")
        path.write_text(content, encoding="utf-8")
        path.chmod(0o600)
    main = directory / "comunik.toml"
    main.write_text(text, encoding="utf-8")
    return main
