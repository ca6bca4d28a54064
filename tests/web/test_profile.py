"""The profile: what is kept of it, and what becomes of a photo."""

import io
import random
import struct
import zlib
from html import unescape

import pytest
from PIL import Image, PngImagePlugin

from comunik_pbx.web.photo import NotAPhoto, portrait
from tests.web.site import Site

FIELDS = {
    "full_name": "Alice Martin",
    "department": "Ventes",
    "email": "alice@example.com",
    "address": "1 rue X\nParis",
    "phone": "06 12 34 56 78",
}


def png(width: int = 300, height: int = 200, **info: str) -> bytes:
    """A PNG, left half red and right half blue, with texts in its metadata."""
    picture = Image.new("RGB", (width, height), "red")
    picture.paste("blue", (width // 2, 0, width, height))
    texts = PngImagePlugin.PngInfo()
    for name, value in info.items():
        texts.add_text(name, value)
    made = io.BytesIO()
    picture.save(made, "PNG", pnginfo=texts)
    return made.getvalue()


async def test_everything_is_saved_together(site: Site) -> None:
    alice = await site.signed_in("101")
    photo = {"photo": ("me.png", png(Comment="secret place"), "image/png")}
    assert (await alice.post("/profile", files=photo, **FIELDS)).status_code == 303
    profile = await site.store.accounts.profile("101")
    assert (profile.full_name, profile.phone, profile.photo) == ("Alice Martin", "+33612345678", 1)
    page = unescape((await alice.get("/profile")).text)
    for value in ("Alice Martin", "Ventes", "alice@example.com", "1 rue X\nParis", "06\u00a012", "/profile/photo?v=1"):
        assert value in page, value
    kept = (await alice.get("/profile/photo?v=1")).content
    assert b"secret place" not in kept
    with Image.open(io.BytesIO(kept)) as picture:
        assert (picture.format, picture.size) == ("PNG", (256, 256))
        assert picture.convert("RGB").getpixel((10, 128)) == (255, 0, 0)
        assert picture.convert("RGB").getpixel((245, 128)) == (0, 0, 255)
    assert (await alice.post("/profile/remove-photo")).status_code == 303
    assert (await alice.get("/profile/photo")).status_code == 404


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("email", "alice", "not an e-mail address"),
        ("phone", "12", "not a telephone number that can be called"),
        ("phone", "15", "not a telephone number that can be called"),
        ("full_name", "x" * 81, "At most 80 characters."),
        ("address", "x" * 301, "At most 300 characters."),
    ],
)
async def test_what_is_wrong_is_said_beside_the_field_and_nothing_is_lost(
    site: Site, field: str, value: str, words: str
) -> None:
    alice = await site.signed_in("101")
    answer = await alice.post("/profile", **(FIELDS | {field: value}))
    text = unescape(answer.text)
    assert (answer.status_code, text.count('class="wrong"')) == (422, 1)
    assert words in text
    assert value in text
    assert "Ventes" in text
    assert (await site.store.accounts.profile("101")).full_name == ""


def _jpeg() -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (50, 50)).save(made, "JPEG")
    return made.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (_jpeg(), "must be a PNG file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "must be a PNG file"),
        (b"GIF89a", "must be a PNG file"),
        (b"", "must be a PNG file"),
        (png()[:200], "damaged"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 2_100_000, "too large"),
    ],
    ids=["jpeg", "svg", "gif", "empty", "cut off", "large"],
)
async def test_only_whole_pngs_are_photos(site: Site, content: bytes, words: str) -> None:
    alice = await site.signed_in("101")
    answer = await alice.post("/profile", files={"photo": ("me.png", content, "image/png")}, **FIELDS)
    assert (answer.status_code, words in unescape(answer.text)) == (422, True)
    assert await site.store.accounts.photo("101") is None


def _bomb(side: int) -> bytes:
    """A small file that says it is a large picture."""
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = (header, b"IDAT" + zlib.compress(b"\0" * 100_000), b"IEND")
    framed = (struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


@pytest.mark.parametrize("side", [60_000, 10_000, 5_001])
async def test_a_bomb_is_not_unpacked(site: Site, side: int) -> None:
    alice = await site.signed_in("101")
    files = {"photo": ("me.png", _bomb(side), "image/png")}
    answer = await alice.post("/profile", files=files, **FIELDS)
    assert (answer.status_code, "too large" in answer.text) == (422, True)


async def test_texts_profiles_and_more_frames_do_not_stay() -> None:
    """Whatever a PNG may bring along: text of 60 MB once unpacked, a camera's Exif, a colour profile, an animation."""
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", "secret place", zip=True)
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue", "green")]
    made = io.BytesIO()
    profile = b"secret place" * 100
    frames[0].save(made, "PNG", pnginfo=texts, exif=exif, icc_profile=profile, save_all=True, append_images=frames[1:])
    kept = await portrait(made.getvalue())
    with Image.open(io.BytesIO(kept)) as picture:
        assert (picture.info, getattr(picture, "n_frames", 1)) == ({}, 1)
    assert b"secret" not in kept
    bomb = PngImagePlugin.PngInfo()
    bomb.add_text("Comment", "x" * 60_000_000, zip=True)
    made = io.BytesIO()
    frames[0].save(made, "PNG", pnginfo=bomb)
    with pytest.raises(NotAPhoto):
        await portrait(made.getvalue())


async def test_what_is_kept_is_small_whatever_the_picture(site: Site) -> None:
    """So that a page with a photo stays under 100 KB."""
    noise = io.BytesIO()
    Image.frombytes("RGBA", (400, 300), random.Random(1).randbytes(400 * 300 * 4)).save(noise, "PNG")
    kept = await portrait(noise.getvalue())
    assert len(kept) < 70 * 1024
    with Image.open(io.BytesIO(kept)) as picture:
        assert picture.size == (256, 256)
    flat = await portrait(png())
    with Image.open(io.BytesIO(flat)) as picture:
        assert picture.mode == "RGB"  # nothing was lost


async def test_a_browser_keeps_nobodys_photo_for_the_next_who_signs_in(site: Site) -> None:
    alice = await site.signed_in("101")
    await alice.post("/profile", files={"photo": ("me.png", png(), "image/png")}, **FIELDS)
    answer = await alice.get("/profile/photo?v=1")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
