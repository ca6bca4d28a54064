"""Every route there is, asked for by everybody: nobody, a user, a user without the form's token, another site."""

import re
from collections.abc import AsyncGenerator, Iterable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from comunik_pbx.accounts.account import SCOPES, Role
from comunik_pbx.web.protection import HEADERS
from tests.web.site import BASE, CODE, PASSWORD, Site
from tests.web.test_profile import png

FORM = "application/x-www-form-urlencoded"

OPEN = {"/sign-in", "/invitation/{secret}", "/help", "/help/screens/{name}"}
"""What one sees without being signed in."""

PUBLIC = {"/api/v1/openapi.json"}
"""What is everybody's."""


def routes(site: Site) -> list[tuple[str, str]]:
    """Method and path of every operation that the application answers, however it got there."""
    return sorted(_below(site.app.routes, ""))


def _below(found: Iterable[BaseRoute], prefix: str) -> Iterator[tuple[str, str]]:
    for route in found:
        if isinstance(route, Mount) and isinstance(route.app, StaticFiles):
            assert route.path.startswith("/static/")
        elif isinstance(route, Mount):
            yield from _below(route.routes, prefix + route.path)
        elif isinstance(route, Route):
            path = prefix + route.path
            yield from ((method, path) for method in route.methods or () if method != "HEAD" and path not in PUBLIC)
        elif (included := getattr(route, "original_router", None)) is not None:  # how FastAPI includes a router
            assert type(route).__name__ == "_IncludedRouter"
            yield from _below(included.routes, prefix)
        else:
            raise AssertionError(f"a route of a kind that is not tested: {route!r}")


def filled(path: str, **values: str) -> str:
    """The path with values in it: those of extension 102, which is not whoever asks."""
    usual = {
        "kind": "external",
        "state": "off",
        "secret": "x" * 43,
        "number": "102",
        "what": "off",
        "session": "0" * 64,
        "name": "102",
    }
    for name, value in (usual | values).items():
        path = path.replace(f"{{{name}}}", value)
    assert "{" not in path, path
    return path


async def nobody_gets_anywhere(site: Site) -> None:
    client = site.client()
    for method, path in routes(site):
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


async def test_nobody_sees_or_changes_anything(site: Site) -> None:
    asked = routes(site)
    assert len(asked) > 60
    for one in (
        ("GET", "/keypad/progress"),
        ("GET", "/profile/photo"),
        ("GET", "/api/v1/calls/dialled/progress"),
        ("GET", "/help"),
        ("GET", "/admin/changes"),
        ("GET", "/api/v1/numbers"),
    ):
        assert one in asked
    await nobody_gets_anywhere(site)


@pytest.mark.parametrize("where", ["page", "api", "mount"])
async def test_a_new_route_that_is_not_protected_would_be_noticed(site: Site, where: str) -> None:
    """Whoever adds one without saying who may ask fails these tests, also outside the lists of pages."""

    async def leak() -> dict[str, str]:
        return {"secret": "of 101"}

    app = site.app
    if where == "api":
        mounted = next(one.app for one in site.app.routes if isinstance(one, Mount) and one.path == "/api/v1")
        assert isinstance(mounted, FastAPI)
        app = mounted
    if where == "mount":
        app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
        site.app.mount("/more", app)
    app.add_api_route("/leak", leak, include_in_schema=False)
    with pytest.raises(AssertionError, match="leak"):
        await nobody_gets_anywhere(site)


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


async def with_secrets(site: Site) -> Any:
    """Somebody at 103 who has told the portal much."""
    zoltan = await site.signed_in("103")
    await zoltan.get("/profile")
    secrets = {"full_name": "Zoltan Geheim", "email": "zoltan@geheim.example", "phone": "06 99 88 77 66"}
    photo = {"photo": ("me.png", png(), "image/png")}
    answer = await zoltan.post("/profile", files=photo, **secrets, department="", address="")
    assert answer.status_code == 303
    await zoltan.post("/forwarding/external", channel="number", number="06 99 88 77 55", rings="3")
    await site.token("103", "rules:read")
    await site.store.proven.add([("103", "+33699887755")], by="portal:103", at=site.now())
    return zoltan


SECRETS = re.compile("[Gg]eheim|99 88|9988|99\u00a088|\x89PNG")


async def test_a_user_sees_nothing_of_another(site: Site) -> None:
    await with_secrets(site)
    (session,) = await site.store.accounts.sessions("103")
    alice = await site.signed_in("101")
    token = await site.token("101", *SCOPES)  # even one that says so makes no administrator
    for method, path in routes(site):
        if method != "GET":
            continue
        headers = {"authorization": f"Bearer {token}"} if path.startswith("/api") else {}
        for number in ("103", "102"):
            place = filled(path, number=number, session=session.id)
            params = {"caller": "anonymous", "extension": "103", "account": "103", "number": "103", "name": "103"}
            answer = await alice.client.request(method, place, headers=headers, params=params)
            if "/admin" in path:
                assert answer.status_code == 403, path
            assert not SECRETS.search(answer.content.decode("latin-1")), path
            assert session.id not in answer.text, path
            assert answer.headers["cache-control"] == "no-store", path


async def test_a_user_changes_nothing_of_another(site: Site) -> None:
    """Signed in, with the form's token and every scope, naming the other wherever something can be named."""
    zoltan = await with_secrets(site)
    (session,) = await site.store.accounts.sessions("103")
    alice, token = await site.signed_in("101"), await site.token("101", *SCOPES)
    before = await everything(site, "103")
    names: dict[str, Any] = {"extension": "103", "account": "103", "name": "103", "user": "103", "member": "103"}
    fields = names | {"session": session.id, "channel": "voicemail", "rings": "1", "number": "0612345678"}
    fields |= {"language": "fr", "theme": "dark", "full_name": "Mallory", "department": "", "email": "", "address": ""}
    fields |= {
        "until": "",
        "code": CODE,
        "phone": "",
        "current": PASSWORD,
        "new": "huit autruches bavardes",
        "again": "huit autruches bavardes",
    }
    done = set()
    for method, path in routes(site):
        if method == "GET" or path in ("/sign-out", "/api/v1/security/sessions", *OPEN):
            continue
        place = filled(path, number="103", session=session.id)
        if path.startswith("/api"):
            bearer = {"authorization": f"Bearer {token}"}
            for body in (
                names,
                {"to": "102"},
                {"enabled": True},
                {"full_name": "Mallory"},
                {"theme": "dark"},
                {"code": CODE},
            ):
                answer = await alice.client.request(method, place, headers=bearer, params=names, json=body)
                done.add(answer.status_code)
        else:
            answer = await alice.post(place, **fields)
            done.add(answer.status_code)
        assert "sign-in" not in answer.headers.get("location", ""), path
        assert answer.status_code < 500, path
        if "/admin" in path:
            assert answer.status_code == 403, path
        assert await everything(site, "103") == before, (method, path)
        await alice.get("/security")
    assert {200, 204, 303, 403} <= done  # much of it was done: with her own
    assert (await zoltan.get("/security")).status_code == 200


async def test_an_administrator_without_an_extension_is_sent_to_his_own_pages(site: Site) -> None:
    boss = await site.signed_in("boss", Role.ADMIN)
    for method, path in routes(site):
        if method == "GET" and not path.startswith("/api") and path not in OPEN:
            answer = await boss.client.request(method, filled(path), params={"caller": "102"})
            assert answer.status_code in (200, 303, 404), path
            assert answer.headers.get("location", "/admin").startswith("/admin"), path


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


async def everything(site: Site, of: str | None = None) -> object:
    """All that is kept, or all of one extension's."""
    accounts = site.store.accounts
    everybody, profiles = await site.store.rules(), await accounts.profiles()
    return (
        everybody if of is None else everybody.get(of),
        await accounts.all() if of is None else await accounts.account(of),
        profiles if of is None else (profiles.get(of), await accounts.photo(of)),
        await accounts.sessions(of or "101"),
        await accounts.tokens(of),
        [call for call in (*site.phone.called, *site.telephone.called) if of in (None, call[0])],
        await site.store.proven.all(of),
        await site.store.allow_list.all(),
    )
