"""Accounts of the portal: profiles, sessions, invitations, tokens, and the audit."""

import sqlalchemy as sa
from alembic import op

from comunik_pbx.store.tables import Moment

revision = "0003"
down_revision = "0001"


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "accounts",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("password_hash", sa.Text),
        sa.Column("language", sa.Text),
        sa.Column("theme", sa.Text, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("password_changed_at", Moment),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_accounts")),
        sa.CheckConstraint("role IN ('user', 'admin')", name=op.f("ck_accounts_role")),
        sa.CheckConstraint("theme IN ('system', 'light', 'dark')", name=op.f("ck_accounts_theme")),
    )
    op.create_table(
        "profiles",
        sa.Column("account", sa.Text, nullable=False),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("full_name", "department", "email", "address", "phone")
        ),
        sa.Column("photo", sa.Integer, nullable=False),
        sa.Column("photo_png", sa.LargeBinary),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_profiles")),
    )
    _secrets()
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=True),
        sa.Column("at", Moment, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("account", "action", "by", "address", "detail")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_audit_account"), "audit", ["account"])
    if op.get_bind().dialect.name == "sqlite":
        for event in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_{event.lower()} BEFORE {event} ON audit "
                "BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END"
            )


def _secrets() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("seen_at", Moment, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("browser", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_account"), "sessions", ["account"])
    op.create_table(
        "invitations",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("expires_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitations")),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("expires_at", Moment),
        sa.Column("used_at", Moment),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
    )
