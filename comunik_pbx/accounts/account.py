"""Accounts, profiles, sessions and the audit, as the store keeps them and the portal shows them."""

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec


class Role(StrEnum):
    """What an account may see: its own extension, or everybody's."""

    USER = "user"
    ADMIN = "admin"


class Theme(StrEnum):
    """How the portal looks; `system` follows the browser (prefers-color-scheme)."""

    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One account. `name` is an extension's number, or an administrator's name.

    `password_hash` is Argon2's encoded form, None until the invitation is used. `language` is `en` or `fr`, None for
    the extension's or the company's.
    """

    name: str
    role: Role = Role.USER
    password_hash: str | None = None
    language: str | None = None
    theme: Theme = Theme.SYSTEM
    created_at: datetime
    password_changed_at: datetime | None = None


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What a user says of himself. `phone` is E.164; `photo` counts the changes of his photo, 0 for none."""

    full_name: str = ""
    department: str = ""
    email: str = ""
    address: str = ""
    phone: str = ""
    photo: int = 0


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One browser signed in. `id` is the SHA-256 of its cookie's secret, which is kept nowhere."""

    id: str
    account: str
    created_at: datetime
    seen_at: datetime
    address: str
    browser: str


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """One token of the API. `id` is the SHA-256 of its secret; `scopes` are those of `SCOPES`."""

    id: str
    account: str
    label: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    used_at: datetime | None = None


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was done with an account: `action` is a stable word, `detail` what it was about."""

    id: int
    at: datetime
    account: str
    action: str
    by: str
    address: str = ""
    detail: str = ""


class AllowedNumber(msgspec.Struct, frozen=True, kw_only=True):
    """An outside number that an administrator allows, though its country is not. `number` is E.164."""

    number: str
    name: str = ""
    comment: str = ""
    enabled: bool = True
    changed_by: str
    changed_at: datetime


class ProvenNumber(msgspec.Struct, frozen=True, kw_only=True):
    """An outside number (E.164) that an extension's calls may be forwarded to where a proof is needed.

    `proven_by` is who typed the code (`portal:101`, `api:101`), or the administrator who vouches for it.
    """

    extension: str
    number: str
    proven_at: datetime
    proven_by: str


SCOPES = (
    "rules:read",
    "rules:write",
    "profile:read",
    "profile:write",
    "calls:read",
    "calls:dial",
    "security:read",
    "security:write",
    "admin:read",
    "admin:write",
)
"""What a token of the API may be for."""

SESSION_IDLE = timedelta(days=14)
"""A session that is not used for so long has ended."""

SESSION_LONGEST = timedelta(days=90)
"""After so long one signs in again, however often the session was used."""

INVITATION_DAYS = 7


def session_ended(session: Session, now: datetime) -> bool:
    """Whether a session is too old."""
    return now - session.seen_at > SESSION_IDLE or now - session.created_at > SESSION_LONGEST
