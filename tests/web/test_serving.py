"""The portal served by uvicorn: cookies over TLS, whose word about addresses counts, a port that is taken."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import httpx
import pytest

from comunik_pbx.web import serving
from comunik_pbx.web.serving import serve
from tests.web.site import PASSWORD, Site


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def served(site: Site, port: int, *trusted: str) -> AsyncIterator[str]:
    """The site at a real port, stopped at the end as the service stops it."""
    task = asyncio.create_task(serve(site.app, ("127.0.0.1", port), trusted))
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(10), httpx.AsyncClient() as client:
            while True:
                try:
                    await client.get(f"{url}/sign-in")
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.02)
        yield url
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.cancelled()


async def sign_in(site: Site, url: str) -> httpx.Response:
    forwarded = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https"}
    async with httpx.AsyncClient(headers=forwarded) as client:
        return await client.post(f"{url}/sign-in", data={"name": "101", "password": PASSWORD})


async def test_a_trusted_proxy_is_believed(site: Site) -> None:
    await site.signed_in("101")
    async with served(site, free_port(), "127.0.0.1") as url:
        answer = await sign_in(site, url)
    assert answer.status_code == 303
    assert "secure" in answer.headers["set-cookie"].lower()
    assert (await site.store.accounts.audit("101"))[0].address == "203.0.113.9"


@pytest.mark.parametrize(
    ("sent", "believed"),
    [
        ([("x-forwarded-for", "203.0.113.9, 198.51.100.1")], "198.51.100.1"),  # what the client wrote is to the left
        ([("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "198.51.100.1")], "198.51.100.1"),
        ([("x-forwarded-for", "203.0.113.9, 127.0.0.1")], "203.0.113.9"),  # two proxies of ours
        ([("x_forwarded_for", "203.0.113.9"), ("forwarded", "for=203.0.113.9")], "127.0.0.1"),
        ([("x-real-ip", "203.0.113.9"), ("x-forwarded-host", "evil.test")], "127.0.0.1"),
        ([("x-forwarded-for", "<script>" + "a" * 200)], "<script>" + "a" * 56),
    ],
)
async def test_a_client_cannot_write_its_own_address_through_a_trusted_proxy(
    site: Site, sent: list[tuple[str, str]], believed: str
) -> None:
    await site.signed_in("101")
    async with served(site, free_port(), "127.0.0.1") as url, httpx.AsyncClient(headers=sent) as client:
        answer = await client.post(f"{url}/sign-in", data={"name": "101", "password": PASSWORD})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert (await site.store.accounts.audit("101"))[0].address == believed


async def test_nobody_else_is(site: Site) -> None:
    await site.signed_in("101")
    for trusted in ((), ("192.0.2.0/24",)):
        async with served(site, free_port(), *trusted) as url:
            answer = await sign_in(site, url)
        assert answer.status_code == 303
        assert "secure" not in answer.headers["set-cookie"].lower()
        assert (await site.store.accounts.audit("101"))[0].address == "127.0.0.1"


async def test_a_port_that_is_taken_is_tried_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "LISTEN_AGAIN_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        task = asyncio.create_task(serve(site.app, ("127.0.0.1", port)))
        done, _ = await asyncio.wait([task], timeout=0.2)
        assert not done
    async with httpx.AsyncClient() as client, asyncio.timeout(5):
        while True:
            try:
                answer = await client.get(f"http://127.0.0.1:{port}/sign-in")
                break
            except httpx.TransportError:
                await asyncio.sleep(0.02)
    assert answer.status_code == 200
    assert "server" not in answer.headers
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()
