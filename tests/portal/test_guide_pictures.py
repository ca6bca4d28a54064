"""The pictures of the user guides: a company as it might be, drawn in both languages, in French time.

They are left in `.sandbox/screenshots/guide/`; `docs/screens/` holds copies, which `SCREENS=docs/screens` renews.
"""

import asyncio
import io
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from playwright.async_api import Browser, Page

from comunik_pbx.accounts.account import AllowedNumber, Profile, Role
from comunik_pbx.forwarding.rules import RuleKind, ToExtension, ToNumber
from comunik_pbx.store import CallRow
from comunik_pbx.web.photo import portrait
from comunik_pbx.web.serving import serve
from tests.test_documents import ROOT
from tests.web.conftest import site_of
from tests.web.site import NOW, PASSWORD, Site

STAFF = ["Alice Martin", "Bruno Petit", "Chloé Durand", "David Leroy", "Emma Moreau", "Farid Benali", "Gaëlle Simon"]

COMPANY = (
    """country = "FR"
language = "fr"
[asterisk]
ari_password_file = "ari.secret"
ami_password_file = "ami.secret"
[forwarding]
allowed_countries = ["FR"]
[trunks.carrier]
dial = "PJSIP/{number}@carrier"
endpoints = ["carrier"]
"""
    + "".join(
        f'[extensions.{number}]\nname = "{name}"\nmailbox = "{number}@default"\ndid = ["+33170000{number}"]\n'
        for number, name in enumerate(STAFF, 101)
    )
    + '[extensions.104.forward.always]\nto = "101"\nlocked = true\n'
)

MOBILE = "+33612345678"

PICTURES = {
    "forwarding": ("101", "/forwarding?caller=01%2040%2000%2000%2000", 1120),
    "keypad": ("101", "/keypad", 1120),
    "profile": ("101", "/profile", 1120),
    "preferences": ("101", "/preferences", 1120),
    "security": ("101", "/security", 1120),
    "admin": ("boss", "/admin", 1120),
    "calls": ("boss", "/admin/calls", 1120),
    "telephone": ("101", "/forwarding", 390),
}
"""Whose page is drawn, and how wide."""

PLACES = """(here) => document.querySelectorAll("code").forEach(
    (one) => { one.textContent = one.textContent.replace(here, "/etc/comunik-pbx"); })"""
"""No paths of the machine that draws."""

MOST_BYTES = 100 * 1024


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("language", ["fr", "en"])
async def test_pictures(browser: Browser, tmp_path: Path, screenshots: Path, language: str) -> None:
    places = [screenshots / "guide", *([Path(os.environ["SCREENS"])] if "SCREENS" in os.environ else [])]
    async with site_of(tmp_path, COMPANY) as site, served(site) as url:
        await a_day_at_work(site)
        pages = {who: await seated(browser, url, who, language) for who in ("101", "boss")}
        for name, (who, path, width) in PICTURES.items():
            page = pages[who]
            await page.set_viewport_size({"width": width, "height": 844 if width < 400 else 900})
            await page.goto(url + path)
            await page.evaluate(PLACES, str(tmp_path))
            picture = small(await page.screenshot(full_page=width > 400))
            assert len(picture) < MOST_BYTES, name
            for place in places:
                place.mkdir(parents=True, exist_ok=True)
                (place / f"{name}.{language}.png").write_bytes(picture)
        for page in pages.values():
            await page.context.close()


def test_the_guides_have_their_pictures() -> None:
    for language in ("fr", "en"):
        guide = (ROOT / "docs" / f"guide.{language}.md").read_text(encoding="utf-8")
        for name in PICTURES:
            file = ROOT / "docs" / "screens" / f"{name}.{language}.png"
            assert f"screens/{file.name}" in guide, file.name
            assert file.stat().st_size < MOST_BYTES, file.name


async def a_day_at_work(site: Site) -> None:
    """Rules, a profile with a photo, calls of every kind."""
    store = site.store
    for name, role in (("101", Role.USER), ("boss", Role.ADMIN)):
        secret, at = f"{name:x<43}", NOW - timedelta(days=1)
        await store.accounts.invite(name, role, secret, NOW + timedelta(days=6), by="root", at=at)
        visitor = site.visitor()
        visitor.client.headers["user-agent"] = "Mozilla/5.0 (Windows NT 10.0; rv:133.0) Gecko/20100101 Firefox/133.0"
        answer = await visitor.post(f"/invitation/{secret}", password=PASSWORD, again=PASSWORD)
        assert answer.status_code == 303, answer.text
    by = "portal:101"
    await store.set_rule("101", RuleKind.INTERNAL, ToExtension("102"), rings=3, by=by)
    await store.set_rule("101", RuleKind.EXTERNAL, ToNumber(MOBILE), rings=4, by=by)
    await store.set_rule("101", RuleKind.ALWAYS, ToNumber(MOBILE), enabled=False, by=by)
    await store.set_rule("103", RuleKind.EXTERNAL, ToExtension("107"), rings=0, by="portal:103")
    await site.take_over()
    profile = Profile(
        full_name="Alice Martin",
        department="Ventes",
        email="alice.martin@example.com",
        address="12 rue de la Paix\n75002 Paris",
        phone=MOBILE,
    )
    await store.accounts.set_profile("101", profile)
    await store.accounts.set_photo("101", await portrait(a_face()))
    paris = AllowedNumber(
        number="+442079460000",
        name="London office",
        comment="",
        changed_by="portal:boss",
        changed_at=NOW,
    )
    await store.allow_list.put(paris)
    await store.put_calls([*calls()])


def calls() -> list[CallRow]:
    """In progress, forwarded, answered, missed, and a message left."""
    ring = {"kind": "ring", "extension": "101", "endpoints": ["101"], "rings": 4, "seconds": 20.0}
    forward = {"kind": "forward", "to": MOBILE, "trunk": "carrier", "seconds": 60.0}
    voicemail = {"kind": "voicemail", "mailbox": "101@default", "greeting": "unavailable"}
    outside = f"outside calls to 101 go to {MOBILE} after 4 rings (20 s)"
    told: list[tuple[str, str, str | None, list[dict[str, Any]], int]] = [
        ("+33140000000", "external", None, [], 4),
        ("+33145678901", "external", "answered", [{"index": 2, "answered_by": "carrier"}], 63),
        ("102", "internal", "answered", [{"index": 1, "answered_by": "101"}], 150),
        ("+33987654321", "external", "no-answer", [], 205),
        ("anonymous", "external", "voicemail", [{"index": 3}], 1100),
    ]
    return [
        CallRow(
            id=f"1764000000.{number}",
            started_at=NOW - timedelta(minutes=minutes),
            ended_at=NOW - timedelta(minutes=minutes - 2) if status else None,
            caller=caller,
            called="101",
            extension="101",
            origin=origin,
            decided="live",
            plan=[ring, forward, voicemail],
            trace=[{"extension": "101", "rule": origin, "version": 1, "followed": True, "why": outside}],
            outcome=outcome,
            status=status,
            cause=16 if status else None,
        )
        for number, (caller, origin, status, outcome, minutes) in enumerate(told)
    ]


@asynccontextmanager
async def served(site: Site) -> AsyncIterator[str]:
    """The portal on a port of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    serving = asyncio.create_task(serve(site.app, ("127.0.0.1", port), ()))
    try:
        async with asyncio.timeout(10):
            while True:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        serving.cancel()
        await asyncio.wait([serving])


async def seated(browser: Browser, url: str, who: str, language: str) -> Page:
    """Somebody signed in."""
    context = await browser.new_context(locale=language, color_scheme="light")
    page = await context.new_page()
    await page.goto(f"{url}/sign-in")
    await page.fill("#name", who)
    await page.fill("#password", PASSWORD)
    await page.click("main button")
    await page.goto(f"{url}/preferences")
    await page.check(f"[value={language}]")
    await page.click("main button")
    await page.wait_for_url("**?done=preferences")
    return page


def a_face() -> bytes:
    """A photo of nobody."""
    picture = Image.new("RGB", (300, 400), "#8fb8de")
    draw = ImageDraw.Draw(picture)
    draw.ellipse((40, 250, 260, 520), fill="#b5446e")
    draw.ellipse((85, 90, 215, 255), fill="#4a2c2a")
    draw.ellipse((100, 110, 200, 245), fill="#f2c9a5")
    made = io.BytesIO()
    picture.save(made, "PNG")
    return made.getvalue()


def small(png: bytes) -> bytes:
    """The picture in 256 colours: as good on paper, a third of the size."""
    made = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(256, kmeans=1, dither=Image.Dither.NONE).save(
        made, "PNG", optimize=True
    )
    return made.getvalue()
