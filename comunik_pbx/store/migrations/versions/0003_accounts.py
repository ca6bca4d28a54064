"""Accounts of the portal: profiles, sessions, invitations, tokens, the audit; and allowed numbers."""

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
        "allowed_numbers",
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.Column("changed_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_allowed_numbers")),
        sa.CheckConstraint("number LIKE '+%'", name=op.f("ck_allowed_numbers_number")),
        sa.CheckConstraint("enabled IN (0, 1)", name=op.f("ck_allowed_numbers_enabled"))
        if op.get_bind().dialect.name == "sqlite"
        else sa.CheckConstraint("enabled IS NOT NULL", name=op.f("ck_allowed_numbers_enabled")),
    )
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
        op.execute(
            "CREATE TRIGGER allowed_numbers_insert AFTER INSERT ON allowed_numbers "
            "BEGIN UPDATE changes SET count = count + 1 WHERE what = 'rules'; END"
        )
        for event in ("UPDATE", "DELETE"):
            op.execute(  # another process changes what a running service decides by
                f"CREATE TRIGGER allowed_numbers_{event.lower()} AFTER {event} ON allowed_numbers "  # noqa: S608
                "BEGIN UPDATE changes SET count = count + 1 WHERE what = 'rules'; END"
            )
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
