"""Every route there is, asked for by everybody: nobody, a user, a user without the form's token, another site."""

from collections.abc import AsyncGenerator

import pytest
from fastapi.routing import APIRoute

from comunik_pbx.accounts.account import SCOPES, Role
from comunik_pbx.web.api.app import api
from comunik_pbx.web.app import PAGES
from comunik_pbx.web.protection import HEADERS
from tests.web.site import BASE, Site

FORM = "application/x-www-form-urlencoded"

OPEN = {"/sign-in", "/invitation/{secret}", "/help", "/help/screens/{name}"}
"""What one sees without being signed in."""


def routes(site: Site) -> list[tuple[str, str]]:
    """Method and path of every operation: those of the pages, and those the API describes."""
    found = [
        (method, route.path)
        for page in PAGES
        for route in page.router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    ]
    described = api(site.app.state.needs).openapi()["paths"]
    return sorted(found + [(m.upper(), f"/api/v1{path}") for path, methods in described.items() for m in methods])


def filled(path: str) -> str:
    """The path with values in it: those of extension 102, which is not whoever asks."""
    values = {"kind": "external", "state": "off", "secret": "x" * 43, "number": "102", "what": "off", "name": "102"}
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", value)
    assert "{" not in path, path
    return path


async def test_nobody_sees_or_changes_anything(site: Site) -> None:
    client = site.client()
    asked = routes(site)
    assert len(asked) > 40
    for method, path in asked:
        answer = await client.request(method, filled(path), headers={"origin": BASE})
        if path.startswith("/api/v1"):
            assert answer.status_code == 401, (method, path)
            assert answer.headers["content-type"] == "application/problem+json"
        elif path not in OPEN:
            assert answer.status_code == 303, (method, path)
            assert answer.headers["location"].startswith("/sign-in"), (method, path)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value, (method, path)
        assert answer.headers["cache-control"] == "no-store", (method, path)


async def test_no_change_without_the_forms_token_and_none_of_another_site(site: Site) -> None:
    alice = await site.signed_in("101")
    await alice.post("/forwarding/external", channel="voicemail", rings="3")
    before = await everything(site)
    for method, path in routes(site):
        if method in ("GET", "HEAD") or path in OPEN:
            continue
        for headers in ({"origin": BASE}, {"origin": "https://evil.test"}):
            answer = await alice.client.request(method, filled(path), headers=headers)
            assert answer.status_code in (401, 403), (method, path)
    assert await everything(site) == before


async def test_a_user_sees_nothing_of_another(site: Site) -> None:
    bruno = await site.signed_in("103")
    await bruno.get("/profile")
    secrets = {"full_name": "Zoltan Geheim", "email": "zoltan@geheim.example", "phone": "06 99 88 77 66"}
    assert (await bruno.post("/profile", **secrets, department="", address="")).status_code == 303
    await bruno.post("/forwarding/external", channel="number", number="06 99 88 77 55", rings="3")
    alice = await site.signed_in("101")
    token = await site.token("101", *(scope for scope in SCOPES if not scope.startswith("admin")))
    for method, path in routes(site):
        if method != "GET" or path == "/keypad/progress":
            continue
        headers = {"authorization": f"Bearer {token}"} if path.startswith("/api") else {}
        answer = await alice.client.request(method, filled(path), headers=headers, params={"caller": "anonymous"})
        if "/admin" in path:
            assert answer.status_code == 403, path
        for part in ("Geheim", "geheim", "99 88", "9988", "99\u00a088"):
            assert part not in answer.text, (path, part)


async def test_an_administrators_token_is_needed_for_everybody(site: Site) -> None:
    user = await site.token("101", *SCOPES)  # even one that says so
    boss = await site.token("boss", *SCOPES, role=Role.ADMIN)
    for path in ("/api/v1/admin/extensions", "/api/v1/admin/calls"):
        assert (await site.client().get(path, headers={"authorization": f"Bearer {user}"})).status_code == 403
        assert (await site.client().get(path, headers={"authorization": f"Bearer {boss}"})).status_code == 200


@pytest.mark.parametrize("length", [4 * 1024 * 1024, None])
async def test_too_much_is_refused(site: Site, length: int | None) -> None:
    async def endless() -> AsyncGenerator[bytes, None]:
        for _ in range(64):
            yield b"x" * 65536

    content = b"x" * length if length else endless()
    answer = await site.client().post("/sign-in", content=content, headers={"origin": BASE, "content-type": FORM})
    assert answer.status_code in (400, 413)  # forms have a smaller limit of their own


async def everything(site: Site) -> object:
    accounts = site.store.accounts
    return (
        await site.store.rules(),
        await accounts.all(),
        await accounts.profiles(),
        await accounts.sessions("101"),
        len(site.phone.called),
    )
