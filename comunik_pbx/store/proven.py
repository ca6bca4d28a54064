"""Outside numbers that extensions have proven to be theirs, or that an administrator vouches for."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import and_, delete, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from comunik_pbx.accounts.account import ProvenNumber
from comunik_pbx.store.tables import audit, proven_numbers

Transaction = Callable[[Callable[[AsyncConnection], Awaitable[Any]]], Awaitable[Any]]


class ProvenNumbers:
    """The numbers, each change with its line of the audit. A running service obeys within 50 ms."""

    def __init__(self, write: Transaction, read: Transaction) -> None:
        self._write = write
        self._read = read

    async def all(self, extension: str | None = None) -> list[ProvenNumber]:
        """Read all, or those of an extension, by extension and number."""
        query = select(proven_numbers).order_by(proven_numbers.c.extension, proven_numbers.c.number)
        if extension is not None:
            query = query.where(proven_numbers.c.extension == extension)

        async def body(connection: AsyncConnection) -> list[ProvenNumber]:
            rows = (await connection.execute(query)).mappings()
            return [msgspec.convert({str(k): v for k, v in row.items()}, ProvenNumber, strict=False) for row in rows]

        found: list[ProvenNumber] = await self._read(body)
        return found

    async def by_extension(self) -> dict[str, frozenset[str]]:
        """Read them as the decision wants them (`Directory.proving`)."""
        found: dict[str, set[str]] = {}
        for one in await self.all():
            found.setdefault(one.extension, set()).add(one.number)
        return {extension: frozenset(numbers) for extension, numbers in found.items()}

    async def add(self, wanted: Sequence[tuple[str, str]], *, by: str, at: datetime) -> int:
        """Extension and number each; those that are there already stay as they are. How many are new."""
        return int(await self._write(lambda c: put(c, wanted, by, at))) if wanted else 0

    async def remove(self, extension: str, number: str, *, by: str, at: datetime) -> bool:
        """Forget a number of an extension. False if there was none."""
        this = and_(proven_numbers.c.extension == extension, proven_numbers.c.number == number)

        async def body(connection: AsyncConnection) -> bool:
            gone = (await connection.execute(delete(proven_numbers).where(this))).rowcount
            if gone:
                await connection.execute(insert(audit).values(**_line(extension, "proof removed", by, at, number)))
            return bool(gone)

        return bool(await self._write(body))


async def put(connection: AsyncConnection, wanted: Sequence[tuple[str, str]], by: str, at: datetime) -> int:
    """Add numbers inside a transaction, as `ProvenNumbers.add`."""
    new = 0
    for extension, number in wanted:
        made = upsert(proven_numbers).values(extension=extension, number=number, proven_at=at, proven_by=by)
        if (await connection.execute(made.on_conflict_do_nothing())).rowcount:
            new += 1
            await connection.execute(insert(audit).values(**_line(extension, "number proven", by, at, number)))
    return new


def _line(extension: str, action: str, by: str, at: datetime, number: str) -> dict[str, Any]:
    return {"at": at, "account": extension, "action": action, "by": by, "address": "", "detail": number}
