"""Rules with their history, call records, change counters, the running service."""

import sqlalchemy as sa
from alembic import op

from comunik_pbx.store.tables import Moment

revision = "0001"
down_revision = None

SQLITE_TRIGGERS = (
    *(
        f"CREATE TRIGGER rules_{event.lower()} AFTER {event} ON rules "  # noqa: S608
        "BEGIN UPDATE changes SET count = count + 1 WHERE what = 'rules'; END"
        for event in ("INSERT", "UPDATE", "DELETE")
    ),
    *(
        f"CREATE TRIGGER history_{event.lower()} BEFORE {event} ON history "
        "BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END"
        for event in ("UPDATE", "DELETE")
    ),
)


def upgrade() -> None:
    """Make everything."""
    _rules_and_history()
    _calls()
    changes = op.create_table(
        "changes",
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("what", name=op.f("pk_changes")),
    )
    op.bulk_insert(changes, [{"what": "rules", "count": 0}, {"what": "calls", "count": 0}])
    op.create_table(
        "service",
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("process", sa.Text, nullable=False),
        sa.Column("started_at", Moment, nullable=False),
        sa.Column("config", sa.Text, nullable=False),
        sa.Column("loaded_at", Moment, nullable=False),
        sa.Column("load_outcome", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("node", name=op.f("pk_service")),
    )
    if op.get_bind().dialect.name == "sqlite":
        for trigger in SQLITE_TRIGGERS:
            op.execute(trigger)


def _rules_and_history() -> None:
    op.create_table(
        "rules",
        sa.Column("extension", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("to_kind", sa.Text, nullable=False),
        sa.Column("to_number", sa.Text),
        sa.Column("rings", sa.Integer, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("until", Moment),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.Column("changed_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("extension", "kind", name=op.f("pk_rules")),
        sa.CheckConstraint("kind IN ('always', 'internal', 'external')", name=op.f("ck_rules_kind")),
        sa.CheckConstraint("extension <> ''", name=op.f("ck_rules_extension")),
        sa.CheckConstraint("rings BETWEEN 0 AND 12", name=op.f("ck_rules_rings")),
        sa.CheckConstraint("enabled IN (0, 1)", name=op.f("ck_rules_enabled"))
        if op.get_bind().dialect.name == "sqlite"
        else sa.CheckConstraint("enabled IS NOT NULL", name=op.f("ck_rules_enabled")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_rules_version")),
        sa.CheckConstraint(
            "(to_kind = 'voicemail' AND to_number IS NULL)"
            " OR (to_kind = 'extension' AND to_number IS NOT NULL AND to_number <> '')"
            " OR (to_kind = 'number' AND to_number IS NOT NULL AND to_number LIKE '+%')",
            name=op.f("ck_rules_destination"),
        ),
    )
    op.create_table(
        "history",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=True),
        sa.Column("extension", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.Column("changed_at", Moment, nullable=False),
        sa.Column("before", sa.JSON),
        sa.Column("after", sa.JSON),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_history")),
        sa.UniqueConstraint("extension", "kind", "version", name=op.f("uq_history_extension_kind_version")),
        sa.CheckConstraint("action IN ('set', 'on', 'off', 'clear')", name=op.f("ck_history_action")),
        sqlite_autoincrement=True,
    )


def _calls() -> None:
    op.create_table(
        "calls",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("started_at", Moment, nullable=False),
        sa.Column("ended_at", Moment),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("called", sa.Text, nullable=False),
        sa.Column("extension", sa.Text),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("decided", sa.Text, nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("trace", sa.JSON, nullable=False),
        sa.Column("outcome", sa.JSON, nullable=False),
        sa.Column("status", sa.Text),
        sa.Column("cause", sa.Integer),
        sa.Column("change", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calls")),
    )
    op.create_index(op.f("ix_calls_started_at"), "calls", ["started_at"])
    op.create_index(op.f("ix_calls_extension_started_at"), "calls", ["extension", "started_at"])
    op.create_index(op.f("ix_calls_change"), "calls", ["change"])
