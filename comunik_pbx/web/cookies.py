"""The two cookies: whose session it is, and that somebody has signed in here before.

The second lets an owner in while strangers guess at his password: who brings it is counted on his own
(`accounts.sign_in_limits`). It is a MAC under the account's password hash, so it is kept nowhere, and worth nothing
once the password has changed.
"""

import hashlib
import hmac
import secrets

from fastapi import Request
from fastapi.responses import Response

from comunik_pbx.accounts.account import SESSION_LONGEST
from comunik_pbx.web.needs import Needs

DEVICE = "comunik_device"
DEVICE_SECONDS = 365 * 86400


def over_tls(request: Request, needs: Needs) -> bool:
    """Whether the browser speaks TLS: a trusted proxy says so, or the address that the configuration gives people."""
    return request.url.scheme == "https" or needs.url.startswith("https://")


def session_cookie(request: Request, needs: Needs) -> str:
    """The session cookie's name: over TLS one that no other host of the domain can set (RFC 6265bis, `__Host-`)."""
    return "__Host-comunik_session" if over_tls(request, needs) else "comunik_session"


def keep_session(answer: Response, request: Request, needs: Needs, secret: str) -> None:
    """Give the browser its session."""
    longest = int(SESSION_LONGEST.total_seconds())
    secure, name = over_tls(request, needs), session_cookie(request, needs)
    answer.set_cookie(name, secret, max_age=longest, path="/", httponly=True, secure=secure, samesite="lax")


def forget_session(answer: Response, request: Request, needs: Needs) -> None:
    """Take it back; over TLS with what else the browser keeps of us, such as the number last dialled."""
    if over_tls(request, needs):
        answer.headers["clear-site-data"] = '"storage"'
    secure, name = over_tls(request, needs), session_cookie(request, needs)
    answer.delete_cookie(name, path="/", httponly=True, secure=secure, samesite="lax")


def keep_device(answer: Response, request: Request, needs: Needs, password_hash: str) -> None:
    """Note that somebody with this password has signed in here."""
    nonce = secrets.token_urlsafe(12)
    answer.set_cookie(
        DEVICE,
        f"{nonce}.{_mac(password_hash, nonce)}",
        max_age=DEVICE_SECONDS,
        path="/sign-in",
        httponly=True,
        secure=over_tls(request, needs),
        samesite="strict",
    )


def device(request: Request, password_hash: str | None) -> str:
    """Which browser this is, if somebody with this password has signed in here; else empty."""
    nonce, _, mac = request.cookies.get(DEVICE, "").partition(".")
    if not nonce or password_hash is None:
        return ""
    return nonce if hmac.compare_digest(mac.encode(), _mac(password_hash, nonce).encode()) else ""


def _mac(password_hash: str, nonce: str) -> str:
    return hmac.new(password_hash.encode(), f"comunik device {nonce}".encode(), hashlib.sha256).hexdigest()
