"""Outside numbers of each extension: those it ever forwarded to, and those proven to be somebody's."""

import json
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from comunik_pbx.store.tables import Moment

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make them; numbers that rules have had until now are known already."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    op.create_table(
        "outside_targets",
        sa.Column("extension", sa.Text, nullable=False),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("first_at", Moment, nullable=False),
        sa.Column("first_by", sa.Text, nullable=False),
        sa.Column("told", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("extension", "number", name=op.f("pk_outside_targets")),
        sa.CheckConstraint("told IN (0, 1)" if sqlite else "told IS NOT NULL", name=op.f("ck_outside_targets_told")),
    )
    op.create_table(
        "proven_numbers",
        sa.Column("extension", sa.Text, nullable=False),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("proven_at", Moment, nullable=False),
        sa.Column("proven_by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("extension", "number", name=op.f("pk_proven_numbers")),
        sa.CheckConstraint("number LIKE '+%'", name=op.f("ck_proven_numbers_number")),
    )
    if sqlite:
        for event in ("INSERT", "UPDATE", "DELETE"):
            op.execute(  # another process changes what a running service decides by
                f"CREATE TRIGGER proven_numbers_{event.lower()} AFTER {event} ON proven_numbers "  # noqa: S608
                "BEGIN UPDATE changes SET count = count + 1 WHERE what = 'rules'; END"
            )
    _remember_targets()


def _remember_targets() -> None:
    """Read them from the history; a line that cannot be read says nothing."""
    connection = op.get_bind()
    columns: list[Any] = [sa.column(name) for name in ("extension", "kind", "version", "changed_by", "changed_at")]
    # As text: what is JSON is decoded here, each on its own.
    columns.append(sa.cast(sa.column("after"), sa.Text))
    history = sa.select(*columns).select_from(sa.table("history"))
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in connection.execute(history.order_by(sa.column("id"))):
        extension, kind, version, by, at, after = row
        try:
            rule = json.loads(after or "null")
            number = rule["to_number"] if rule and rule["to_kind"] == "number" else None
            moment = datetime.fromisoformat(at) if isinstance(at, str) else at
        except (ValueError, KeyError, TypeError):
            continue
        if isinstance(number, str) and isinstance(moment, datetime) and moment.tzinfo is not None:
            first = {"kind": kind, "version": version, "first_at": moment, "first_by": by, "told": True}
            found.setdefault((str(extension), number), first)
    targets = sa.table(
        "outside_targets",
        *(sa.column(name) for name in ("extension", "number", "kind", "version", "first_by", "told")),
        sa.column("first_at", Moment),
    )
    if rows := [{"extension": e, "number": n, **first} for (e, n), first in found.items()]:
        op.bulk_insert(targets, rows)
