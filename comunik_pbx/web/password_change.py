"""A password is changed by who knows the present one, in the page or by the API."""

import time

from comunik_pbx.accounts.account import Account
from comunik_pbx.web import passwords
from comunik_pbx.web.languages import Gettext
from comunik_pbx.web.needs import Needs


class PasswordRefused(Exception):
    """It stays as it is. `field` is `current`, `new` or `wait` (too many wrong ones); `why` a sentence."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(why)
        self.field = field
        self.why = why


async def change_password(
    needs: Needs,
    account: Account,
    current: str,
    new: str,
    *,
    text: Gettext,
    address: str,
    here: str,
    keep: str | None = None,
) -> str:
    """Change it; what is now kept of it. All sessions but `keep` end.

    Wrong ones are counted for the session or token it is changed with (`here`), so that strangers who guess at the
    sign-in page cannot keep the owner from it. Raises PasswordRefused.
    """
    limits, now = needs.limits, time.monotonic()
    if limits.wait_seconds(account.name, address, now, here):
        raise PasswordRefused("wait", text("Too many wrong passwords. Wait a quarter of an hour."))
    limits.failed(account.name, address, now, here)
    if not await passwords.right(current, account.password_hash):
        raise PasswordRefused("current", text("This is not your password."))
    limits.succeeded(account.name, address, here)
    if wrong := await passwords.weakness(new, about(needs, account), text):
        raise PasswordRefused("new", wrong)
    if new == current:
        raise PasswordRefused("new", text("This is the password you have."))
    hashed, at = await passwords.hashed(new), needs.clock()
    accounts, was = needs.accounts, account.password_hash
    if not await accounts.set_password(account.name, hashed, at=at, address=address, keep=keep, was=was):
        raise PasswordRefused("current", text("This is not your password."))  # it was changed elsewhere meanwhile
    return hashed


def about(needs: Needs, account: Account) -> tuple[str, ...]:
    """What others would guess first: who he is."""
    extension = needs.rules.directory().extensions.get(account.name)
    return (account.name, *(extension.name.split() if extension else ()), "comunik")
