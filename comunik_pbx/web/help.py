"""Help: the user guide, for whoever needs it, signed in or not."""

from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse, Response

from comunik_pbx.web.guide import guide, picture
from comunik_pbx.web.languages import LANGUAGES
from comunik_pbx.web.pages import NotFound, Visitor, visitor

router = APIRouter()


@router.get("/help")
async def show(language: str = "", pictures: bool = False, who: Visitor = Depends(visitor)) -> Response:
    """The guide in the reader's language, or in another; with its pictures to be printed."""
    shown = language if language in LANGUAGES else who.language
    return who.show("help.html", guide=guide(shown, pictures), guide_language=shown, pictures=pictures)


@router.get("/help/screens/{name}")
async def screen(name: str) -> Response:
    """One of its pictures."""
    if (file := picture(name)) is None:
        raise NotFound
    return FileResponse(file, media_type="image/png")
