"""Where one begins."""

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from comunik_pbx.web.pages import Person, go, person

router = APIRouter()


@router.get("/")
async def home(done: str = "", who: Person = Depends(person)) -> Response:
    """One's forwarding, or the administrator's pages for one who has no extension."""
    has_extension = who.who.name in who.needs.rules.directory().extensions
    return go(("/forwarding" if has_extension else "/admin") + ("?done=welcome" if done == "welcome" else ""))
