"""Rules inside a transaction: read them all, change one with its line of history."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    RowMapping,
    Select,
    Table,
    and_,
    delete,
    func,
    insert,
    select,
    true,
    type_coerce,
    update,
)
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import NullType

from comunik_pbx.forwarding.rules import ExtensionRules, Rule, RuleKind, ToNumber
from comunik_pbx.store.errors import RuleMissing, StoreRefused
from comunik_pbx.store.rows import UNREADABLE, Change, NewTarget, change_of, columns_of, plain, rule_of
from comunik_pbx.store.tables import history, outside_targets, rules


def raw(table: Table) -> Select[Any]:
    """Select the columns as the database has them: each row is then decoded, and may fail, on its own."""
    columns: list[Any] = [type_coerce(column, NullType()).label(column.name) for column in table.columns]
    query: Select[Any] = select(*columns)
    return query


def by_extension(rows: Iterable[RowMapping]) -> tuple[dict[str, ExtensionRules], list[str]]:
    """Sort the rules of all rows that can be read, and a complaint for each that cannot."""
    found: dict[str, dict[str, Rule]] = {}
    complaints = []
    for row in rows:
        try:
            rule = rule_of(row)
        except UNREADABLE as error:
            complaints.append(f"rule {row['extension']}/{row['kind']} in the store is not obeyed: {error}")
        else:
            found.setdefault(rule.extension, {})[rule.kind.value] = rule
    return {extension: ExtensionRules(**kinds) for extension, kinds in found.items()}, complaints


async def read_all(connection: AsyncConnection) -> tuple[dict[str, ExtensionRules], list[str]]:
    """Every extension's rules, and complaints about rows that cannot be read."""
    return await read(connection, true())


async def read(connection: AsyncConnection, which: ColumnElement[bool]) -> tuple[dict[str, ExtensionRules], list[str]]:
    """Some rules, and complaints about rows that cannot be read."""
    return by_extension((await connection.execute(raw(rules).where(which))).mappings())


async def put(connection: AsyncConnection, rule: Rule) -> Rule:
    """Set a rule, whatever was there; its version is counted here."""
    before = await _row(connection, rule.extension, rule.kind)
    return await _write(connection, rule, before, "set")


async def switch(
    connection: AsyncConnection, extension: str, kind: RuleKind, enabled: bool, *, by: str, at: datetime
) -> Rule:
    """Switch a rule on or off, keeping the rest. Nothing changes if it is so already. Raises RuleMissing."""
    before = await _row(connection, extension, kind)
    if before is None:
        raise RuleMissing(f"Extension {extension} has no {kind} rule to switch {_on_off(enabled)}: set one first.")
    try:
        rule = rule_of(before)
    except UNREADABLE as error:
        raise StoreRefused(
            f"The {kind} rule of extension {extension} cannot be read ({error}): set it again, or clear it."
        ) from error
    if rule.enabled is enabled:
        return rule
    changed = msgspec.structs.replace(rule, enabled=enabled, changed_by=by, changed_at=at)
    return await _write(connection, changed, before, _on_off(enabled))


async def clear(connection: AsyncConnection, extension: str, kind: RuleKind, by: str, at: datetime) -> bool:
    """Remove a rule, also one that cannot be read. False if there was none."""
    before = await _row(connection, extension, kind)
    if before is None:
        return False
    version = await _next_version(connection, extension, kind, before)
    await connection.execute(delete(rules).where(_is(extension, kind)))
    line = {
        "extension": extension,
        "kind": kind.value,
        "version": version,
        "changed_by": by,
        "changed_at": at,
    }
    await _remember(connection, line, "clear", before, None)
    return True


async def read_history(connection: AsyncConnection, extension: str | None, limit: int) -> list[Change]:
    """Read changes, newest first; lines that cannot be read are left out."""
    first = and_(*(outside_targets.c[name] == history.c[name] for name in ("extension", "kind", "version")))
    query = raw(history).add_columns(outside_targets.c.number.is_not(None).label("new_target"))
    query = query.select_from(history.outerjoin(outside_targets, first)).order_by(history.c.id.desc()).limit(limit)
    if extension is not None:
        query = query.where(history.c.extension == extension)
    found = []
    for row in (await connection.execute(query)).mappings():
        try:
            found.append(change_of(row))
        except UNREADABLE:
            continue
    return found


async def untold_targets(connection: AsyncConnection) -> list[NewTarget]:
    """Read the new outside targets that nobody was told of yet, the first first; what cannot be read is left out."""
    query = raw(outside_targets).where(outside_targets.c.told.is_(False)).order_by(outside_targets.c.first_at)
    found = []
    for row in (await connection.execute(query)).mappings():
        try:
            found.append(msgspec.convert(plain(row), NewTarget, strict=False))
        except UNREADABLE:
            continue
    return found


async def told_targets(connection: AsyncConnection, targets: Iterable[NewTarget]) -> None:
    """Remember that somebody was told."""
    for target in targets:
        of_this = and_(outside_targets.c.extension == target.extension, outside_targets.c.number == target.number)
        await connection.execute(update(outside_targets).where(of_this).values(told=True))


async def _write(connection: AsyncConnection, rule: Rule, before: RowMapping | None, action: str) -> Rule:
    version = await _next_version(connection, rule.extension, rule.kind, before)
    rule = msgspec.structs.replace(rule, version=version)
    try:
        columns = columns_of(rule)
    except UNREADABLE as error:
        name = f"{rule.kind} rule of extension {rule.extension!r}"
        raise StoreRefused(f"The {name} cannot be kept: {error}.") from error
    statement = insert(rules) if before is None else update(rules).where(_is(rule.extension, rule.kind))
    await connection.execute(statement.values(**columns))
    line = {name: columns[name] for name in ("extension", "kind", "version", "changed_by", "changed_at")}
    await _remember(connection, line, action, before, msgspec.to_builtins(columns))
    if isinstance(rule.to, ToNumber):
        first = {"first_at": rule.changed_at, "first_by": rule.changed_by, "told": False}
        known = {"extension": rule.extension, "number": rule.to.number, "kind": rule.kind.value, "version": version}
        await connection.execute(upsert(outside_targets).values(**known, **first).on_conflict_do_nothing())
    return rule


async def _remember(
    connection: AsyncConnection,
    line: dict[str, Any],
    action: str,
    before: RowMapping | None,
    after: dict[str, Any] | None,
) -> None:
    was = None if before is None else _readable(before)
    await connection.execute(insert(history).values(**line, action=action, before=was, after=after))


def _readable(row: RowMapping) -> dict[str, Any]:
    try:
        columns: dict[str, Any] = msgspec.to_builtins(columns_of(rule_of(row)))
    except UNREADABLE:
        columns = {name: repr(value) if isinstance(value, bytes) else value for name, value in row.items()}
    return columns


async def _row(connection: AsyncConnection, extension: str, kind: RuleKind) -> RowMapping | None:
    rows = await connection.execute(raw(rules).where(_is(extension, kind)))
    found: RowMapping | None = rows.mappings().one_or_none()
    return found


async def _next_version(connection: AsyncConnection, extension: str, kind: RuleKind, row: RowMapping | None) -> int:
    of_this = and_(history.c.extension == extension, history.c.kind == kind.value)
    newest = (await connection.execute(select(func.max(history.c.version)).where(of_this))).scalar() or 0
    now = row["version"] if row is not None and isinstance(row["version"], int) else 0
    return int(max(newest, now)) + 1


def _is(extension: str, kind: RuleKind) -> Any:
    return and_(rules.c.extension == extension, rules.c.kind == kind.value)


def _on_off(enabled: bool) -> str:
    return "on" if enabled else "off"
