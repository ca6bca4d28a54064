"""One's password, and where one is signed in."""

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from starlette.datastructures import FormData

from comunik_pbx.web.browsers import browser_name
from comunik_pbx.web.cookies import keep_device
from comunik_pbx.web.languages import N_
from comunik_pbx.web.pages import Person, form, go, person, secret_word, word
from comunik_pbx.web.password_change import PasswordRefused, change_password

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
async def change(who: Person = Depends(person), sent: FormData = Depends(form)) -> Response:
    """Change the password: the current one, the new one, and again."""
    current, new, again = (secret_word(sent, name) for name in ("current", "new", "again"))
    if new != again:
        return await _page(who, 422, again=who.text("The two are not the same."))
    here = who.here.id
    try:
        hashed = await change_password(
            who.needs, who.who, current, new, text=who.text, address=who.address, here=here, keep=here
        )
    except PasswordRefused as refused:
        if refused.field == "wait":
            return await _page(who, 429, current=refused.why)
        return await _page(who, 422, **{refused.field: refused.why})
    answer = go("/security?done=password")
    keep_device(answer, who.request, who.needs, hashed)
    return answer


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
