"""What browsers and programs may send to any page and operation: never a fault of ours, and what is kept is shown."""

import asyncio
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comunik_pbx.accounts.account import SCOPES, Role
from comunik_pbx.web.needs import Needs
from tests.fuzz.mutations import FUZZ, anything, hostile
from tests.web.conftest import site_of
from tests.web.site import BASE, MOBILE, Site, Visitor
from tests.web.test_profile import png
from tests.web.test_routes import OPEN, routes

KNOWN = (
    "101|102|103|voicemail|extension 102|06 12 34 56 78|+33612345678|+442079460000|15|0899123456|40718|on|off|external|"
    "always|fr|dark|2026-12-24T18:00|9999-12-31T23:59|0001-01-01T00:00+23:59|' OR 1=1 --|<script>|%(x)s|１０１|*72"
)
NAMES = (
    "channel extension number rings until session name password again current new language theme full_name department "
    "email address phone comment next photo to enabled caller find limit account done calling code"
)
WORDS = st.one_of(hostile, st.sampled_from(KNOWN.split("|")))
FIELDS = st.sampled_from(NAMES.split())
FORMS = st.dictionaries(FIELDS, WORDS, max_size=6)
RIGHT = {
    "kind": st.sampled_from(["always", "internal", "external"]),
    "state": st.sampled_from(["on", "off"]),
    "what": st.sampled_from(["on", "off", "remove"]),
    "number": st.sampled_from(["101", "+442079460000", MOBILE]),
}
ENDS_THE_SESSION = {"/sign-out", "/api/v1/security/sessions", "/security/end-session"}


class Asker:
    """An administrator with an extension and a token of every scope; time for one event loop."""

    def __init__(self, runner: asyncio.Runner, site: Site, visitor: Visitor, token: str) -> None:
        self.runner = runner
        self.site = site
        self.visitor = visitor
        self.token = token
        self.routes = [one for one in routes(site) if one[1] not in ENDS_THE_SESSION]
        self.needs: Needs = site.app.state.needs

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        self.needs.limits._failures.clear()  # so that more than five passwords are tried
        return self.runner.run(self.visitor.client.request(method, path, **more))


@pytest.fixture(scope="module")
def asker() -> Iterator[Asker]:
    with asyncio.Runner() as runner, tempfile.TemporaryDirectory() as directory:
        opened = site_of(Path(directory))
        site = runner.run(opened.__aenter__())
        visitor = runner.run(site.signed_in("101", Role.ADMIN))
        token = runner.run(site.token("101", *SCOPES))
        runner.run(visitor.get("/security"))
        yield Asker(runner, site, visitor, token)
        runner.run(opened.__aexit__(None, None, None))


@FUZZ
@given(data=st.data())
def test_whatever_is_sent_to_any_route(asker: Asker, data: st.DataObject) -> None:
    method, path = data.draw(st.sampled_from(asker.routes))
    place = re.sub(r"\{(\w+)\}", lambda found: data.draw(_values(found[1])), path)
    more: dict[str, Any] = {"params": {k: _sendable(v) for k, v in data.draw(FORMS).items()}}
    headers = {"origin": BASE}
    if path.startswith("/api"):
        headers["authorization"] = f"Bearer {asker.token}"
        if method not in ("GET", "DELETE"):
            headers["content-type"] = "application/json"
            more["content"] = data.draw(BODIES)
    elif method == "POST":
        more["data"] = {"csrf": asker.visitor.csrf} | {k: _sendable(v) for k, v in data.draw(FORMS).items()}
        if data.draw(st.booleans()):
            content = data.draw(st.binary(max_size=50) | st.just(png()))
            more["files"] = {"photo": ("x.png", content, "image/png")}
    answer = asker.ask(method, place, headers=headers, **more)
    assert answer.status_code < 500, (method, place, more, answer.text)
    if path.startswith("/api") and answer.status_code >= 400 and answer.status_code != 404:
        assert answer.headers["content-type"] == "application/problem+json", (method, place)
        assert answer.json()["status"] == answer.status_code
    for page in ("/forwarding", "/profile", "/security", "/admin", "/admin/numbers"):
        if method in ("POST", "PUT", "PATCH") and path not in OPEN:
            shown = asker.ask("GET", page)
            assert shown.status_code == 200, (page, method, place, more)
            assert "<script>" not in shown.text


def _values(name: str) -> st.SearchStrategy[str]:
    right = RIGHT.get(name)
    wild = WORDS.map(lambda word: quote(_sendable(word), safe=""))
    return wild if right is None else right | right | wild


def _sendable(word: str) -> str:
    """Without halves of surrogate pairs, which httpx refuses to send (a form of them is in tests/web)."""
    return word.encode("utf-8", "replace").decode()


def _document(value: Any) -> bytes:
    """JSON, also with halves of surrogate pairs, which Python's own reader accepts."""
    return json.dumps(value).encode()


RULES = st.fixed_dictionaries({"to": WORDS}, optional={"rings": st.integers(-1, 13) | anything, "until": WORDS})
BODIES = st.one_of(
    st.dictionaries(FIELDS, anything | WORDS, max_size=4).map(_document),
    RULES.map(_document),
    st.fixed_dictionaries({"current": WORDS, "new": WORDS}).map(_document),
    anything.map(_document),
    st.binary(max_size=30),
    st.just(b"[" * 60_000),
    st.just(msgspec.json.encode({"to": "x" * 60_000})),
)
