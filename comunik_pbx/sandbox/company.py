"""The sandbox company: its people, DIDs and carriers, its passwords, and its `comunik.toml`.

Extensions 101 to 115; 101 to 110 have a mailbox (PIN 4242) and the DIDs +33170000101 to +33170000110.
Passwords and secrets are made once per sandbox and kept in `company/secrets.json` (mode 0600).
"""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import msgspec

from comunik_pbx.sandbox.errors import SandboxError
from comunik_pbx.sandbox.layout import CARRIER_PORT, Layout

MAILBOX_PIN = "4242"
COMPANY_NUMBER = "+33170000100"
ARI_USER = AMI_USER = "comunik"
DATABASE = "comunik.db"  # beside comunik.toml

_NAMES = (
    "Alice Martin",
    "Bruno Petit",
    "Chloé Durand",
    "David Leroy",
    "Emma Moreau",
    "Farid Benali",
    "Gaëlle Simon",
    "Hugo Laurent",
    "Inès Lefèvre",
    "Jules Michel",
    "Accueil",
    "Atelier",
    "Salle de réunion",
    "Entrepôt",
    "Stagiaire",
)


@dataclass(frozen=True)
class Person:
    """One extension of the company. `did` is E.164; `mailbox` is `box@context`; both None for 111 to 115."""

    extension: str
    name: str
    did: str | None
    mailbox: str | None


STAFF = tuple(
    Person(
        str(number),
        name,
        f"+33170000{number}" if number <= 110 else None,
        f"{number}@default" if number <= 110 else None,
    )
    for number, name in enumerate(_NAMES, start=101)
)


class Secrets(msgspec.Struct, frozen=True):
    """Random passwords of one sandbox; `phones` by extension, `portal` by account of those who try the portal."""

    ari: str
    ami: str
    phones: dict[str, str]
    portal: dict[str, str] = {}


def load_secrets(layout: Layout) -> Secrets:
    """The sandbox's passwords, made and written at the first call."""
    path = layout.company / "secrets.json"
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Secrets)
        if found.portal:
            return found
        made = msgspec.structs.replace(found, portal=_portal_passwords())
        write_private(path, msgspec.json.encode(made).decode())
        return made
    except FileNotFoundError:
        pass
    except msgspec.DecodeError as error:
        raise SandboxError(f"{path} is damaged ({error}); delete it and start again") from error
    made = Secrets(
        ari=secrets.token_urlsafe(24),
        ami=secrets.token_urlsafe(24),
        phones={person.extension: secrets.token_urlsafe(9) for person in STAFF},
        portal=_portal_passwords(),
    )
    write_private(path, msgspec.json.encode(made).decode())
    return made


def _portal_passwords() -> dict[str, str]:
    return {name: secrets.token_urlsafe(9) for name in (STAFF[0].extension, "boss")}


def write_private(path: Path, text: str) -> None:
    """Write a file only its owner may read, at once or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)


def write_comunik_toml(
    layout: Layout, passwords: Secrets, *, includes: tuple[Path, ...] = (), database: str = DATABASE
) -> Path:
    """Write the service's configuration and its two secret files; returns the path of `comunik.toml`."""
    write_private(layout.company / "ari.secret", passwords.ari + "\n")
    write_private(layout.company / "ami.secret", passwords.ami + "\n")
    path = layout.company / "comunik.toml"
    write_private(path, comunik_toml(layout, includes, database))
    return path


def forget_rules(layout: Layout, database: str) -> None:
    """Delete a database of the service: its rules, their history and the call records."""
    for path in layout.company.glob(f"{database}*"):  # -wal and -shm too
        path.unlink()


def comunik_toml(layout: Layout, includes: tuple[Path, ...] = (), database: str = DATABASE) -> str:
    """The configuration of the service for the sandbox company."""
    addresses = layout.addresses
    quoted = ", ".join(msgspec.json.encode(str(path)).decode() for path in includes)
    parts = [
        "# The sandbox company. Written at every start of the sandbox: put changes into a file of your own,\n"
        "# `make run EXTRA=file.toml`.",
        'country = "FR"\nlanguage = "fr"' + (f"\ninclude = [{quoted}]" if includes else ""),
        "[asterisk]\n"
        f'ari_url = "http://{addresses.host}:{addresses.ari}/ari"\nari_user = "{ARI_USER}"\n'
        'ari_password_file = "ari.secret"\n'
        f'ami_host = "{addresses.host}"\nami_port = {addresses.ami}\nami_user = "{AMI_USER}"\n'
        'ami_password_file = "ami.secret"',
        f'[store]\nurl = "sqlite:///{database}"',
        f'[portal]\nlisten = "{addresses.host}:{addresses.portal}"\ndial_context = "from-phones"',
        "[ringing]\ndefault_rings = 6",
        '[forwarding]\nmax_hops = 5\nallowed_countries = ["FR"]\ndeny = ["+33899*"]',
    ]
    parts += [
        f'[trunks.{name}]\ndial = "PJSIP/{{number}}@{name}"\nendpoints = ["{name}"]\nnumber_format = "e164"\n'
        f'caller_id = "original"\ncompany_number = "{COMPANY_NUMBER}"'
        for name in addresses.carriers
    ]
    for person in STAFF:
        part = f'[extensions.{person.extension}]\nname = "{person.name}"\nendpoints = ["{person.extension}"]'
        if person.mailbox:
            part += f'\nmailbox = "{person.mailbox}"\ndid = ["{person.did}"]'
        parts.append(part)
    return "\n\n".join(parts) + "\n"


def carrier_addresses(layout: Layout) -> list[tuple[str, str]]:
    """(trunk, `address:port`) of the carriers, in the order they are tried."""
    return [(trunk, f"{address}:{CARRIER_PORT}") for trunk, address in layout.addresses.carriers.items()]
