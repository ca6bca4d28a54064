"""Who gets in, and who does not."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from comunik_pbx.accounts.account import Role
from tests.web.site import BASE, PASSWORD, Site


async def test_an_invitation_works_once(site: Site) -> None:
    link = await site.invite("101")
    alice, other = site.visitor(), site.visitor()
    page = await alice.get(link)
    assert (page.status_code, "For 101" in page.text) == (200, True)
    weak = await alice.post(link, password="motdepasse1", again="motdepasse1")
    assert weak.status_code == 422
    assert "easy to guess" in weak.text or "most common" in weak.text
    unequal = await alice.post(link, password=PASSWORD, again=PASSWORD + "x")
    assert (unequal.status_code, "not the same" in unequal.text) == (422, True)
    answer = await alice.post(link, password=PASSWORD, again=PASSWORD)
    assert (answer.status_code, answer.headers["location"]) == (303, "/?done=welcome")
    assert (await alice.get("/forwarding")).status_code == 200
    assert (await other.get(link)).status_code == 404
    assert (await other.post(link, password=PASSWORD, again=PASSWORD)).status_code == 404


async def test_the_cookie_is_kept_from_scripts_and_other_sites(site: Site) -> None:
    link = await site.invite("101")
    answer = await site.visitor().post(link, password=PASSWORD, again=PASSWORD)
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "secure" not in cookie  # clear HTTP on loopback; behind TLS it is
    secret = re.findall("comunik_session=([^;]+)", answer.headers["set-cookie"])[0]
    (session,) = await site.store.accounts.sessions("101")
    assert secret not in (session.id, session.browser)


async def test_right_and_wrong_passwords(site: Site) -> None:
    await site.signed_in("101")
    visitor = site.visitor("192.0.2.9")
    wrong = await visitor.post("/sign-in", name="101", password="not it at all", next="/security")
    assert (wrong.status_code, "do not belong together" in wrong.text) == (401, True)
    nobody = await visitor.post("/sign-in", name="999", password=PASSWORD)
    assert nobody.status_code == 401
    right = await visitor.post("/sign-in", name="101", password=PASSWORD, next="/security")
    assert (right.status_code, right.headers["location"]) == (303, "/security")
    assert (await visitor.get("/security")).status_code == 200
    assert [line.action for line in await site.store.accounts.audit("101")][:2] == ["signed in", "sign-in refused"]


ELSEWHERE = (
    "https://evil.test/",
    "//evil.test",
    "/\\evil.test",
    "\\\\evil.test",
    "javascript:alert(1)",
    "/a\nb",
)


@pytest.mark.parametrize("onward", ELSEWHERE)
async def test_signing_in_leads_nowhere_else(site: Site, onward: str) -> None:
    await site.signed_in("101")
    answer = await site.visitor().post("/sign-in", name="101", password=PASSWORD, next=onward)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


async def test_guessing_is_slowed_down_and_does_not_lock_the_owner_out(site: Site) -> None:
    await site.signed_in("101")
    guesser, owner = site.visitor("198.51.100.7"), site.visitor("192.0.2.1")
    for _ in range(5):
        assert (await guesser.post("/sign-in", name="101", password="guess guess")).status_code == 401
    limited = await guesser.post("/sign-in", name="101", password=PASSWORD)
    assert limited.status_code == 429
    assert 0 < int(limited.headers["retry-after"]) <= 900
    assert (await owner.post("/sign-in", name="101", password=PASSWORD)).status_code == 303


async def test_changing_the_password_ends_all_other_sessions(site: Site) -> None:
    here = await site.signed_in("101")
    elsewhere = site.visitor()
    await elsewhere.post("/sign-in", name="101", password=PASSWORD)
    assert (await elsewhere.get("/security")).status_code == 200
    new = "sept girafes lentes volent"
    await here.get("/security")
    for fields, words in (
        ({"current": "wrong", "new": new, "again": new}, "not your password"),
        ({"current": PASSWORD, "new": "azertyuiop", "again": "azertyuiop"}, "easy to guess"),
        ({"current": PASSWORD, "new": PASSWORD, "again": PASSWORD}, "password you have"),
        ({"current": PASSWORD, "new": new, "again": "other"}, "not the same"),
    ):
        answer = await here.post("/security/password", **fields)
        assert answer.status_code == 422
        assert words in answer.text or "most common" in answer.text, words
    answer = await here.post("/security/password", current=PASSWORD, new=new, again=new)
    assert answer.status_code == 303
    assert (await here.get("/security")).status_code == 200
    assert (await elsewhere.get("/security")).status_code == 303
    assert (await site.visitor().post("/sign-in", name="101", password=PASSWORD)).status_code == 401
    assert (await site.visitor().post("/sign-in", name="101", password=new)).status_code == 303


async def test_a_session_can_be_ended_from_another(site: Site) -> None:
    here, elsewhere, colleague = await site.signed_in("101"), site.visitor(), await site.signed_in("103")
    await elsewhere.post("/sign-in", name="101", password=PASSWORD)
    page = await here.get("/security")
    (other,) = re.findall(r'name="session" value="([0-9a-f]{64})"', page.text)
    await colleague.get("/security")
    await colleague.post("/security/end-session", session=other)  # not his: nothing happens
    assert (await elsewhere.get("/security")).status_code == 200
    await here.post("/security/end-session", session=other)
    assert (await elsewhere.get("/security")).status_code == 303
    await here.post("/sign-out")
    assert (await here.get("/security")).status_code == 303


async def test_sessions_end_with_time_and_with_the_account(site: Site) -> None:
    alice, bruno = await site.signed_in("101"), await site.signed_in("102")
    site.later = timedelta(days=13)
    assert (await alice.get("/security")).status_code == 200
    site.later = timedelta(days=15)
    assert (await bruno.get("/security")).status_code == 303  # not used for 14 days
    assert (await alice.get("/security")).status_code == 200
    for day in range(20, 100, 5):
        site.later = timedelta(days=day)
        status = (await alice.get("/security")).status_code
        assert status == (200 if day <= 90 else 303), day
    site.later = timedelta(0)
    chloe = await site.signed_in("103")
    await site.store.accounts.remove("103", by="test", at=datetime.now(UTC))
    assert (await chloe.get("/security")).status_code == 303


async def test_an_account_whose_extension_has_gone_does_not_get_in(site: Site) -> None:
    ghost = site.visitor()
    link = await site.invite("999")
    await ghost.post(link, password=PASSWORD, again=PASSWORD)
    assert (await ghost.get("/forwarding")).status_code == 303


async def test_other_sites_change_nothing(site: Site) -> None:
    alice = await site.signed_in("101")
    await alice.get("/preferences")
    fields = {"csrf": alice.csrf, "theme": "dark", "language": "fr"}
    for headers in ({"origin": "https://evil.test"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
        answer = await alice.client.post("/preferences", data=fields, headers=headers)
        assert answer.status_code == 403, headers
    for token in ("", "0" * 64, "é"):
        answer = await alice.client.post("/preferences", data=fields | {"csrf": token}, headers={"origin": BASE})
        assert answer.status_code == 403, token
    account = await site.store.accounts.account("101")
    assert account is not None
    assert account.theme.value == "system"


async def test_administrators_see_their_pages_and_others_do_not(site: Site) -> None:
    boss, alice = await site.signed_in("boss", Role.ADMIN), await site.signed_in("101")
    assert (await boss.get("/")).headers["location"] == "/admin"
    for path in ("/admin", "/admin/extensions/101", "/admin/calls"):
        assert (await boss.get(path)).status_code == 200, path
        assert (await alice.get(path)).status_code == 403, path
    assert (await boss.get("/forwarding")).headers["location"] == "/admin"
