"""Outside numbers that an administrator allows besides those of the configuration."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import delete, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from comunik_pbx.accounts.account import AllowedNumber
from comunik_pbx.store.tables import allowed_numbers, audit

Transaction = Callable[[Callable[[AsyncConnection], Awaitable[Any]]], Awaitable[Any]]


class AllowList:
    """The numbers, each change with its line of the audit. A running service obeys within 50 ms."""

    def __init__(self, write: Transaction, read: Transaction) -> None:
        self._write = write
        self._read = read

    async def all(self) -> list[AllowedNumber]:
        """Read all, by name."""
        query = select(allowed_numbers).order_by(allowed_numbers.c.name, allowed_numbers.c.number)

        async def body(connection: AsyncConnection) -> list[AllowedNumber]:
            rows = (await connection.execute(query)).mappings()
            return [msgspec.convert({str(k): v for k, v in row.items()}, AllowedNumber, strict=False) for row in rows]

        found: list[AllowedNumber] = await self._read(body)
        return found

    async def enabled(self) -> tuple[str, ...]:
        """Read the numbers that are switched on."""
        return tuple(sorted(one.number for one in await self.all() if one.enabled))

    async def put(self, one: AllowedNumber) -> None:
        """Set a number, whatever was there."""
        columns = msgspec.structs.asdict(one)

        async def body(connection: AsyncConnection) -> None:
            made = upsert(allowed_numbers).values(**columns)
            await connection.execute(made.on_conflict_do_update(index_elements=["number"], set_=columns))
            state = "on" if one.enabled else "off"
            await connection.execute(insert(audit).values(**_line(one.changed_at, one.changed_by, one.number, state)))

        await self._write(body)

    async def remove(self, number: str, *, by: str, at: datetime) -> bool:
        """Forget a number. False if there was none."""

        async def body(connection: AsyncConnection) -> bool:
            gone = (
                await connection.execute(delete(allowed_numbers).where(allowed_numbers.c.number == number))
            ).rowcount
            if gone:
                await connection.execute(insert(audit).values(**_line(at, by, number, "removed")))
            return bool(gone)

        return bool(await self._write(body))


def _line(at: datetime, by: str, number: str, what: str) -> dict[str, Any]:
    detail = f"{number} {what}"
    return {"at": at, "account": "", "action": "number allowed", "by": by, "address": "", "detail": detail}
