"""What stands before every route: headers for the browser, who may send changes, how much, and for how long."""

import asyncio
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
import structlog
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from comunik_pbx.web.languages import N_, gettext, preferred

log = structlog.get_logger(__name__)

MOST_BYTES = 64 * 1024
MOST_BYTES_OF_PHOTO = 3 * 1024 * 1024
_PHOTOS = frozenset({"/profile", "/api/v1/profile/photo"})

REQUEST_SECONDS = 60.0
"""A request is received, done and answered in this time, but for what is told as it happens."""

_AS_IT_HAPPENS = frozenset({"/keypad/progress", "/api/v1/calls/dialled/progress"})

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

TLS_ONLY = "max-age=31536000"
"""Strict-Transport-Security (RFC 6797): said over TLS alone, and for this host alone."""

WORDS = {
    403: N_("Another site's page may not change anything here."),
    408: N_("That took too long. Please try again."),
    413: N_("That is too much."),
    500: N_("Something went wrong here, by no fault of yours. It has been noted."),
}


class _TooMuch(Exception):
    """More was sent than anybody needs to."""


class Protection:
    """ASGI middleware. Changes asked for by another site's page are refused before anything looks at them.

    A browser says where a request comes from by Sec-Fetch-Site, older ones by Origin (Fetch standard). Programs send
    neither, and have no cookies either.
    """

    def __init__(self, app: ASGIApp, language: str = "en") -> None:
        self._app = app
        self._language = language

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        tls, begun, ended = scope.get("scheme") == "https", False, False

        async def with_headers(message: Message) -> None:
            nonlocal begun, ended
            if message["type"] == "http.response.start":
                begun = True
                _add_headers(message, tls)
            else:
                ended = not message.get("more_body", False)
            await send(message)

        status = await self._served(scope, receive, with_headers, headers)
        if status is not None and not ended:
            if begun:
                raise ConnectionAbortedError(f"an answer that had begun was given up ({status})")
            language = preferred(headers.get("accept-language", ""), self._language)
            await _refusal(status, scope["path"], language)(scope, receive, with_headers)

    async def _served(self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str]) -> int | None:
        """Have a request answered; or the status of why it was not."""
        if scope["method"] not in _SAFE and not _same_origin(headers):
            return 403
        most = MOST_BYTES_OF_PHOTO if scope["path"] in _PHOTOS else MOST_BYTES
        announced = headers.get("content-length", "0")
        if not announced.isdecimal() or int(announced) > most:
            return 413
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise _TooMuch
            return message

        async def unless_too_much(message: Message) -> None:
            if received > most and message["type"] == "http.response.start":
                raise _TooMuch  # whatever the route made of a body that was cut off
            await send(message)

        try:
            async with asyncio.timeout(None if scope["path"] in _AS_IT_HAPPENS else REQUEST_SECONDS) as limit:
                await self._app(scope, counted, unless_too_much)
        except _TooMuch:
            return 413
        except TimeoutError:
            if limit.expired():
                return 408
            log.exception("a fault of the portal", path=scope["path"])
            return 500
        except Exception:
            log.exception("a fault of the portal", path=scope["path"])
            return 500
        return None


def _same_origin(headers: dict[str, str]) -> bool:
    if (site := headers.get("sec-fetch-site")) is not None:
        return site in ("same-origin", "none")
    if (origin := headers.get("origin")) is not None:
        return urlsplit(origin).netloc == headers.get("host")
    return True


def _add_headers(message: MutableMapping[str, Any], tls: bool) -> None:
    present = {name for name, _ in message["headers"]}
    message["headers"] = [
        *message["headers"],
        *((k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in present),
        *([] if b"cache-control" in present else [(b"cache-control", b"no-store")]),
        *([(b"strict-transport-security", TLS_ONLY.encode())] if tls else []),
    ]


def _refusal(status: int, path: str, language: str) -> Response:
    """A line of text; for programs a problem (RFC 9457)."""
    words = gettext(language)(WORDS[status])
    headers = {"content-language": language, "connection": "close"}
    if path.startswith("/api/"):
        body = msgspec.json.encode({"type": "about:blank", "title": words, "status": status})
        return Response(body, status, headers, "application/problem+json")
    return PlainTextResponse(words + "\n", status, headers)
