"""One's password, and where one is signed in."""

import time

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from starlette.datastructures import FormData

from comunik_pbx.web import passwords
from comunik_pbx.web.browsers import browser_name
from comunik_pbx.web.languages import N_
from comunik_pbx.web.pages import Person, form, go, person, word
from comunik_pbx.web.sign_in import about

router = APIRouter()

ACTIONS = {
    "invited": N_("An invitation was sent"),
    "removed": N_("Account removed"),
    "signed in": N_("Signed in"),
    "signed out": N_("Session ended"),
    "sign-in refused": N_("Wrong password"),
    "password changed": N_("Password changed"),
    "token made": N_("API token made"),
    "token removed": N_("API token removed"),
    "number allowed": N_("Allowed numbers changed"),
    "number proven": N_("Number verified"),
    "proof removed": N_("Verification of a number removed"),
}


@router.get("/security")
async def show(who: Person = Depends(person)) -> Response:
    """The page."""
    return await _page(who)


@router.post("/security/password")
async def change_password(who: Person = Depends(person), sent: FormData = Depends(form)) -> Response:
    """Change the password: the current one, the new one, and again."""
    current, new, again = (str(sent.get(name) or "") for name in ("current", "new", "again"))
    limits, now = who.needs.limits, time.monotonic()
    if limits.wait_seconds(who.who.name, who.address, now):
        return await _page(who, 429, current=who.text("Too many wrong passwords. Wait a quarter of an hour."))
    if not await passwords.right(current, who.who.password_hash):
        limits.failed(who.who.name, who.address, now)
        return await _page(who, 422, current=who.text("This is not your password."))
    limits.succeeded(who.who.name, who.address)
    if wrong := passwords.weakness(new, about(who, who.who), who.text):
        return await _page(who, 422, new=wrong)
    if new == current:
        return await _page(who, 422, new=who.text("This is the password you have."))
    if new != again:
        return await _page(who, 422, again=who.text("The two are not the same."))
    hashed = await passwords.hashed(new)
    accounts = who.needs.accounts
    await accounts.set_password(who.who.name, hashed, at=who.moment, address=who.address, keep=who.here.id)
    return go("/security?done=password")


@router.post("/security/end-session")
async def end_session(who: Person = Depends(person), sent: FormData = Depends(form)) -> Response:
    """End one of one's sessions, or all others."""
    only = word(sent, "session")
    accounts = who.needs.accounts
    await accounts.end_sessions(who.who.name, at=who.moment, address=who.address, only=only, keep=who.here.id)
    return go("/security?done=sessions")


async def _page(who: Person, status: int = 200, **wrong: str) -> Response:
    found = await who.needs.accounts.sessions(who.who.name)
    sessions = [
        {
            "id": session.id,
            "here": session.id == who.here.id,
            "browser": browser_name(session.browser) or who.text("an unknown program"),
            "address": session.address,
            "seen_at": who.date(session.seen_at),
        }
        for session in found
    ]
    audit = await who.needs.accounts.audit(who.who.name, limit=10)
    actions = {action: who.text(words) for action, words in ACTIONS.items()}
    return who.show("security.html", status, sessions=sessions, wrong=wrong, audit=audit, actions=actions)
