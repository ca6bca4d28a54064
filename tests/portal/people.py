"""People at their browsers."""

import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page

from comunik_pbx.accounts.account import Role, Theme
from comunik_pbx.sandbox.sandbox import Sandbox
from comunik_pbx.store import Store

PASSWORD = "correcte cheval pile agrafe"


class People:
    """Makes accounts and browsers for them. What a page complains of is in `complaints`."""

    def __init__(self, sandbox: Sandbox, store: Store, browser: Browser) -> None:
        addresses = sandbox.layout.addresses
        self.url = f"http://{addresses.host}:{addresses.portal}"
        self.complaints: list[str] = []
        self._store = store
        self._browser = browser
        self._accounts: set[str] = set()
        self._contexts: list[BrowserContext] = []

    async def page(self, **options: Any) -> Page:
        """A browser in which nobody has signed in."""
        options = {"viewport": {"width": 1280, "height": 900}, "locale": "fr-FR", **options}
        context = await self._browser.new_context(**options)
        context.set_default_timeout(15_000)
        self._contexts.append(context)
        page = await context.new_page()
        page.on("console", lambda said: self._complain(said.type, said.text))
        page.on("pageerror", lambda error: self._complain("error", str(error)))
        return page

    async def invitation(self, name: str, role: Role = Role.USER) -> str:
        """The address of a new invitation."""
        secret, now = secrets.token_urlsafe(32), datetime.now(UTC)
        await self._store.accounts.invite(name, role, secret, now + timedelta(days=1), by="test", at=now)
        self._accounts.add(name)
        return f"{self.url}/invitation/{secret}"

    async def signed_in(
        self, name: str, role: Role = Role.USER, language: str = "fr", theme: Theme = Theme.SYSTEM, **options: Any
    ) -> Page:
        """Somebody who has chosen a password by an invitation."""
        page = await self.page(**options)
        await page.goto(await self.invitation(name, role))
        await page.fill("#password", PASSWORD)
        await page.fill("#again", PASSWORD)
        await page.click("main button")
        await page.wait_for_url("**?done=welcome")
        await self._store.accounts.set_preferences(name, language, theme)
        return page

    async def leave(self) -> None:
        """Close the browsers and forget the accounts."""
        for context in self._contexts:
            await context.close()
        for name in self._accounts:
            await self._store.accounts.remove(name, by="test", at=datetime.now(UTC))

    def _complain(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not re.search("status of 4(22|29|01)", text):  # a form that was refused
            self.complaints.append(text)
