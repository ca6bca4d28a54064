"""What people read, in their language. English is in the source; `translations/` holds the other catalogues.

Catalogues are gettext's (`fr.po`), read as they are: `pybabel extract -F` and `pybabel update` keep them, and a test
fails on a missing translation.
"""

import io
from collections.abc import Callable
from functools import cache
from gettext import GNUTranslations, NullTranslations
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LANGUAGES = ("en", "fr")
NAMES = {"en": "English", "fr": "Français"}

TRANSLATIONS = Path(__file__).parent / "translations"

Gettext = Callable[[str], str]


@cache
def translations(language: str) -> NullTranslations:
    """The catalogue of a language."""
    file = TRANSLATIONS / f"{language}.po"
    if not file.exists():
        return NullTranslations()
    with file.open("rb") as lines:
        catalogue = read_po(lines, locale=language)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return GNUTranslations(compiled)


def gettext(language: str) -> Gettext:
    """How to say something in a language."""
    return translations(language).gettext


def N_(message: str) -> str:
    """Mark a message that is translated later."""
    return message


def preferred(accept_language: str, default: str) -> str:
    """The best of our languages for an Accept-Language header (RFC 9110 section 12.5.4)."""
    wanted: list[tuple[float, int, str]] = []
    for place, part in enumerate(accept_language.split(",")[:20]):
        tag, _, parameters = part.strip().partition(";")
        quality = parameters.strip().removeprefix("q=") or "1"
        try:
            weight = float(quality)
        except ValueError:
            continue
        language = tag.strip().lower().partition("-")[0]
        if language in LANGUAGES and weight > 0:
            wanted.append((-weight, place, language))
    return min(wanted)[2] if wanted else default
