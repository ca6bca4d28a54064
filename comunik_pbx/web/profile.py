"""What one says of oneself: photo, name, department, e-mail, address, outside number."""

import re

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from starlette.datastructures import FormData, UploadFile

from comunik_pbx.accounts.account import Profile
from comunik_pbx.forwarding.directory import Directory
from comunik_pbx.web.languages import N_, Gettext
from comunik_pbx.web.needs import AccountBook
from comunik_pbx.web.pages import Member, NotFound, form, go, member, word
from comunik_pbx.web.photo import NotAPhoto, portrait

router = APIRouter()

LONGEST = {"full_name": 80, "department": 80, "email": 254, "address": 300, "phone": 40}
"""Fields and their most characters; 254 is that of an e-mail address (RFC 5321, erratum 1690)."""

PHOTO_WORDS = {
    "size": N_("The photo is too large: at most 2 MB and 25 million pixels."),
    "kind": N_("The photo must be a PNG file."),
    "broken": N_("This PNG file is damaged."),
}

_EMAIL = re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+\.[^@\s,;<>\".]+")


@router.get("/profile")
async def show(who: Member = Depends(member)) -> Response:
    """The page."""
    return await _page(who)


@router.post("/profile")
async def save(who: Member = Depends(member), sent: FormData = Depends(form)) -> Response:
    """Save all, the photo too if one was chosen."""
    typed = {name: word(sent, name, 1000) for name in LONGEST}
    profile, wrong = checked(typed, who.needs.rules.directory(), who.text)
    photo = sent.get("photo")
    png = None
    if isinstance(photo, UploadFile) and photo.filename:
        try:
            png = await portrait(await photo.read())
        except NotAPhoto as error:
            wrong["photo"] = who.text(PHOTO_WORDS[error.reason])
    if wrong:
        return await _page(who, 422, typed, wrong)
    await who.needs.accounts.set_profile(who.who.name, profile)
    if png is not None:
        await who.needs.accounts.set_photo(who.who.name, png)
    return go("/profile?done=profile")


@router.post("/profile/remove-photo")
async def remove_photo(who: Member = Depends(member), sent: FormData = Depends(form)) -> Response:
    """Take the photo away."""
    await who.needs.accounts.set_photo(who.who.name, None)
    return go("/profile?done=photo")


@router.get("/profile/photo")
async def photo(who: Member = Depends(member)) -> Response:
    """One's own photo."""
    return await picture(who.needs.accounts, who.who.name)


async def picture(accounts: AccountBook, name: str) -> Response:
    """Somebody's photo. No browser keeps it: the next who signs in there has his under the same address."""
    png = await accounts.photo(name)
    if png is None:
        raise NotFound
    return Response(png, media_type="image/png")


def checked(typed: dict[str, str], directory: Directory, text: Gettext) -> tuple[Profile, dict[str, str]]:
    """A profile as typed, and what is wrong with it, by field. The number becomes E.164."""
    wrong = {
        name: text("At most %(count)s characters.") % {"count": most}
        for name, most in LONGEST.items()
        if len(typed[name]) > most
    }
    if typed["email"] and not _EMAIL.fullmatch(typed["email"]):
        wrong.setdefault("email", text("This is not an e-mail address. Right: name@example.com"))
    phone = ""
    if typed["phone"]:
        phone = directory.numbers.e164(typed["phone"]) or ""
        if not phone or directory.numbers.refusal(phone):
            wrong.setdefault("phone", text("This is not a telephone number that can be called. Right: 06 12 34 56 78"))
    return _profile(typed, phone), wrong


def _profile(typed: dict[str, str], phone: str) -> Profile:
    return Profile(
        full_name=typed["full_name"],
        department=typed["department"],
        email=typed["email"],
        address=typed["address"],
        phone=phone,
    )


async def _page(
    who: Member, status: int = 200, typed: dict[str, str] | None = None, wrong: dict[str, str] | None = None
) -> Response:
    profile = await who.needs.accounts.profile(who.who.name)
    values = {name: getattr(profile, name) for name in LONGEST} | {"phone": who.number(profile.phone)}
    return who.show(
        "profile.html",
        status,
        values=values | (typed or {}),
        wrong=wrong or {},
        photo=profile.photo,
        extension=who.extension,
        longest=LONGEST,
    )
