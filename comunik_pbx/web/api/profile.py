"""One's profile, photo and preferences."""

from typing import Annotated

from fastapi import APIRouter, Body, Response
from pydantic import BaseModel, ConfigDict, Field

from comunik_pbx.accounts.account import Profile, Theme
from comunik_pbx.web.api.caller import Caller, allowed
from comunik_pbx.web.api.problems import Problem
from comunik_pbx.web.api.shapes import PICTURE
from comunik_pbx.web.languages import LANGUAGES
from comunik_pbx.web.photo import NotAPhoto, portrait
from comunik_pbx.web.profile import LONGEST, PHOTO_WORDS, checked

router = APIRouter(tags=["profile"])


class ProfileIn(BaseModel):
    """What one says of oneself; what is left out becomes empty."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"full_name": "Alice Martin", "phone": "+33612345678"}]},
    )

    full_name: Annotated[str, Field(max_length=LONGEST["full_name"])] = ""
    department: Annotated[str, Field(max_length=LONGEST["department"])] = ""
    email: Annotated[str, Field(max_length=LONGEST["email"])] = ""
    address: Annotated[str, Field(max_length=LONGEST["address"])] = ""
    phone: Annotated[str, Field(max_length=LONGEST["phone"])] = ""


class ProfileOut(ProfileIn):
    """A profile; `photo` counts its changes, 0 for none."""

    photo: int


class Preferences(BaseModel):
    """Language (null: the extension's) and appearance."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"language": "fr", "theme": "dark"}]})

    language: Annotated[str | None, Field(json_schema_extra={"enum": [*LANGUAGES, None]})] = None
    theme: Theme = Theme.SYSTEM


@router.get("/profile")
async def profile(who: Caller = allowed("profile:read")) -> ProfileOut:
    """One's profile."""
    return profile_out(await who.needs.accounts.profile(who.account.name))


@router.put("/profile")
async def set_profile(wanted: ProfileIn, who: Caller = allowed("profile:write")) -> ProfileOut:
    """Set one's profile; the number may be written as people do."""
    text = who.text
    typed = {name: getattr(wanted, name).strip() for name in LONGEST}
    made, wrong = checked(typed, who.needs.rules.directory(), text)
    if wrong:
        errors = [{"field": field, "why": why} for field, why in wrong.items()]
        raise Problem(422, text("Refused"), errors=errors)
    await who.needs.accounts.set_profile(who.account.name, made)
    return profile_out(await who.needs.accounts.profile(who.account.name))


@router.get(
    "/profile/photo",
    response_class=Response,
    responses=PICTURE,
)
async def photo(who: Caller = allowed("profile:read")) -> Response:
    """One's photo, PNG."""
    png = await who.needs.accounts.photo(who.account.name)
    if png is None:
        raise Problem(404, who.text("No photo yet"))
    return Response(png, media_type="image/png")


@router.put("/profile/photo", status_code=204)
async def set_photo(
    png: Annotated[bytes, Body(media_type="image/png")], who: Caller = allowed("profile:write")
) -> None:
    """Set one's photo: a PNG, at most 2 MB. It is cropped to a square and re-encoded."""
    text = who.text
    try:
        made = await portrait(png)
    except NotAPhoto as error:
        raise Problem(422, text("Refused"), text(PHOTO_WORDS[error.reason])) from None
    await who.needs.accounts.set_photo(who.account.name, made)


@router.delete("/profile/photo", status_code=204)
async def remove_photo(who: Caller = allowed("profile:write")) -> None:
    """Take one's photo away."""
    await who.needs.accounts.set_photo(who.account.name, None)


@router.get("/preferences")
async def preferences(who: Caller = allowed("profile:read")) -> Preferences:
    """One's preferences."""
    return Preferences(language=who.account.language, theme=who.account.theme)


@router.put("/preferences")
async def set_preferences(wanted: Preferences, who: Caller = allowed("profile:write")) -> Preferences:
    """Set one's preferences."""
    if wanted.language is not None and wanted.language not in LANGUAGES:
        text = who.text
        raise Problem(422, text("Refused"), text("Languages: %(languages)s") % {"languages": ", ".join(LANGUAGES)})
    await who.needs.accounts.set_preferences(who.account.name, wanted.language, wanted.theme)
    return wanted


def profile_out(profile: Profile) -> ProfileOut:
    """A profile as the API gives it."""
    values = {name: getattr(profile, name) for name in LONGEST}
    return ProfileOut(**values, photo=profile.photo)
