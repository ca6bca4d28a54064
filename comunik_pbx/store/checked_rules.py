"""Changes of rules that are checked and written in one transaction: what was checked is still true when it is written.

Two changes at the same moment can so not close a cycle of *always* rules that neither would close alone. The command
line and the portal change rules by this only. A transaction that writes begins with the store's write lock
(`sqlite.engine_for`), which other processes wait for.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, or_
from sqlalchemy.ext.asyncio import AsyncConnection

from comunik_pbx.forwarding.directory import Directory
from comunik_pbx.forwarding.refusals import Refusal
from comunik_pbx.forwarding.rules import Rule, RuleKind, Rules, ToNumber, effective, of_kind, with_rule
from comunik_pbx.forwarding.saving import refusal_to_save
from comunik_pbx.store import proven, rule_changes
from comunik_pbx.store.errors import RuleMissing
from comunik_pbx.store.tables import rules as table

Transaction = Callable[[Callable[[AsyncConnection], Awaitable[Any]]], Awaitable[Any]]


class CheckedRules:
    """Changes of users' rules in a company. Each says why not, or makes the change and its line of the history.

    `defaults` are the configuration's rules. `vouched` by an administrator, outside numbers need no other proof: those
    that rules are set or switched on to are proven with the change. Every method raises StoreError.
    """

    def __init__(self, write: Transaction, directory: Directory, defaults: Rules, *, vouched: bool = False) -> None:
        self._write = write
        self._directory = directory.trusting() if vouched else directory
        self._defaults = defaults
        self._vouched = vouched and directory.proven is not None

    async def save(self, rule: Rule, *, by: str) -> Refusal | None:
        """Set a rule."""
        refusals = await self.save_all([rule], by=by)
        return refusals[0]

    async def save_all(self, wanted: Sequence[Rule], *, by: str, try_only: bool = False) -> list[Refusal | None]:
        """Set several rules, all or none: a refusal, or None, for each. They are checked as if all were set.

        `try_only` changes nothing.
        """

        async def body(connection: AsyncConnection) -> list[Refusal | None]:
            stored = await _stored(connection, wanted)
            before = effective(self._defaults, stored)
            after = before
            for rule in wanted:
                after = with_rule(after, rule)
            refusals = [self._refusal(rule, before, after) for rule in wanted]
            if not any(refusals) and not try_only:
                await self._vouch(connection, wanted, by)
                for rule in wanted:
                    await rule_changes.put(connection, _stamped(rule, by))
            return refusals

        made: list[Refusal | None] = await self._write(body)
        return made

    async def switch(self, extension: str, kind: RuleKind, enabled: bool, *, by: str) -> Refusal | None:
        """Switch a rule on or off; a default of the configuration becomes the user's own. Raises RuleMissing."""

        async def body(connection: AsyncConnection) -> Refusal | None:
            stored = await _stored(connection, (), extension, everybody=kind is RuleKind.ALWAYS)
            in_force = effective(self._defaults, stored)
            present = of_kind(in_force, extension, kind)
            if present is None:
                raise RuleMissing(f"Extension {extension} has no {kind} rule to switch: set one first.")
            wanted = msgspec.structs.replace(present, enabled=enabled, locked=False)
            checked = enabled or present.locked
            if checked and (refusal := refusal_to_save(wanted, self._directory, in_force)):
                return refusal
            if enabled:
                await self._vouch(connection, [wanted], by)
            if of_kind(stored, extension, kind) is None:
                await rule_changes.put(connection, _stamped(wanted, by))
            else:
                await rule_changes.switch(connection, extension, kind, enabled, by=by, at=datetime.now(UTC))
            return None

        refused: Refusal | None = await self._write(body)
        return refused

    async def clear(self, extension: str, kind: RuleKind, *, by: str) -> Refusal | None:
        """Forget a user's rule; the configuration's default acts again. Raises RuleMissing."""

        async def body(connection: AsyncConnection) -> Refusal | None:
            stored = await _stored(connection, (), extension, everybody=kind is RuleKind.ALWAYS)
            if of_kind(stored, extension, kind) is None:
                raise RuleMissing(f"Extension {extension} has no {kind} rule of its own.")
            default = of_kind(self._defaults, extension, kind)
            if default is not None and not default.locked:
                without = with_rule(effective(self._defaults, stored), default)
                if refusal := refusal_to_save(default, self._directory, without):
                    return refusal
            await rule_changes.clear(connection, extension, kind, by, datetime.now(UTC))
            return None

        refused: Refusal | None = await self._write(body)
        return refused

    async def _vouch(self, connection: AsyncConnection, wanted: Sequence[Rule], by: str) -> None:
        if self._vouched:
            outside = [
                (rule.extension, rule.to.number)
                for rule in wanted
                if isinstance(rule.to, ToNumber) and self._directory.called(rule.to.number) is None
            ]
            await proven.put(connection, outside, by, datetime.now(UTC))

    def _refusal(self, rule: Rule, before: Rules, after: Rules) -> Refusal | None:
        """Checked among the rules as they will be, but for a locked one, which stays as it is."""
        present = of_kind(before, rule.extension, rule.kind)
        return refusal_to_save(rule, self._directory, before if present is not None and present.locked else after)


async def _stored(
    connection: AsyncConnection, wanted: Sequence[Rule], *extensions: str, everybody: bool = False
) -> Rules:
    """Read what the check looks at: the rules of these extensions, and everybody's *always* rules if one changes."""
    which: ColumnElement[bool] = table.c.extension.in_({*extensions, *(rule.extension for rule in wanted)})
    if everybody or any(rule.kind is RuleKind.ALWAYS for rule in wanted):
        which = or_(which, table.c.kind == RuleKind.ALWAYS.value)
    found, _ = await rule_changes.read(connection, which)
    return found


def _stamped(rule: Rule, by: str) -> Rule:
    until = rule.until.astimezone(UTC) if rule.until is not None else None
    return msgspec.structs.replace(rule, until=until, changed_by=by, changed_at=datetime.now(UTC))
