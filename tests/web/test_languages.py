"""What is said is said in both languages, with French typography, and in readable colours."""

import re
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from comunik_pbx.web import languages
from comunik_pbx.web.languages import TRANSLATIONS, preferred
from tests.web.site import Site

WEB = Path(languages.__file__).parent
CATALOGUE = TRANSLATIONS / "fr.po"


def messages() -> set[str]:
    """Everything the pages say, in English."""
    found = extract_from_dir(
        WEB,
        [("**.py", "python"), ("**/templates/**.html", "jinja2")],
        {"**/templates/**.html": {"extensions": "jinja2.ext.i18n", "trimmed": "true"}},
        {"_": None, "gettext": None, "text": None, "N_": None},
    )
    return {message for _, _, message, _, _ in found if isinstance(message, str)}


def french() -> dict[str, str]:
    with CATALOGUE.open("rb") as lines:
        return {str(message.id): str(message.string) for message in read_po(lines) if message.id}


def test_nothing_is_missing_and_nothing_is_left_over() -> None:
    said, translated = messages(), french()
    assert len(said) > 150
    assert said - {one for one, other in translated.items() if other} == set()
    assert translated.keys() - said == set()


def test_translations_take_the_same_values() -> None:
    for english, other in french().items():
        assert sorted(re.findall(r"%\(\w+\)s", english)) == sorted(re.findall(r"%\(\w+\)s", other)), english


def test_french_typography() -> None:
    for other in french().values():
        assert not re.search(r"(?<![\u00a0\u202f/])[;!?»](?!\w)", other), other
        assert not re.search(r" [:;!?»]", other), other
        assert not re.search(r"(?<![\u00a0])(?<!\bhttps)(?<!\bhttp):(?!\d)(?!\s*//)", other), other
        assert "« " not in other, other
        assert "'" not in other, other
        assert "..." not in other, other


@pytest.mark.parametrize(
    ("accepts", "language"),
    [
        ("fr-FR,fr;q=0.9,en;q=0.8", "fr"),
        ("en-GB,en;q=0.9", "en"),
        ("de-DE,de;q=0.9,en;q=0.5,fr;q=0.6", "fr"),
        ("de", "fr"),
        ("", "fr"),
        ("en;q=0", "fr"),
        ("*;q=x, en;q=abc", "fr"),
    ],
)
def test_the_browsers_language(accepts: str, language: str) -> None:
    assert preferred(accepts, "fr") == language


async def test_ones_own_choice_goes_before_the_browsers(site: Site) -> None:
    alice = await site.signed_in("101", language="fr")
    page = await alice.get("/preferences", **{"accept-language": "en"})
    assert '<html lang="fr"' in page.text
    assert "Sauvegarder" in page.text
    stranger = site.visitor(language="en")
    assert '<html lang="en"' in (await stranger.get("/sign-in")).text


async def test_errors_too_are_in_ones_language_and_theme(site: Site) -> None:
    alice = await site.signed_in("101", language="fr")
    await alice.get("/preferences")
    await alice.post("/preferences", language="fr", theme="dark")
    for path, status in (("/nowhere", 404), ("/admin", 403), ("/forwarding/always", 405)):
        answer = await alice.get(path)
        assert (answer.status_code, '<html lang="fr" data-theme="dark">' in answer.text) == (status, True), path
        assert 'href="/keypad"' in answer.text, path


async def test_the_theme_comes_with_the_page(site: Site) -> None:
    alice = await site.signed_in("101")
    for theme in ("dark", "light", "system"):
        await alice.get("/preferences")
        await alice.post("/preferences", language="en", theme=theme)
        assert f'data-theme="{theme}"' in (await alice.get("/forwarding")).text
    await alice.post("/preferences", language="tlh", theme="pink")  # changes nothing
    assert '<html lang="en" data-theme="system"' in (await alice.get("/forwarding")).text


# Foreground on background, as the sheet uses them; WCAG 2.2: 4.5 for text, 3 for edges of fields.
PAIRS = [
    *((text, ground, 4.5) for text in ("text", "quiet", "accent") for ground in ("ground", "surface")),
    ("on-accent", "accent", 4.5),
    ("on-accent", "accent-strong", 4.5),
    ("on-tint", "tint", 4.5),
    ("good", "good-tint", 4.5),
    ("bad", "bad-tint", 4.5),
    ("bad", "surface", 4.5),
    ("surface", "bad", 4.5),
    ("edge", "surface", 3),
    ("edge", "ground", 3),
]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast(theme: str) -> None:
    sheet = (WEB / "static" / "style.css").read_text()
    which = ":root" if theme == "light" else '[data-theme="dark"]'
    block = sheet.partition(which + " {")[2].partition("}")[0]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    for front, back, least in PAIRS:
        assert contrast(colours[front], colours[back]) >= least, (front, back)


def test_dark_as_the_system_is_the_same_as_dark() -> None:
    sheet = (WEB / "static" / "style.css").read_text()
    dark, system = (
        re.findall(r"--[\w-]+: #[0-9a-f]{6}", part)
        for part in re.findall(r'\[data-theme="(?:dark|system)"\] \{(.*?)\}', sheet, re.DOTALL)
    )
    assert dark == system


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
