"""What stands before every route: headers for the browser, who may send changes, how much may be sent."""

from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 3 * 1024 * 1024

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class _TooMuch(Exception):
    """More was sent than anybody needs to."""


class Protection:
    """ASGI middleware. Changes asked for by another site's page are refused before anything looks at them.

    A browser says where a request comes from by Sec-Fetch-Site, older ones by Origin (Fetch standard). Programs send
    neither, and have no cookies either.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["method"] not in _SAFE and not _same_origin(headers):
            await _refuse(403, "Another site's page may not change anything here.")(scope, receive, send)
            return
        announced = headers.get("content-length", "0")
        if not announced.isdigit() or int(announced) > MOST_BYTES:
            await _refuse(413, "That is too much.")(scope, receive, send)
            return
        received, begun = 0, False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MOST_BYTES:
                raise _TooMuch
            return message

        async def with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                if received > MOST_BYTES:  # whatever the route made of a body that was cut off
                    message["status"] = 413
                _add_headers(message)
            await send(message)

        try:
            await self._app(scope, counted, with_headers)
        except _TooMuch:
            if begun:
                raise
            await _refuse(413, "That is too much.")(scope, receive, send)


def _same_origin(headers: dict[str, str]) -> bool:
    if (site := headers.get("sec-fetch-site")) is not None:
        return site in ("same-origin", "none")
    if (origin := headers.get("origin")) is not None:
        return urlsplit(origin).netloc == headers.get("host")
    return True


def _add_headers(message: MutableMapping[str, Any]) -> None:
    present = {name for name, _ in message["headers"]}
    message["headers"] = [
        *message["headers"],
        *((k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in present),
        *([] if b"cache-control" in present else [(b"cache-control", b"no-store")]),
    ]


def _refuse(status: int, words: str) -> PlainTextResponse:
    return PlainTextResponse(words + "\n", status, headers={**HEADERS, "cache-control": "no-store"})
