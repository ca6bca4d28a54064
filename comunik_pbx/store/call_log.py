"""Call records inside a transaction: write a batch, read the newest, read what changed, forget the old."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
import structlog
from sqlalchemy import RowMapping, and_, case, delete, func, or_, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from comunik_pbx.store.errors import StoreCorrupt
from comunik_pbx.store.rows import UNREADABLE, CallRow, call_of, checked
from comunik_pbx.store.rule_changes import raw
from comunik_pbx.store.tables import Moment, calls, changes

log = structlog.get_logger(__name__)

UNKNOWN = "unknown"
"""The status of a call of which nobody told the end."""


async def put(connection: AsyncConnection, rows: Sequence[CallRow]) -> None:
    """Write records, each replacing one of the same id, but no open one a closed one, nor an unknown end a known one.

    One that cannot be kept is left out, and logged.

    A service that was restarted during a call it had decided knows how the call ended, but no longer why it went
    that way: beginning, plan and trace stay as they were written.
    """
    columns = []
    for row in rows:
        try:
            columns.append(checked(row))
        except UNREADABLE as error:
            log.error("call record cannot be kept", call=repr(row.id), why=str(error))
    if not columns:
        return
    grown = update(changes).where(changes.c.what == "calls").values(count=changes.c.count + len(columns))
    count = (await connection.execute(grown.returning(changes.c.count))).scalar()
    if count is None:
        raise StoreCorrupt("The store has lost its counter of call records: put back a backup.")
    for change, one in enumerate(columns, count - len(columns) + 1):
        one["change"] = change
    statement, further = _upsert()
    await connection.exec_driver_sql(statement, [(*(_kept(one[c]) for c in _COLUMNS), *further) for one in columns])


_COLUMNS = tuple(column.name for column in calls.columns)
_as_text, _sqlite = Moment().process_bind_param, sqlite.dialect()


def _kept(value: Any) -> Any:
    """A value as SQLite gets it: what SQLAlchemy makes of it too."""
    if isinstance(value, list):
        return msgspec.json.encode(value).decode()
    return _as_text(value, _sqlite) if isinstance(value, datetime) else value


@cache
def _upsert() -> tuple[str, tuple[Any, ...]]:
    """The statement that writes a record, and what it is given after the columns.

    Put together once: for each batch anew it cost nearly a millisecond.
    """
    upsert = insert(calls)
    replaced: dict[str, Any] = {column.name: upsert.excluded[column.name] for column in calls.columns}
    del replaced["id"]
    untold = func.json_array_length(upsert.excluded.trace) == 0
    kept = and_(calls.c.decided == upsert.excluded.decided, untold)
    for name in ("started_at", "plan", "trace"):
        replaced[name] = case((kept, calls.c[name]), else_=upsert.excluded[name])
    # A service that hung and was replaced may wake up and begin a call that has long ended, or miss the end of one.
    ends = or_(
        calls.c.ended_at.is_(None),
        and_(
            upsert.excluded.ended_at.is_not(None),
            or_(upsert.excluded.status.is_distinct_from(UNKNOWN), calls.c.status == UNKNOWN),
        ),
    )
    statement = upsert.on_conflict_do_update(index_elements=["id"], set_=replaced, where=ends)
    compiled = statement.compile(dialect=_sqlite)
    further = (compiled.positiontup or ())[len(_COLUMNS) :]
    return str(compiled), tuple(compiled.params[name] for name in further)


async def newest(
    connection: AsyncConnection, limit: int, extension: str | None, after: datetime | None
) -> list[CallRow]:
    """Read the newest records first: of one extension (as called), begun after a moment."""
    query = raw(calls).order_by(calls.c.started_at.desc(), calls.c.id.desc()).limit(limit)
    if extension is not None:
        query = query.where(calls.c.extension == extension)
    if after is not None:
        query = query.where(calls.c.started_at > after)
    return _readable((await connection.execute(query)).mappings())


async def changed_since(connection: AsyncConnection, change: int, limit: int = 500) -> tuple[list[CallRow], int]:
    """Read the records written after a change number, oldest write first, and the number to go on from."""
    query = raw(calls).where(calls.c.change > change).order_by(calls.c.change).limit(limit)
    rows = (await connection.execute(query)).mappings().all()
    return _readable(rows), rows[-1]["change"] if rows else change


async def close(
    connection: AsyncConnection, alive: Collection[str], before: datetime, ended: Collection[str], now: datetime
) -> int:
    """Close as unknown the open records of calls begun before a moment, but those of channels alive; how many.

    Of records named in `ended` the end is known, and about to be written.
    """
    query = raw(calls).where(calls.c.ended_at.is_(None), calls.c.started_at < before)
    rows = _readable((await connection.execute(query)).mappings())
    # A caller who was transferred and came again has the id of the channel and `#2`.
    gone = [row for row in rows if row.id not in ended and row.id.partition("#")[0] not in alive]
    await put(connection, [msgspec.structs.replace(row, ended_at=now, status=UNKNOWN) for row in gone])
    return len(gone)


async def forget(connection: AsyncConnection, before: datetime, limit: int) -> int:
    """Delete at most `limit` records of calls begun before a moment; how many it were."""
    old = select(calls.c.id).where(calls.c.started_at < before).limit(limit)
    return (await connection.execute(delete(calls).where(calls.c.id.in_(old)))).rowcount


def _readable(rows: Iterable[RowMapping]) -> list[CallRow]:
    found = []
    for row in rows:
        try:
            found.append(call_of(row))
        except UNREADABLE as error:
            log.warning("call record cannot be read", call=row["id"], why=str(error))
    return found
