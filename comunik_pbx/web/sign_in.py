"""Sign in and out, and choose the first password by an invitation."""

import math
import secrets
import time

import structlog
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from starlette.datastructures import FormData

from comunik_pbx.accounts.account import Session
from comunik_pbx.web import passwords
from comunik_pbx.web.cookies import device, forget_session, keep_device, keep_session
from comunik_pbx.web.pages import NotFound, Person, Visitor, form, go, person, secret_word, session_id, visitor, word
from comunik_pbx.web.password_change import about

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
        name, onward, password = word(sent, "name", 64), _inside(word(sent, "next")), secret_word(sent, "password")
    limits, now = who.needs.limits, time.monotonic()
    account = await who.needs.accounts.account(name)
    known = device(request, account.password_hash if account else None)
    if wait := limits.wait_seconds(name, who.address, now, known):
        minutes = math.ceil(wait / 60)
        wrong = who.text("Too many wrong passwords. Try again in %(minutes)s min.") % {"minutes": minutes}
        answer = who.show("sign_in.html", 429, next=onward, name=name, wrong=wrong)
        answer.headers["retry-after"] = str(math.ceil(wait))
        return answer
    limits.failed(name, who.address, now, known)  # counted before it is tried: tries at the same moment count too
    if await passwords.right(password, account.password_hash if account else None) and account is not None:
        limits.succeeded(name, who.address, known)
        password_hash = account.password_hash or ""
        if passwords.outdated(password_hash):
            renewed = await passwords.hashed(password)
            await who.needs.accounts.set_password_hash(name, renewed, was=password_hash)
            password_hash = renewed
        if (signed_in := await _begin(who, name, password_hash, onward)) is not None:
            return signed_in
    # A name that is none of ours may be a password typed into the wrong field: it is written nowhere. A line is, so
    # that this takes as long as for an account there is.
    log.warning("sign-in refused", account=name if account else "(there is none)", address=who.address)
    refused = name if account else ""
    await who.needs.accounts.note(refused, "sign-in refused", by=refused, at=who.moment, address=who.address)
    wrong = who.text("That extension and password do not belong together.")
    return who.show("sign_in.html", 401, next=onward, name=name, wrong=wrong)


@router.post("/sign-out")
async def sign_out(who: Person = Depends(person), sent: FormData = Depends(form)) -> Response:
    """End this session."""
    await who.needs.accounts.end_sessions(who.who.name, at=who.moment, address=who.address, only=who.here.id)
    answer = go("/sign-in")
    forget_session(answer, who.request, who.needs)
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
        password, again = secret_word(sent, "password"), secret_word(sent, "again")
    if wrong := await passwords.weakness(password, about(who.needs, account), who.text):
        return who.show("invitation.html", 422, invited=account, wrong=wrong, wrong_again="")
    if password != again:
        wrong = who.text("The two are not the same.")
        return who.show("invitation.html", 422, invited=account, wrong="", wrong_again=wrong)
    hashed = await passwords.hashed(password)
    accepted = await who.needs.accounts.accept(secret, hashed, at=who.moment, address=who.address)
    begun = await _begin(who, accepted.name, hashed, "/?done=welcome") if accepted is not None else None
    if begun is None:  # somebody else was faster
        raise NotFound
    return begun


async def _begin(who: Visitor, name: str, password_hash: str, onward: str) -> Response | None:
    """Begin a session, with a new secret; None if the password has changed meanwhile."""
    secret, now = secrets.token_urlsafe(32), who.moment
    session = Session(
        id=session_id(secret),
        account=name,
        created_at=now,
        seen_at=now,
        address=who.address,
        browser=who.request.headers.get("user-agent", "")[:200],
    )
    before = who.session.id if who.session is not None else ""  # this browser's own, which it now forgets
    if not await who.needs.accounts.begin_session(session, password_hash=password_hash, instead=before):
        return None
    answer = go(onward)
    keep_session(answer, who.request, who.needs, secret)
    keep_device(answer, who.request, who.needs, password_hash)
    return answer


def _inside(path: str) -> str:
    """A page of ours to go on to: never another site's."""
    good = path.startswith("/") and not path.startswith(("//", "/\\")) and "\\" not in path and path.isprintable()
    return path if good else "/"
