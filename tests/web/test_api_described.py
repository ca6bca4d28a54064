"""The API's description: every operation has words, a scope without which it does nothing, and examples that work."""

import re
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from comunik_pbx.accounts.account import SCOPES, Role
from comunik_pbx.web.api.examples import EXAMPLES
from tests.web.site import PASSWORD, Site
from tests.web.test_api import Client
from tests.web.test_profile import png

PNG = {"content-type": "image/png"}


async def described(site: Site) -> dict[str, Any]:
    document: dict[str, Any] = (await site.client().get("/api/v1/openapi.json")).json()
    return document


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(method, path, one) for path, methods in document["paths"].items() for method, one in methods.items()]


def good(operation: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(a for status, a in operation["responses"].items() if status.startswith("2"))
    return found


async def test_every_operation_has_words_a_scope_and_examples(site: Site) -> None:
    document = await described(site)
    assert {(method, path) for method, path, _ in operations(document)} == EXAMPLES.keys()
    for method, path, operation in operations(document):
        where = (method, path)
        assert operation["description"], where
        [(_, [scope])] = operation["security"][0].items()
        assert scope in SCOPES, where
        for parameter in operation.get("parameters", ()):
            assert "example" in parameter, (where, parameter["name"])
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            assert kind == "image/png" or "example" in content, where
        for kind, content in good(operation).get("content", {}).items():
            assert kind == "image/png" or "example" in content, where
        for status, answer in operation["responses"].items():
            if status >= "400":
                assert answer["content"]["application/problem+json"]["example"]["status"] == int(status), where


async def test_examples_are_of_the_described_shapes(site: Site) -> None:
    document = await described(site)
    for method, path, operation in operations(document):
        contents = list(good(operation).get("content", {}).values())
        contents += operation.get("requestBody", {}).get("content", {}).values()
        for answer in operation["responses"].values():
            contents += answer.get("content", {}).values()
        for content in contents:
            if "example" in content:
                valid(content["example"], content.get("schema", {}), document, (method, path))
        for parameter in operation.get("parameters", ()):
            valid(parameter["example"], parameter["schema"], document, (method, path))


def valid(value: Any, schema: dict[str, Any], document: dict[str, Any], where: object) -> None:
    checker = jsonschema_rs.validator_for({**schema, "components": document["components"]})
    assert [str(error) for error in checker.iter_errors(value)] == [], where


async def test_examples_work(site: Site) -> None:
    """In the order of the table, which is that of a life; and what comes back has the keys that the example shows."""
    await site.ask_for_proofs()
    alice = await site.signed_in("101")
    await alice.post("/sign-in", name="101", password=PASSWORD)
    (session,) = await site.store.accounts.sessions("101")
    user = Client(site, await site.token("101", *SCOPES))
    boss = Client(site, await site.token("boss", *SCOPES, role=Role.ADMIN))
    document = await described(site)
    assert (await user.ask("PUT", "/profile/photo", content=png(), headers=PNG)).status_code == 204
    for (method, path), example in EXAMPLES.items():
        client = boss if path.startswith("/admin") else user
        given = {**example.given, **({"session": session.id} if "session" in example.given else {})}
        filled = re.sub(r"\{(\w+)\}", lambda found, given=given: str(given.pop(found[1])), path)  # type: ignore[misc]
        more: dict[str, Any] = {"params": given}
        if path == "/profile/photo" and method == "put":
            more |= {"content": png(), "headers": PNG}
        elif example.sent is not None:
            more["json"] = example.sent
        if path == "/admin/extensions/{number}/photo":  # she has taken it away meanwhile
            await user.ask("PUT", "/profile/photo", content=png(), headers=PNG)
        answer = await client.ask(method.upper(), filled, **more)
        assert 200 <= answer.status_code < 300, (method, path, answer.text)
        if answer.content and answer.headers["content-type"] == "application/json":
            content = good(document["paths"][path][method])["content"]["application/json"]
            valid(answer.json(), content["schema"], document, (method, path))
            if isinstance(example.answer, dict):
                assert answer.json().keys() == example.answer.keys(), (method, path)
        if path == "/calls/dialled/progress":
            assert answer.text.startswith("event: state\ndata: {")
    assert (await site.visitor().post("/sign-in", name="101", password=PASSWORD)).status_code == 401  # it was changed


async def test_nothing_is_done_without_its_scope(site: Site) -> None:
    """An administrator's token with every scope but the one that is needed."""
    for method, path, operation in operations(await described(site)):
        [(_, [needed])] = operation["security"][0].items()
        others = [scope for scope in SCOPES if scope != needed]
        token = await site.token("boss", *others, role=Role.ADMIN) if needed not in tokens else tokens[needed]
        tokens[needed] = token
        filled = re.sub(r"\{(\w+)\}", "101", path)
        answer = await Client(site, token).ask(method.upper(), filled, json={})
        assert (answer.status_code, needed in answer.text) == (403, True), (method, path)
    tokens.clear()


tokens: dict[str, str] = {}


WRONG: list[tuple[str, str, Any, str, str]] = [
    ("PUT", "/rules/external", {}, "This is needed.", "Ce champ est obligatoire."),
    ("PUT", "/rules/external", {"to": 1}, "This must be text.", "Il faut du texte."),
    ("PUT", "/rules/external", {"to": "HALF"}, "This must be text.", "Il faut du texte."),
    ("PUT", "/rules/external", {"to": ""}, "At least 1 characters.", "Au moins 1 caractère(s)."),
    ("PUT", "/rules/external", {"to": "1" * 61}, "At most 60 characters.", "Au plus 60 caractères."),
    ("PUT", "/rules/external", {"to": "102", "a": 1}, "There is no such field.", "Ce champ n’existe pas."),
    ("PUT", "/rules/external", {"to": "102", "rings": 13}, "At most 12.", "Au plus 12."),
    ("PUT", "/rules/external", {"to": "102", "rings": -1}, "At least 0.", "Au moins 0."),
    ("PUT", "/rules/external", {"to": "102", "rings": 1.5}, "a whole number", "un nombre entier"),
    ("PUT", "/rules/external", {"to": "102", "rings": "x"}, "a whole number", "un nombre entier"),
    ("PUT", "/rules/external", {"to": "102", "rings": 10**30}, "At most 12.", "Au plus 12."),
    ("PUT", "/rules/external", {"to": "102", "enabled": 7}, "true or false", "true ou false"),
    ("PUT", "/rules/external", {"to": "102", "until": "soon"}, "its time zone", "son fuseau horaire"),
    ("PUT", "/rules/external", {"to": "102", "until": "2026-12-24T18:00"}, "its time zone", "son fuseau horaire"),
    ("PUT", "/rules/external", [], "an object", "un objet"),
    ("PUT", "/rules/external", None, "This is not JSON.", "Ce n’est pas du JSON."),
    ("PUT", "/rules/sometimes", {"to": "102"}, "Right: 'always', 'internal'", "Attendu : 'always', 'internal'"),
    ("GET", "/admin/calls?extension=x", None, "of the right form", "la bonne forme"),
    ("PUT", "/preferences", {"theme": "pink"}, "Right: 'system'", "Attendu : 'system'"),
    (
        "PUT",
        "/security/password",
        {"current": "x", "new": "y"},
        "not your password",
        "n’est pas votre mot de passe",
    ),
]


@pytest.mark.parametrize("language", ["en", "fr"])
async def test_what_is_wrong_is_said_in_the_callers_language(site: Site, language: str) -> None:
    client = Client(site, await site.token("101", *SCOPES, role=Role.ADMIN), language)
    for method, path, sent, english, french in WRONG:
        content = b"{" if sent is None else msgspec.json.encode(sent).replace(b"HALF", rb"\ud800")
        answer = await client.ask(method, path, content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 422, (path, sent)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["content-language"] == language
        said = answer.json()["errors"][0]["why"].replace("\u00a0", " ").replace("\u202f", " ")
        assert (french if language == "fr" else english) in said, (path, sent)


async def test_where_one_is_signed_in_and_out_again(site: Site) -> None:
    alice, elsewhere = await site.signed_in("101"), site.visitor()
    await elsewhere.post("/sign-in", name="101", password=PASSWORD)
    bruno = await site.signed_in("103")
    client = Client(site, await site.token("101", *SCOPES))
    listed = (await client.ask("GET", "/security/sessions")).json()
    assert len(listed) == 2
    (of_bruno,) = await site.store.accounts.sessions("103")
    assert (await client.ask("DELETE", f"/security/sessions/{of_bruno.id}")).status_code == 404
    assert (await bruno.get("/security")).status_code == 200
    assert (await client.ask("DELETE", f"/security/sessions/{listed[0]['id']}")).status_code == 204
    assert [(await one.get("/security")).status_code for one in (alice, elsewhere)].count(200) == 1
    assert (await client.ask("DELETE", "/security/sessions")).status_code == 204
    assert [(await one.get("/security")).status_code for one in (alice, elsewhere)] == [303, 303]
    actions = [line["action"] for line in (await client.ask("GET", "/security/audit")).json()]
    assert actions[:2] == ["signed out", "signed out"]


async def test_a_token_cannot_guess_the_password(site: Site) -> None:
    alice = await site.signed_in("101")
    client = Client(site, await site.token("101", *SCOPES))
    for number in range(5):
        sent = {"current": f"guess {number}", "new": "sept girafes lentes volent"}
        assert (await client.ask("PUT", "/security/password", json=sent)).status_code == 422
    sent["current"] = PASSWORD
    assert (await client.ask("PUT", "/security/password", json=sent)).status_code == 429
    await alice.get("/security")
    fields = {"current": PASSWORD, "new": sent["new"], "again": sent["new"]}
    assert (await alice.post("/security/password", **fields)).status_code == 303  # the owner himself may


async def test_administrators_see_by_the_api_what_their_pages_show(site: Site) -> None:
    alice = Client(site, await site.token("101", *SCOPES))
    await alice.ask("PUT", "/profile", json={"department": "Ventes"})
    await alice.ask("PUT", "/rules/internal", json={"to": "103", "rings": 2})
    boss = Client(site, await site.token("boss", *SCOPES, role=Role.ADMIN))
    found = (await boss.ask("GET", "/admin/extensions", params={"find": "vente"})).json()
    assert [(one["number"], one["department"], one["rules"]["internal"]["to"]) for one in found] == [
        ("101", "Ventes", "103")
    ]
    locked = (await boss.ask("GET", "/admin/extensions/102")).json()["rules"]["always"]
    assert (locked["locked"], locked["source"]) == (True, "config")
    for part in ("", "/profile", "/photo"):
        assert (await boss.ask("GET", f"/admin/extensions/199{part}")).status_code == 404
    (line,) = (await boss.ask("GET", "/admin/history")).json()
    assert (line["extension"], line["changed_by"], line["before"]) == ("101", "api:101", None)
    company = (await boss.ask("GET", "/admin/company")).json()
    assert (company["deny"], company["allowed_countries"]) == (["+33899*"], ["FR", "BE"])
    assert company["files"][0].endswith("comunik.toml")
    assert {one["account"] for one in (await boss.ask("GET", "/admin/audit")).json()} == {"101", "boss"}
