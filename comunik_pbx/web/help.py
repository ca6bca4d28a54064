"""Help: the user guide, for whoever needs it, signed in or not."""

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from comunik_pbx.web.guide import guide
from comunik_pbx.web.languages import LANGUAGES
from comunik_pbx.web.pages import Visitor, visitor

router = APIRouter()


@router.get("/help")
async def show(language: str = "", who: Visitor = Depends(visitor)) -> Response:
    """The guide in the reader's language, or in another."""
    shown = language if language in LANGUAGES else who.language
    return who.show("help.html", guide=guide(shown), guide_language=shown)
