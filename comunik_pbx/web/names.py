"""People found by what others type: a number, a part of a name, with or without its accents."""

import unicodedata

from comunik_pbx.forwarding.call import Caller
from comunik_pbx.forwarding.directory import Directory, Extension

ANONYMOUS = frozenset({"anonymous", "anonyme", "withheld", "masque"})
"""What people write for a caller who shows no number, without accents."""


def plain(text: str) -> str:
    """Text as one searches in it: small letters, no accents, plain spaces."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).strip()


def people(written: str, directory: Directory) -> list[Extension]:
    """Whom that may be: `102 Bruno Petit` as lists offer him, `102`, `bruno`. The same name in full goes first."""
    if (found := directory.extensions.get(written.strip().partition(" ")[0])) is not None:
        return [found]
    wanted = plain(written)
    like = [one for one in directory.extensions.values() if wanted and wanted in plain(one.name)]
    return [one for one in like if plain(one.name) == wanted] or like


def listed(found: list[Extension]) -> str:
    """Some people, at most five: `102 Bruno Petit, 105 Emma Petit`."""
    names = [f"{one.number} {one.name}".strip() for one in found]
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def caller_of(written: str, directory: Directory) -> Caller | None:
    """Who calls, as people write it: an extension, a name that only one has, a number, `anonymous`. None: nobody."""
    if plain(written) in ANONYMOUS:
        return Caller(withheld=True)
    found = directory.called(written.strip()) or directory.called(written.strip().partition(" ")[0])
    if found is not None:
        return Caller(extension=found.number)
    if number := directory.numbers.e164(written):
        return Caller(number=number)
    called = people(written, directory)
    return Caller(extension=called[0].number) if len(called) == 1 else None
