"""Sign in and out, and choose the first password by an invitation."""

import math
import secrets
import time

import structlog
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from starlette.datastructures import FormData

from comunik_pbx.accounts.account import Account, Session
from comunik_pbx.web import passwords
from comunik_pbx.web.pages import COOKIE, NotFound, Person, Visitor, form, go, person, session_id, visitor, word

log = structlog.get_logger(__name__)

router = APIRouter()


@router.get("/sign-in")
async def ask(next: str = "/", who: Visitor = Depends(visitor)) -> Response:  # noqa: A002
    """The sign-in page."""
    if isinstance(who, Person):
        return go(_inside(next))
    return who.show("sign_in.html", next=_inside(next), name="", wrong="")


@router.post("/sign-in")
async def sign_in(request: Request, who: Visitor = Depends(visitor)) -> Response:
    """Sign in with extension and password."""
    async with request.form(max_files=0, max_fields=10) as sent:
        name, onward, password = word(sent, "name", 64), _inside(word(sent, "next")), _secret(sent, "password")
    limits, now = who.needs.limits, time.monotonic()
    if wait := limits.wait_seconds(name, who.address, now):
        minutes = math.ceil(wait / 60)
        wrong = who.text("Too many wrong passwords. Try again in %(minutes)s min.") % {"minutes": minutes}
        answer = who.show("sign_in.html", 429, next=onward, name=name, wrong=wrong)
        answer.headers["retry-after"] = str(math.ceil(wait))
        return answer
    account = await who.needs.accounts.account(name)
    limits.failed(name, who.address, now)  # counted before it is tried: tries at the same moment count too
    if not await passwords.right(password, account.password_hash if account else None) or account is None:
        log.warning("sign-in refused", account=name, address=who.address)
        if account is not None:
            at = who.moment
            await who.needs.accounts.note(name, "sign-in refused", by=name, at=at, address=who.address)
        wrong = who.text("That extension and password do not belong together.")
        return who.show("sign_in.html", 401, next=onward, name=name, wrong=wrong)
    limits.succeeded(name, who.address)
    if passwords.outdated(account.password_hash or ""):
        await who.needs.accounts.set_password_hash(name, await passwords.hashed(password))
    return await _begin(who, account, onward)


@router.post("/sign-out")
async def sign_out(who: Person = Depends(person), sent: FormData = Depends(form)) -> Response:
    """End this session."""
    await who.needs.accounts.end_sessions(who.who.name, at=who.moment, address=who.address, only=who.here.id)
    answer = go("/sign-in")
    answer.delete_cookie(COOKIE, path="/")
    return answer


@router.get("/invitation/{secret}")
async def invitation(secret: str, who: Visitor = Depends(visitor)) -> Response:
    """Choose a password."""
    account = await who.needs.accounts.invited(secret, who.moment)
    if account is None:
        return who.show("invitation.html", 404, invited=None, wrong="")
    return who.show("invitation.html", invited=account, wrong="", wrong_again="")


@router.post("/invitation/{secret}")
async def accept(secret: str, request: Request, who: Visitor = Depends(visitor)) -> Response:
    """Set the password; the link no longer works."""
    account = await who.needs.accounts.invited(secret, who.moment)
    if account is None:
        raise NotFound
    async with request.form(max_files=0, max_fields=10) as sent:
        password, again = _secret(sent, "password"), _secret(sent, "again")
    if wrong := passwords.weakness(password, about(who, account), who.text):
        return who.show("invitation.html", 422, invited=account, wrong=wrong, wrong_again="")
    if password != again:
        wrong = who.text("The two are not the same.")
        return who.show("invitation.html", 422, invited=account, wrong="", wrong_again=wrong)
    hashed = await passwords.hashed(password)
    await who.needs.accounts.set_password(account.name, hashed, at=who.moment, address=who.address)
    return await _begin(who, account, "/?done=welcome")


def about(who: Visitor, account: Account) -> tuple[str, ...]:
    """What others would guess first: who he is."""
    extension = who.needs.rules.directory().extensions.get(account.name)
    return (account.name, *(extension.name.split() if extension else ()), "comunik")


async def _begin(who: Visitor, account: Account, onward: str) -> Response:
    secret, now = secrets.token_urlsafe(32), who.moment
    browser = who.request.headers.get("user-agent", "")[:200]
    await who.needs.accounts.begin_session(
        Session(
            id=session_id(secret),
            account=account.name,
            created_at=now,
            seen_at=now,
            address=who.address,
            browser=browser,
        )
    )
    answer = go(onward)
    secure = who.request.url.scheme == "https"
    answer.set_cookie(COOKIE, secret, max_age=90 * 86400, path="/", httponly=True, secure=secure, samesite="lax")
    return answer


def _secret(sent: FormData, name: str) -> str:
    value = sent.get(name)
    return value if isinstance(value, str) else ""


def _inside(path: str) -> str:
    """A page of ours to go on to: never another site's."""
    good = path.startswith("/") and not path.startswith(("//", "/\\")) and "\\" not in path and path.isprintable()
    return path if good else "/"
