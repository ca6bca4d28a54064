"""What happens at the same moment as a sign-in, who is kept out for how long, and which cookies there are."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from argon2 import PasswordHasher

from comunik_pbx.accounts import sign_in_limits
from comunik_pbx.accounts.sign_in_limits import PER_ACCOUNT, PER_ACCOUNT_AND_ADDRESS, PER_ADDRESS
from comunik_pbx.web import passwords
from tests.web.site import PASSWORD, Site

OTHER = "sept girafes lentes volent"


async def test_of_two_who_use_an_invitation_at_once_one_gets_in(site: Site) -> None:
    link = await site.invite("101")
    both = [site.visitor(), site.visitor()]
    words = (PASSWORD, OTHER)
    answers = await asyncio.gather(
        *(visitor.post(link, password=word, again=word) for visitor, word in zip(both, words, strict=True))
    )
    assert sorted(answer.status_code for answer in answers) == [303, 404]
    won = next(place for place, answer in enumerate(answers) if answer.status_code == 303)
    assert len(await site.store.accounts.sessions("101")) == 1
    for place, word in enumerate(words):
        answer = await site.visitor().post("/sign-in", name="101", password=word)
        assert answer.status_code == (303 if place == won else 401)


async def test_an_invitation_expires_also_while_it_is_filled_in(site: Site) -> None:
    link = await site.invite("101")
    assert (await site.visitor().get(link)).status_code == 200
    site.later = timedelta(days=7, seconds=1)
    assert (await site.visitor().get(link)).status_code == 404
    assert (await site.visitor().post(link, password=PASSWORD, again=PASSWORD)).status_code == 404


def _meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], Awaitable[object]]) -> None:
    """Something happens while a password is being verified, once."""
    right, waiting = passwords.right, [happens]

    async def slowly(password: str, password_hash: str | None) -> bool:
        found = await right(password, password_hash)
        if waiting:
            await waiting.pop()()
        return found

    monkeypatch.setattr(passwords, "right", slowly)


async def test_a_password_changed_during_a_sign_in_with_the_old_one_keeps_it_out(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.signed_in("101")
    now, new = site.now(), await passwords.hashed(OTHER)
    _meanwhile(monkeypatch, lambda: site.store.accounts.set_password("101", new, at=now, address=""))
    assert (await site.visitor().post("/sign-in", name="101", password=PASSWORD)).status_code == 401
    assert await site.store.accounts.sessions("101") == []


async def test_an_account_removed_during_a_sign_in_leaves_no_session_to_its_successor(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.signed_in("101")
    now = site.now()
    _meanwhile(monkeypatch, lambda: site.store.accounts.remove("101", by="test", at=now))
    assert (await site.visitor().post("/sign-in", name="101", password=PASSWORD)).status_code == 401
    await site.signed_in("101")
    assert len(await site.store.accounts.sessions("101")) == 1


async def test_an_old_hash_is_renewed_and_does_not_undo_a_change(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await site.signed_in("101")
    old = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    accounts = site.store.accounts
    await accounts.set_password("101", old, at=site.now(), address="")
    assert (await site.visitor().post("/sign-in", name="101", password=PASSWORD)).status_code == 303
    account = await accounts.account("101")
    assert account is not None
    assert account.password_hash is not None
    assert account.password_hash.startswith("$argon2id$v=19$m=47104,t=1,p=1$")
    await accounts.set_password_hash("101", "other", was=old)  # comes too late
    assert (await accounts.account("101")) == account


async def test_two_changes_of_a_password_at_once(site: Site) -> None:
    alice = await site.signed_in("101")
    await alice.get("/security")
    answers = await asyncio.gather(
        *(
            alice.post("/security/password", current=PASSWORD, new=new, again=new)
            for new in (OTHER, "huit autruches bavardes")
        )
    )
    assert sorted(answer.status_code for answer in answers) == [303, 422]


async def test_strangers_lock_the_owner_out_of_no_browser_that_he_has_signed_in_with(site: Site) -> None:
    """Neither from everywhere, nor from his own office."""
    owner = await site.signed_in("101")
    await owner.post("/sign-out")
    limits = site.app.state.needs.limits
    for number in range(PER_ACCOUNT):
        limits.failed("101", f"198.51.100.{number}", time.monotonic())
    for number in range(PER_ADDRESS):
        limits.failed(f"{number}", "192.0.2.1", time.monotonic())
    for _ in range(PER_ACCOUNT_AND_ADDRESS):
        limits.failed("101", "192.0.2.1", time.monotonic())
    for address in ("192.0.2.1", "203.0.113.5"):
        assert (await site.visitor(address).post("/sign-in", name="101", password=PASSWORD)).status_code == 429
    assert (await owner.post("/sign-in", name="101", password=PASSWORD)).status_code == 303
    await owner.post("/sign-out")
    for _ in range(PER_ACCOUNT_AND_ADDRESS):
        assert (await owner.post("/sign-in", name="101", password="wrong")).status_code == 401
    assert (await owner.post("/sign-in", name="101", password=PASSWORD)).status_code == 429  # nor is it for guessing


async def test_a_forged_mark_of_a_browser_is_worth_nothing(site: Site) -> None:
    owner = await site.signed_in("101")
    await site.signed_in("103")
    mark = owner.client.cookies["comunik_device"]
    for account, forged in (("101", "x" + mark), ("101", mark.partition(".")[0]), ("101", "a.b"), ("103", mark)):
        guesser = site.visitor("198.51.100.7")
        for number in range(PER_ACCOUNT_AND_ADDRESS + 1):
            cookie = {"cookie": f"comunik_device={forged}"}
            fields = {"name": account, "password": f"guess {number}"}
            answer = await guesser.client.post("/sign-in", data=fields, headers=cookie)
        assert answer.status_code == 429, (account, forged)


async def test_an_office_may_sign_in_on_monday_morning(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in_limits, "PER_ADDRESS", 3)
    await site.signed_in("101")
    for _ in range(5):
        assert (await site.visitor().post("/sign-in", name="101", password=PASSWORD)).status_code == 303


async def test_an_account_there_is_not_does_the_same_work(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the time it takes would tell who has an account: the line of the audit reaches the disk either way."""
    await site.signed_in("101")
    done: list[tuple[str, str]] = []
    note, right = site.store.accounts.note, passwords.right

    async def noted(account: str, action: str, **more: object) -> None:
        done.append(("note", account))
        await note(account, action, **more)  # type: ignore[arg-type]

    async def verified(password: str, password_hash: str | None) -> bool:
        done.append(("verify", password))
        return await right(password, password_hash)

    monkeypatch.setattr(site.store.accounts, "note", noted)
    monkeypatch.setattr(passwords, "right", verified)
    pages = []
    for name in ("101", "my secret typed into the wrong field"):
        answer = await site.visitor().post("/sign-in", name=name, password="guess guess")
        assert answer.status_code == 401
        pages.append(re.sub(r'value="[^"]*"|autofocus', "", answer.text))
    assert done == [("verify", "guess guess"), ("note", "101"), ("verify", "guess guess"), ("note", "")]
    assert pages[0] == pages[1]
    assert "secret" not in repr(await site.store.accounts.audit())


async def test_signing_in_again_gives_a_new_session_and_ends_the_old_one(site: Site) -> None:
    visitor = await site.signed_in("101")
    before = visitor.client.cookies["comunik_session"]
    await visitor.post("/sign-in", name="101", password=PASSWORD)
    assert visitor.client.cookies["comunik_session"] != before
    assert len(await site.store.accounts.sessions("101")) == 1
    chosen = "a" * 43  # a session that somebody else has put into the browser is not taken over
    visitor.client.cookies.set("comunik_session", chosen, domain="portal.test")
    answer = await visitor.client.post("/sign-in", data={"name": "101", "password": PASSWORD})
    assert answer.status_code == 303
    assert chosen not in answer.headers["set-cookie"]


@pytest.mark.parametrize("url", ["https://portal.test", ""])
async def test_over_tls_cookies_are_this_hosts_alone(site: Site, url: str) -> None:
    """Over TLS as the request says, or as the configuration says (a proxy that is not trusted)."""
    from dataclasses import replace

    base = "http://portal.test" if url else "https://portal.test"
    site.app.state.needs = replace(site.app.state.needs, url=url)
    visitor = site.visitor(base=base)
    link = await site.invite("101")
    answer = await visitor.post(link, password=PASSWORD, again=PASSWORD)
    session, mark = answer.headers.get_list("set-cookie")
    for cookie in (session, mark):
        assert {"Secure", "HttpOnly"} <= set(cookie.split("; "))
    assert session.startswith("__Host-comunik_session=")
    assert "Path=/;" in session + ";"
    assert "samesite=strict" in mark.lower()
    assert (await visitor.client.get("https://portal.test/security")).status_code == 200
    at_home = site.visitor(base="https://portal.test")
    await at_home.post("/sign-in", name="101", password=PASSWORD)
    await at_home.get("/security")
    out = await at_home.post("/sign-out")
    assert (out.status_code, out.headers["clear-site-data"]) == (303, '"storage"')
    assert (await at_home.get("/security")).status_code == 303
    plain = site.visitor(base=base)
    secret = session.partition("=")[2].partition(";")[0]
    plain.client.cookies.set("comunik_session", secret, domain="portal.test")  # as another host of the domain could
    assert (await plain.get("/security")).status_code == 303
