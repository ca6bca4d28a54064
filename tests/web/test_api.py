"""The API: what the pages do, with tokens, scopes and problems in the caller's language."""

from typing import Any

import httpx
import pytest

from comunik_pbx.accounts.account import SCOPES, Role
from tests.web.site import Site
from tests.web.test_profile import png


class Client:
    """A program with a token."""

    def __init__(self, site: Site, token: str, language: str = "en") -> None:
        self.http = site.client(language=language)
        self.http.headers["authorization"] = f"Bearer {token}"

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        return await self.http.request(method, f"/api/v1{path}", **more)


async def alice(site: Site, *scopes: str, language: str = "en") -> Client:
    return Client(site, await site.token("101", *(scopes or SCOPES)), language)


async def test_a_rule_from_nothing_to_nothing(site: Site) -> None:
    client = await alice(site)
    until = "2026-12-24T18:00:00+01:00"
    put = await client.ask("PUT", "/rules/internal", json={"to": "103", "rings": 3, "until": until})
    assert put.status_code == 200, put.text
    rule = put.json()
    assert (rule["to"], rule["rings"], rule["enabled"], rule["source"]) == ("103", 3, True, "user")
    assert (rule["until"], rule["changed_by"]) == ("2026-12-24T17:00:00Z", "api:101")
    off = await client.ask("PATCH", "/rules/internal", json={"enabled": False})
    assert (off.json()["enabled"], off.json()["to"]) == (False, "103")
    kinds = {rule["kind"]: rule["source"] for rule in (await client.ask("GET", "/rules")).json()}
    assert kinds == {"internal": "user", "external": "config"}
    assert (await client.ask("DELETE", "/rules/internal")).status_code == 204
    assert (await client.ask("DELETE", "/rules/internal")).status_code == 404
    history = (await client.ask("GET", "/history")).json()
    assert [line["action"] for line in history] == ["clear", "off", "set"]


@pytest.mark.parametrize(
    ("language", "detail"),
    [("en", "+33899123456 is a premium-rate number."), ("fr", "+33899123456 est un numéro surtaxé.")],
)
async def test_refusals_have_a_code_and_words_in_the_callers_language(site: Site, language: str, detail: str) -> None:
    client = await alice(site, language=language)
    answer = await client.ask("PUT", "/rules/external", json={"to": "0899123456", "rings": 3})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:comunik-pbx:refused:premium"
    assert answer.json()["detail"] == detail


async def test_what_is_not_of_the_right_shape_is_named(site: Site) -> None:
    client = await alice(site)
    answer = await client.ask("PUT", "/rules/external", json={"to": "102", "rings": 99, "colour": "red"})
    assert answer.status_code == 422
    assert {error["field"] for error in answer.json()["errors"]} == {"body.rings", "body.colour"}
    assert (await client.ask("PUT", "/rules/external", content=b"{")).status_code == 422
    assert (await client.ask("GET", "/nowhere")).json()["title"] == "There is no such thing"
    assert (await client.ask("POST", "/rules")).status_code == 405


async def test_scopes(site: Site) -> None:
    client = await alice(site, "rules:read")
    assert (await client.ask("GET", "/rules")).status_code == 200
    for method, path in (("PUT", "/rules/always"), ("GET", "/profile"), ("GET", "/calls"), ("POST", "/calls")):
        answer = await client.ask(method, path, json={"to": "102"})
        assert answer.status_code == 403, path
    assert (await Client(site, "cpbx_wrong").ask("GET", "/rules")).status_code == 401


async def test_a_token_ends(site: Site) -> None:
    from datetime import timedelta

    client = Client(site, await site.token("101", "rules:read", days=400))
    assert (await client.ask("GET", "/rules")).status_code == 200
    site.later = timedelta(days=401)
    assert (await client.ask("GET", "/rules")).status_code == 401


async def test_profile_photo_and_preferences(site: Site) -> None:
    client = await alice(site)
    put = await client.ask("PUT", "/profile", json={"full_name": "Alice", "phone": "06 12 34 56 78"})
    assert (put.json()["phone"], put.json()["photo"]) == ("+33612345678", 0)
    wrong = await client.ask("PUT", "/profile", json={"email": "alice", "phone": "12"})
    assert {error["field"] for error in wrong.json()["errors"]} == {"email", "phone"}
    photo = await client.ask("PUT", "/profile/photo", content=png(), headers={"content-type": "image/png"})
    assert photo.status_code == 204, photo.text
    assert (await client.ask("GET", "/profile/photo")).content.startswith(b"\x89PNG")
    assert (await client.ask("GET", "/profile")).json()["photo"] == 1
    bad = await client.ask("PUT", "/profile/photo", content=b"GIF89a", headers={"content-type": "image/png"})
    assert (bad.status_code, bad.json()["detail"]) == (422, "The photo must be a PNG file.")
    assert (await client.ask("DELETE", "/profile/photo")).status_code == 204
    assert (await client.ask("GET", "/profile/photo")).status_code == 404
    assert (await client.ask("PUT", "/preferences", json={"language": "fr", "theme": "dark"})).status_code == 200
    assert (await client.ask("GET", "/preferences")).json() == {"language": "fr", "theme": "dark"}
    assert (await client.ask("PUT", "/preferences", json={"language": "tlh"})).status_code == 422


async def test_explain_is_the_decision(site: Site) -> None:
    client = await alice(site)
    await client.ask("PUT", "/rules/external", json={"to": "+33612345678", "rings": 2})
    told = (await client.ask("GET", "/explain", params={"caller": "+33140000000"})).json()
    assert (told["origin"], told["called"]) == ("external", "101")
    assert [step["kind"] for step in told["steps"]] == ["ring", "forward", "forward", "voicemail"]


async def test_calling(site: Site) -> None:
    client = await alice(site)
    for to, dialled in (("102", "102"), ("06 12 34 56 78", "0612345678"), ("+33 1 70 00 01 01", None), ("15", None)):
        answer = await client.ask("POST", "/calls", json={"to": to})
        assert answer.status_code == (202 if dialled else 422), to
    assert site.phone.called == [("101", "102"), ("101", "0612345678")]
    assert (await client.ask("DELETE", "/calls/dialled")).status_code == 204
    site.phone.there = False
    assert (await client.ask("POST", "/calls", json={"to": "102"})).json()[
        "detail"
    ] == "None of your phones is connected."


async def test_allowed_numbers(site: Site) -> None:
    boss = Client(site, await site.token("boss", "admin:read", "admin:write", role=Role.ADMIN))
    put = await boss.ask("PUT", "/admin/numbers/+442079460000", json={"name": "London"})
    assert (put.status_code, put.json()["changed_by"]) == (200, "api:boss")
    assert [one["number"] for one in (await boss.ask("GET", "/admin/numbers")).json()] == ["+442079460000"]
    refused = await boss.ask("PUT", "/admin/numbers/+33899123456", json={})
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:comunik-pbx:refused:premium")
    assert (await boss.ask("DELETE", "/admin/numbers/+442079460000")).status_code == 204
    assert (await boss.ask("DELETE", "/admin/numbers/+442079460000")).status_code == 404
