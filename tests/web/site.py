"""A portal and those who look at it."""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from fastapi import FastAPI

from comunik_pbx.accounts.account import ProvenNumber, Role, Token
from comunik_pbx.forwarding.directory import Extension
from comunik_pbx.forwarding.refusals import Refusal, RefusalCode
from comunik_pbx.store import Store
from comunik_pbx.store.accounts import fingerprint

PASSWORD = "correcte cheval pile agrafe"
BASE = "http://portal.test"
MOBILE, CODE = "+33612345678", "40718"
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class Visitor:
    """A browser: keeps its cookies, sends where its forms come from, and brings the forms' tokens."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.csrf = ""

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return self._read(await self.client.get(path, headers=headers))

    async def post(self, path: str, files: Any = None, **fields: str) -> httpx.Response:
        data = {"csrf": self.csrf, **fields}
        answer = await self.client.post(
            path, data=data, files=files, headers={"origin": str(self.client.base_url).rstrip("/")}
        )
        return self._read(answer)

    def _read(self, answer: httpx.Response) -> httpx.Response:
        if found := re.search(r'name="csrf" value="([0-9a-f]+)"', answer.text):
            self.csrf = found[1]
        return answer


class Site:
    """The portal of a company; time stands still but for `later`."""

    def __init__(self, store: Store, phone: Any) -> None:
        self.store = store
        self.phone = phone
        self.telephone = Telephone(self)
        self.app = FastAPI()
        self.later = timedelta(0)
        self.take_over: Callable[[], Awaitable[None]]  # as the service does when the store changes
        self.ask_for_proofs: Callable[[], Awaitable[None]]  # from now on, as by a reload

    def now(self) -> datetime:
        return NOW + self.later

    def client(self, address: str = "192.0.2.1", language: str = "en") -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, client=(address, 50000))
        return httpx.AsyncClient(transport=transport, base_url=BASE, headers={"accept-language": language})

    def visitor(self, address: str = "192.0.2.1", language: str = "en", base: str = BASE) -> Visitor:
        client = self.client(address, language)
        client.base_url = httpx.URL(base)
        return Visitor(client)

    async def invite(self, name: str, role: Role = Role.USER, secret: str = "s" * 43) -> str:
        now = NOW
        await self.store.accounts.invite(name, role, secret, now + timedelta(days=7), by="test", at=now)
        return f"/invitation/{secret}"

    async def signed_in(self, name: str = "101", role: Role = Role.USER, language: str = "en") -> Visitor:
        """Somebody with a new account who has used the invitation, and reads English unless told otherwise."""
        visitor = self.visitor()
        link = await self.invite(name, role, secret=f"{name:x<43}")
        answer = await visitor.post(link, password=PASSWORD, again=PASSWORD)
        assert answer.status_code == 303, answer.text
        await visitor.get("/preferences")
        await visitor.post("/preferences", language=language, theme="system")
        return visitor

    async def token(self, account: str, *scopes: str, role: Role = Role.USER, days: int | None = None) -> str:
        """A token of the API, of an account made if need be."""
        now = NOW
        if await self.store.accounts.account(account) is None:
            await self.invite(account, role, secret=f"{account:x<43}")
        secret = f"cpbx_{account}_{'_'.join(scopes)}"
        made = Token(
            id=fingerprint(secret),
            account=account,
            label="test",
            scopes=scopes,
            created_at=now,
            expires_at=now + timedelta(days=days) if days is not None else None,
        )
        await self.store.accounts.put_token(made, by="test")
        return secret


class Telephone:
    """Says the code 40718 at every number, at once."""

    def __init__(self, site: "Site") -> None:
        self._site = site
        self.called: list[tuple[str, str, str]] = []
        self.says: Refusal | None = None
        self.states: dict[tuple[str, str], str] = {}

    async def proven(self, extension: str) -> list[ProvenNumber]:
        return await self._site.store.proven.all(extension)

    def call(self, extension: Extension, number: str, *, by: str) -> Refusal | None:
        self.called.append((extension.number, number, by))
        if self.says is None:
            self.states[extension.number, MOBILE] = "said"
        return self.says

    def progress(self, extension: str, number: str) -> str | None:
        return self.states.get((extension, number))

    async def confirm(self, extension: str, number: str, code: str, *, by: str) -> Refusal | None:
        if (extension, number) not in self.states:
            return Refusal(RefusalCode.NO_CODE, number)
        if code != CODE:
            return Refusal(RefusalCode.WRONG_CODE, number)
        del self.states[extension, number]
        await self._site.store.proven.add([(extension, number)], by=by, at=NOW)
        await self._site.take_over()
        return None
