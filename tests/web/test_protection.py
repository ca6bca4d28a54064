"""What stands before every route: sizes, time, faults, hosts; and who holds connections open."""

import asyncio
import socket
import time
from collections.abc import AsyncGenerator
from html import unescape
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.routing import Mount
from structlog.testing import capture_logs

from comunik_pbx.store import StoreFull
from comunik_pbx.web import protection, serving
from comunik_pbx.web.protection import HEADERS, MOST_BYTES
from tests.web.site import BASE, PASSWORD, Site
from tests.web.test_serving import free_port, served

FORM = {"origin": BASE, "content-type": "application/x-www-form-urlencoded"}


def complete(answer: httpx.Response) -> None:
    """Every answer, good or bad, has the headers that protect who reads it."""
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("path", ["/sign-in", "/api/v1/rules/always", "/profile", "/api/v1/profile/photo"])
async def test_more_than_a_route_needs_is_refused_before_it_is_read(site: Site, path: str, announced: bool) -> None:
    alice = await site.signed_in("101")
    token = await site.token("101", "rules:write", "profile:write")
    most = protection.MOST_BYTES_OF_PHOTO if path.endswith(("profile", "photo")) else MOST_BYTES

    async def pieces() -> AsyncGenerator[bytes, None]:
        for _ in range(most // 65536 + 1):
            yield b"x" * 65536

    alice.client.headers["authorization"] = f"Bearer {token}"
    content: Any = b"x" * (most + 1) if announced else pieces()
    method = "PUT" if path.startswith("/api") else "POST"
    answer = await alice.client.request(method, path, content=content, headers=FORM | {"accept-language": "fr"})
    if path == "/profile" and not announced:  # the form's own limit is met first
        assert answer.status_code == 400
        return
    assert answer.status_code == 413
    assert "C’est trop volumineux." in answer.text
    assert answer.headers["content-type"].startswith("application/problem" if method == "PUT" else "text/plain")
    complete(answer)


async def test_a_slow_request_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protection, "REQUEST_SECONDS", 0.1)

    async def slowly() -> AsyncGenerator[bytes, None]:
        yield b"name=101"
        await asyncio.Event().wait()

    answer = await site.client().post("/sign-in", content=slowly(), headers=FORM)
    assert answer.status_code == 408
    complete(answer)


@pytest.mark.parametrize("path", ["/broken", "/api/v1/broken"])
async def test_a_fault_of_ours_says_so_and_nothing_more(site: Site, path: str) -> None:
    async def broken(request: Request) -> None:
        raise RuntimeError("secret detail")

    app = (
        site.app
        if path == "/broken"
        else next(r.app for r in site.app.routes if isinstance(r, Mount) and r.path == "/api/v1")
    )
    assert isinstance(app, FastAPI)
    app.add_api_route("/broken", broken)
    with capture_logs() as logs:
        answer = await site.client(language="fr").get(path)
    assert [(line["event"], line["exc_info"]) for line in logs] == [("a fault of the portal", True)]
    assert answer.status_code == 500
    assert "Une erreur s’est produite ici" in answer.text
    assert "secret" not in answer.text
    if path.startswith("/api"):
        assert answer.headers["content-type"] == "application/problem+json"
    complete(answer)


@pytest.mark.parametrize("path", ["/security", "/api/v1/rules"])
async def test_a_store_that_fails_is_said_in_words(site: Site, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = await site.signed_in("101")

    async def full(*_: object, **__: object) -> None:
        raise StoreFull("No space is left for the store.")

    monkeypatch.setattr(site.store.accounts, "session", full)
    monkeypatch.setattr(site.store.accounts, "token", full)
    answer = await alice.client.get(path, headers={"authorization": "Bearer x"})
    assert answer.status_code == 503
    assert "This cannot be done at the moment; nothing was changed." in unescape(answer.text)
    complete(answer)


@pytest.mark.parametrize("path", ["/sign-in/", "/forwarding/", "/api/v1", "/api/v1/rules/", "//evil.test", "/static"])
async def test_no_answer_names_the_host_that_the_request_named(site: Site, path: str) -> None:
    answer = await site.client().get(f"{BASE}{path}", headers={"host": "evil.test"})
    assert answer.status_code in (401, 404), answer.headers
    assert "evil" not in answer.headers.get("location", "") + answer.text


async def test_over_tls_browsers_are_told_to_stay_there(site: Site) -> None:
    clear, tls = await site.client().get("/sign-in"), await site.client().get("https://portal.test/sign-in")
    assert "strict-transport-security" not in clear.headers
    assert tls.headers["strict-transport-security"] == "max-age=31536000"


async def test_who_sends_no_whole_request_is_cut_off(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "IDLE_SECONDS", 0.2)
    answered = b"GET /sign-in HTTP/1.1\r\nHost: x\r\n\r\n"
    async with served(site, port := free_port()):
        for sent in (b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", answered, answered + b"GET / HTTP/1.1\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            async with asyncio.timeout(3):
                got = await reader.read()  # until it is closed
            assert got.startswith(b"HTTP/1.1 200") is sent.startswith(answered)
            writer.close()


async def test_connections_are_bounded_and_come_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "MOST_OF_ONE_ADDRESS", 5)
    async with served(site, port := free_port()) as url:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
        closed = [asyncio.create_task(reader.read()) for reader, _ in held]
        done, _ = await asyncio.wait(closed, timeout=0.5)
        assert len(done) >= 3
        for _, writer in held:
            writer.close()
        async with asyncio.timeout(5), httpx.AsyncClient() as client:
            while True:
                try:
                    assert (await client.get(f"{url}/sign-in")).status_code == 200
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.02)


async def test_who_does_not_read_is_cut_off(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "IDLE_SECONDS", 0.4)
    monkeypatch.setattr(protection, "REQUEST_SECONDS", 0.2)

    async def much(request: Request) -> httpx.Response:
        from fastapi.responses import StreamingResponse

        async def endless() -> AsyncGenerator[bytes, None]:
            while True:
                yield b"x" * 65536

        return StreamingResponse(endless())  # type: ignore[return-value]

    site.app.add_api_route("/much", much, response_model=None)
    async with served(site, port := free_port()):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /much HTTP/1.1\r\nHost: x\r\n\r\n")
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                await asyncio.sleep(0.05)
                try:
                    client.send(b"\r\n")
                except (ConnectionResetError, BrokenPipeError):
                    break
            else:
                raise AssertionError("the connection is still held")


@pytest.mark.parametrize(
    "content",
    [
        b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n\\ud800\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="name"; filename="a"\r\n\r\nb\r\n--x--\r\n',
        b"--x\r\n",
        b"",
    ],
)
@pytest.mark.parametrize("charset", ["utf-8", "unicode_escape", "utf-7", "no-such"])
async def test_forms_nobody_would_send(site: Site, content: bytes, charset: str) -> None:
    kind = f"multipart/form-data; boundary=x; charset={charset}"
    answer = await site.client().post("/sign-in", content=content, headers=FORM | {"content-type": kind})
    assert answer.status_code in (400, 401), answer.text


async def test_a_form_of_thousands_of_fields_is_cheap(site: Site) -> None:
    content = (b"a=&" * MOST_BYTES)[:MOST_BYTES]
    began = time.process_time()
    answer = await site.client().post("/sign-in", content=content, headers=FORM)
    assert answer.status_code in (400, 401)
    assert time.process_time() - began < 2
    assert PASSWORD not in answer.text
