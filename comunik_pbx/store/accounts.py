"""Accounts in the store: who may sign in, who has, and what was done with it.

Secrets (cookies, invitations, tokens) come in as `fingerprint`s: what is kept cannot be used to sign in.
"""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from sqlalchemy import RowMapping, Table, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from comunik_pbx.accounts.account import Account, AuditEntry, Profile, Role, Session, Theme, Token
from comunik_pbx.store.tables import accounts, audit, invitations, profiles, sessions, tokens

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

Transaction = Callable[[Callable[[AsyncConnection], Awaitable[Any]]], Awaitable[Any]]

_PROFILE = tuple(column for column in profiles.columns if column.name not in {"account", "photo_png"})


def fingerprint(secret: str) -> str:
    """What is kept of a secret: its SHA-256, hexadecimal. Secrets are random and long, so no salt is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Accounts:
    """Reads and writes accounts. Every write is one transaction with its line of the audit. Raises StoreError."""

    def __init__(self, write: Transaction, read: Transaction) -> None:
        self._write = write
        self._read = read

    # Accounts

    async def account(self, name: str) -> Account | None:
        """Read one account."""
        return await self._one(accounts, Account, accounts.c.name == name)

    async def all(self) -> list[Account]:
        """Read all accounts, by name."""
        return await self._many(accounts, Account, order=accounts.c.name)

    async def invite(self, name: str, role: Role, secret: str, expires_at: datetime, *, by: str, at: datetime) -> None:
        """Let somebody choose a password by a link, once; the account is made if there is none.

        Earlier links no longer work; a password there is still does.
        """

        async def body(connection: AsyncConnection) -> None:
            made = upsert(accounts).values(name=name, role=role.value, theme=Theme.SYSTEM.value, created_at=at)
            await connection.execute(made.on_conflict_do_update(index_elements=["name"], set_={"role": role.value}))
            await connection.execute(delete(invitations).where(invitations.c.account == name))
            link = {"id": fingerprint(secret), "account": name, "expires_at": expires_at}
            await connection.execute(insert(invitations).values(**link))
            await _note(connection, at, name, "invited", by, detail=role.value)

        await self._write(body)

    async def invited(self, secret: str, now: datetime) -> Account | None:
        """Whose invitation this is; None if there is none, or it has expired."""
        matches = (invitations.c.id == fingerprint(secret)) & (invitations.c.expires_at > now)
        query = select(accounts).join(invitations, invitations.c.account == accounts.c.name).where(matches)
        return await self._first(query, Account)

    async def remove(self, name: str, *, by: str, at: datetime) -> bool:
        """Forget an account and all that belongs to it, but the audit. False if there was none."""

        async def body(connection: AsyncConnection) -> bool:
            gone = (await connection.execute(delete(accounts).where(accounts.c.name == name))).rowcount
            for table in (profiles, sessions, invitations, tokens):
                await connection.execute(delete(table).where(table.c.account == name))
            if gone:
                await _note(connection, at, name, "removed", by)
            return bool(gone)

        return bool(await self._write(body))

    async def accept(self, secret: str, password_hash: str, *, at: datetime, address: str) -> Account | None:
        """Use an invitation up: its account has this password, and all its sessions end.

        None if there is no such invitation (any more), or it has expired. Of two who use it at once one succeeds.
        """
        mine = (invitations.c.id == fingerprint(secret)) & (invitations.c.expires_at > at)

        async def body(connection: AsyncConnection) -> Account | None:
            name = (await connection.execute(select(invitations.c.account).where(mine))).scalar()
            if name is None or not (await connection.execute(delete(invitations).where(mine))).rowcount:
                return None
            await _put_password(connection, name, password_hash, at, address)
            row = (await connection.execute(select(accounts).where(accounts.c.name == name))).mappings().first()
            return None if row is None else _read(row, Account)

        found: Account | None = await self._write(body)
        return found

    async def set_password(
        self,
        name: str,
        password_hash: str,
        *,
        at: datetime,
        address: str,
        keep: str | None = None,
        was: str | None = None,
    ) -> bool:
        """Set a password: invitations and all sessions but `keep` (its id) end.

        False, and nothing changes, if the hash is no longer `was` (unless None).
        """

        async def body(connection: AsyncConnection) -> bool:
            if was is not None and not await _has_password(connection, name, was):
                return False
            await _put_password(connection, name, password_hash, at, address, keep)
            return True

        return bool(await self._write(body))

    async def set_password_hash(self, name: str, password_hash: str, *, was: str) -> None:
        """The same password, hashed as is usual now, unless it has changed meanwhile."""
        mine = (accounts.c.name == name) & (accounts.c.password_hash == was)
        rehashed = update(accounts).where(mine).values(password_hash=password_hash)
        await self._write(lambda c: c.execute(rehashed))

    async def set_preferences(self, name: str, language: str | None, theme: Theme) -> None:
        """Set language (None: the extension's) and theme."""
        changed = update(accounts).where(accounts.c.name == name).values(language=language, theme=theme.value)
        await self._write(lambda c: c.execute(changed))

    # Sessions

    async def begin_session(self, session: Session, *, password_hash: str | None = None, instead: str = "") -> bool:
        """Keep a new session, `instead` of one (its id); old ones of the account beyond the newest 50 go.

        False, and nothing is kept, if the account's password is no longer that of the hash (unless None): it was
        changed, or the account removed, while somebody signed in.
        """

        async def body(connection: AsyncConnection) -> bool:
            if password_hash is not None and not await _has_password(connection, session.account, password_hash):
                return False
            await connection.execute(delete(sessions).where(sessions.c.id == instead))
            await connection.execute(insert(sessions).values(**msgspec.structs.asdict(session)))
            mine = select(sessions.c.id).where(sessions.c.account == session.account)
            newest = mine.order_by(sessions.c.seen_at.desc()).limit(50)
            beyond = (sessions.c.account == session.account) & sessions.c.id.not_in(newest)
            await connection.execute(delete(sessions).where(beyond))
            await _note(connection, session.created_at, session.account, "signed in", session.account, session.address)
            return True

        return bool(await self._write(body))

    async def session(self, session_id: str) -> tuple[Session, Account] | None:
        """Read a session and whose it is."""
        query = select(sessions, accounts).join(accounts, accounts.c.name == sessions.c.account)

        async def body(connection: AsyncConnection) -> tuple[Session, Account] | None:
            row = (await connection.execute(query.where(sessions.c.id == session_id))).mappings().first()
            return None if row is None else (_read(_part(row, sessions), Session), _read(_part(row, accounts), Account))

        found: tuple[Session, Account] | None = await self._read(body)
        return found

    async def sessions(self, name: str) -> list[Session]:
        """Read the sessions of an account, the last used first."""
        return await self._many(sessions, Session, sessions.c.account == name, order=sessions.c.seen_at.desc())

    async def seen(self, session_id: str, at: datetime, address: str) -> None:
        """A session was used."""
        used = update(sessions).where(sessions.c.id == session_id).values(seen_at=at, address=address)
        await self._write(lambda c: c.execute(used))

    async def end_sessions(self, name: str, *, at: datetime, address: str, only: str = "", keep: str = "") -> int:
        """End sessions of an account: the one of id `only`, or all but `keep`; how many it were."""

        async def body(connection: AsyncConnection) -> int:
            which = (sessions.c.account == name) & (sessions.c.id == only if only else sessions.c.id != keep)
            gone: int = (await connection.execute(delete(sessions).where(which))).rowcount
            if gone:
                await _note(connection, at, name, "signed out", name, address, f"{gone} sessions" if gone > 1 else "")
            return gone

        return int(await self._write(body))

    # Profiles

    async def profile(self, name: str) -> Profile:
        """Read what a user says of himself; an empty profile if he said nothing."""
        query = select(*_PROFILE).where(profiles.c.account == name)
        return await self._first(query, Profile) or Profile()

    async def profiles(self) -> dict[str, Profile]:
        """Read everybody's profile, by account."""

        async def body(connection: AsyncConnection) -> dict[str, Profile]:
            rows = (await connection.execute(select(profiles.c.account, *_PROFILE))).mappings()
            return {row["account"]: _read({k: v for k, v in row.items() if k != "account"}, Profile) for row in rows}

        found: dict[str, Profile] = await self._read(body)
        return found

    async def set_profile(self, name: str, profile: Profile) -> None:
        """Set all but the photo."""
        columns = msgspec.structs.asdict(profile)
        del columns["photo"]
        await self._write(lambda c: _put_profile(c, name, columns))

    async def set_photo(self, name: str, png: bytes | None) -> None:
        """Set the photo (a checked PNG), or take it away."""

        async def body(connection: AsyncConnection) -> None:
            query = select(profiles.c.photo).where(profiles.c.account == name)
            before = (await connection.execute(query)).scalar() or 0
            count = 0 if png is None else before + 1
            await _put_profile(connection, name, {"photo": count, "photo_png": png})

        await self._write(body)

    async def photo(self, name: str) -> bytes | None:
        """Read the photo, PNG."""
        query = select(profiles.c.photo_png).where(profiles.c.account == name)

        async def body(connection: AsyncConnection) -> bytes | None:
            png: bytes | None = (await connection.execute(query)).scalar()
            return png

        found: bytes | None = await self._read(body)
        return found

    # Tokens of the API

    async def put_token(self, token: Token, *, by: str) -> None:
        """Keep a new token."""

        async def body(connection: AsyncConnection) -> None:
            columns = msgspec.structs.asdict(token) | {"scopes": " ".join(token.scopes)}
            await connection.execute(insert(tokens).values(**columns))
            await _note(connection, token.created_at, token.account, "token made", by, detail=token.label)

        await self._write(body)

    async def tokens(self, name: str | None = None) -> list[Token]:
        """Read the tokens, of one account or of all."""
        query = select(tokens).order_by(tokens.c.account, tokens.c.created_at)
        if name is not None:
            query = query.where(tokens.c.account == name)

        async def body(connection: AsyncConnection) -> list[Token]:
            return [_token(row) for row in (await connection.execute(query)).mappings()]

        found: list[Token] = await self._read(body)
        return found

    async def token(self, secret: str) -> tuple[Token, Account] | None:
        """Whose token this is; None if there is none."""
        query = select(tokens, accounts).join(accounts, accounts.c.name == tokens.c.account)

        async def body(connection: AsyncConnection) -> tuple[Token, Account] | None:
            row = (await connection.execute(query.where(tokens.c.id == fingerprint(secret)))).mappings().first()
            return None if row is None else (_token(_part(row, tokens)), _read(_part(row, accounts), Account))

        found: tuple[Token, Account] | None = await self._read(body)
        return found

    async def token_used(self, token_id: str, at: datetime) -> None:
        """A token was used."""
        used = update(tokens).where(tokens.c.id == token_id).values(used_at=at)
        await self._write(lambda c: c.execute(used))

    async def remove_token(self, name: str, label: str, *, by: str, at: datetime) -> bool:
        """Forget the tokens of an account with this label. False if there was none."""

        async def body(connection: AsyncConnection) -> bool:
            which = (tokens.c.account == name) & (tokens.c.label == label)
            gone = (await connection.execute(delete(tokens).where(which))).rowcount
            if gone:
                await _note(connection, at, name, "token removed", by, detail=label)
            return bool(gone)

        return bool(await self._write(body))

    # The audit

    async def note(
        self, account: str, action: str, *, by: str, at: datetime, address: str = "", detail: str = ""
    ) -> None:
        """Write a line of the audit that belongs to no other change."""
        await self._write(lambda c: _note(c, at, account, action, by, address, detail))

    async def audit(self, account: str | None = None, limit: int = 50) -> list[AuditEntry]:
        """Read the audit, newest first."""
        where = None if account is None else audit.c.account == account
        return await self._many(audit, AuditEntry, where, order=audit.c.id.desc(), limit=limit)

    async def _one(self, table: Table, kind: type[S], where: Any) -> S | None:
        return await self._first(select(table).where(where), kind)

    async def _first(self, query: Any, kind: type[S]) -> S | None:
        async def body(connection: AsyncConnection) -> S | None:
            row = (await connection.execute(query)).mappings().first()
            return None if row is None else _read(row, kind)

        found: S | None = await self._read(body)
        return found

    async def _many(
        self, table: Table, kind: type[S], where: Any = None, *, order: Any, limit: int = 100_000
    ) -> list[S]:
        query = select(table).order_by(order).limit(limit)
        if where is not None:
            query = query.where(where)

        async def body(connection: AsyncConnection) -> list[S]:
            return [_read(row, kind) for row in (await connection.execute(query)).mappings()]

        found: list[S] = await self._read(body)
        return found


def _read(row: Any, kind: type[S]) -> S:
    return msgspec.convert({str(name): value for name, value in row.items()}, kind, strict=False)


def _part(row: RowMapping, table: Table) -> dict[str, Any]:
    """One table's columns of a row of two."""
    return {column.name: row[column] for column in table.columns}


def _token(row: Any) -> Token:
    return _read({**row, "scopes": tuple(row["scopes"].split())}, Token)


async def _put_profile(connection: AsyncConnection, name: str, columns: dict[str, Any]) -> None:
    empty = {"account": name, **msgspec.structs.asdict(Profile())}
    made = upsert(profiles).values(**(empty | columns))
    await connection.execute(made.on_conflict_do_update(index_elements=["account"], set_=columns))


async def _has_password(connection: AsyncConnection, name: str, password_hash: str) -> bool:
    mine = (accounts.c.name == name) & (accounts.c.password_hash == password_hash)
    return (await connection.execute(select(accounts.c.name).where(mine))).first() is not None


async def _put_password(  # noqa: PLR0917
    connection: AsyncConnection, name: str, password_hash: str, at: datetime, address: str, keep: str | None = None
) -> None:
    changed = update(accounts).where(accounts.c.name == name)
    await connection.execute(changed.values(password_hash=password_hash, password_changed_at=at))
    await connection.execute(delete(invitations).where(invitations.c.account == name))
    others = (sessions.c.account == name) & (sessions.c.id != (keep or ""))
    await connection.execute(delete(sessions).where(others))
    await _note(connection, at, name, "password changed", name, address)


async def _note(  # noqa: PLR0917
    connection: AsyncConnection, at: datetime, account: str, action: str, by: str, address: str = "", detail: str = ""
) -> None:
    line = {"at": at, "account": account, "action": action, "by": by, "address": address, "detail": detail}
    await connection.execute(insert(audit).values(**line))
