"""One's language, and how the portal looks."""

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from starlette.datastructures import FormData

from comunik_pbx.accounts.account import Theme
from comunik_pbx.web.languages import LANGUAGES
from comunik_pbx.web.pages import Person, form, go, person, word

router = APIRouter()


@router.get("/preferences")
async def show(who: Person = Depends(person)) -> Response:
    """The page."""
    return who.show("preferences.html")


@router.post("/preferences")
async def save(who: Person = Depends(person), sent: FormData = Depends(form)) -> Response:
    """Save both. What is neither a language nor a theme of ours changes nothing."""
    language, theme = word(sent, "language"), word(sent, "theme")
    await who.needs.accounts.set_preferences(
        who.who.name,
        language if language in LANGUAGES else who.who.language,
        Theme(theme) if theme in set(Theme) else who.who.theme,
    )
    return go("/preferences?done=preferences")
