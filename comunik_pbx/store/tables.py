"""What is kept. The same definitions serve SQLite and PostgreSQL; `migrations/` make and change them.

Moments are aware datetimes: `timestamptz` on PostgreSQL, on SQLite text in UTC with a fixed width, so that
text order is time order. The CHECKs refuse what could never be obeyed, even from a hand in the database.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

HEAD = "0004"  # the newest migration; a test compares


class Moment(TypeDecorator[datetime]):
    """An aware datetime, kept in UTC to the microsecond."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Text on SQLite, which has no type for it."""
        return dialect.type_descriptor(String(32) if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """UTC; on SQLite `2026-11-22T09:30:00.000000+00:00`."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        moment = value.astimezone(UTC)
        return moment.isoformat(timespec="microseconds") if dialect.name == "sqlite" else moment

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Read the moment, in UTC."""
        return datetime.fromisoformat(value) if isinstance(value, str) else value


metadata = MetaData(
    naming_convention={
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

KINDS = "('always', 'internal', 'external')"

rules = Table(
    "rules",
    metadata,
    Column("extension", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("to_kind", Text, nullable=False),
    Column("to_number", Text),  # none for voicemail
    Column("rings", Integer, nullable=False),
    Column("enabled", Boolean(name="enabled", create_constraint=True), nullable=False),
    Column("until", Moment),
    Column("version", Integer, nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("changed_at", Moment, nullable=False),
    CheckConstraint(f"kind IN {KINDS}", name="kind"),
    CheckConstraint("extension <> ''", name="extension"),
    CheckConstraint("rings BETWEEN 0 AND 12", name="rings"),
    CheckConstraint("version >= 1", name="version"),
    CheckConstraint(
        "(to_kind = 'voicemail' AND to_number IS NULL)"
        " OR (to_kind = 'extension' AND to_number IS NOT NULL AND to_number <> '')"
        " OR (to_kind = 'number' AND to_number IS NOT NULL AND to_number LIKE '+%')",
        name="destination",
    ),
)

# Append-only (triggers refuse the rest). A clear counts as a version, so (extension, kind, version) names one
# change for ever, also after the rule was cleared and set again.
history = Table(
    "history",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("extension", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("action", Text, nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("changed_at", Moment, nullable=False),
    Column("before", JSON(none_as_null=True)),
    Column("after", JSON(none_as_null=True)),
    UniqueConstraint("extension", "kind", "version"),
    CheckConstraint("action IN ('set', 'on', 'off', 'clear')", name="action"),
    sqlite_autoincrement=True,
)

# Every outside number that an extension ever forwarded to, with the change of its rules that was the first: a line of
# `history` is one of a new target if it stands here. `told` once the running service has said so in its log.
outside_targets = Table(
    "outside_targets",
    metadata,
    Column("extension", Text, primary_key=True),
    Column("number", Text, primary_key=True),  # E.164
    Column("kind", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("first_at", Moment, nullable=False),
    Column("first_by", Text, nullable=False),
    Column("told", Boolean(name="told", create_constraint=True), nullable=False),
)

calls = Table(
    "calls",
    metadata,
    Column("id", Text, primary_key=True),  # Asterisk's UNIQUEID
    Column("started_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("caller", Text, nullable=False),
    Column("called", Text, nullable=False),
    Column("extension", Text),
    Column("origin", Text, nullable=False),
    Column("decided", Text, nullable=False),
    Column("plan", JSON, nullable=False),
    Column("trace", JSON, nullable=False),
    Column("outcome", JSON, nullable=False),
    Column("status", Text),
    Column("cause", Integer),
    Column("change", Integer, nullable=False),  # counts every write of every record: what `--follow` goes by
    Index(None, "started_at"),
    Index(None, "extension", "started_at"),
    Index(None, "change"),
)

# Counters that only grow: `rules` by a trigger at every change, whoever makes it; `calls` by `put_calls`.
changes = Table(
    "changes",
    metadata,
    Column("what", Text, primary_key=True),
    Column("count", Integer, nullable=False),
)

# The running service, one row ("local").
service = Table(
    "service",
    metadata,
    Column("node", Text, primary_key=True),
    Column("pid", Integer, nullable=False),
    Column("process", Text, nullable=False),  # tells a process from a later one with the same pid
    Column("started_at", Moment, nullable=False),
    Column("config", Text, nullable=False),
    Column("loaded_at", Moment, nullable=False),
    Column("load_outcome", Text, nullable=False),
)

# Who may sign in to the portal. Secrets are kept as hashes only.
accounts = Table(
    "accounts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("password_hash", Text),
    Column("language", Text),
    Column("theme", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("password_changed_at", Moment),
    CheckConstraint("role IN ('user', 'admin')", name="role"),
    CheckConstraint("theme IN ('system', 'light', 'dark')", name="theme"),
)

profiles = Table(
    "profiles",
    metadata,
    Column("account", Text, primary_key=True),
    Column("full_name", Text, nullable=False),
    Column("department", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("phone", Text, nullable=False),
    Column("photo", Integer, nullable=False),  # counts its changes; 0 for none
    Column("photo_png", LargeBinary),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
    Column("address", Text, nullable=False),
    Column("browser", Text, nullable=False),
    Index(None, "account"),
)

invitations = Table(
    "invitations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("expires_at", Moment, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("scopes", Text, nullable=False),  # separated by spaces
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("used_at", Moment),
)

# Outside numbers that an administrator allows besides those of the configuration.
allowed_numbers = Table(
    "allowed_numbers",
    metadata,
    Column("number", Text, primary_key=True),  # E.164
    Column("name", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("enabled", Boolean(name="enabled", create_constraint=True), nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("changed_at", Moment, nullable=False),
    CheckConstraint("number LIKE '+%'", name="number"),
)

# Outside numbers that an extension's calls may be forwarded to where `forwarding.prove_numbers` asks for a proof.
proven_numbers = Table(
    "proven_numbers",
    metadata,
    Column("extension", Text, primary_key=True),
    Column("number", Text, primary_key=True),  # E.164
    Column("proven_at", Moment, nullable=False),
    Column("proven_by", Text, nullable=False),
    CheckConstraint("number LIKE '+%'", name="number"),
)

# Append-only (triggers refuse the rest).
audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", Moment, nullable=False),
    Column("account", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Index(None, "account"),
    sqlite_autoincrement=True,
)
