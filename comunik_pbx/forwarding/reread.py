"""Recorded reasons in another language.

Records keep a decision's reasons as English sentences, as they were. Who reads them in French gets the same sentence,
found again by the very templates it was made from; what no template made (an older version's) stays as it is.
"""

import re
from collections.abc import Callable, Iterable
from functools import cache
from string import Formatter
from typing import Any

from comunik_pbx.forwarding.explain import _ORIGIN, _WHY
from comunik_pbx.forwarding.refusals import _WORDS, RefusalCode

_Match = tuple[re.Pattern[str], str]

_ORIGINS = dict(_ORIGIN.values())
_RULES = {
    "always": ("always", "permanent"),
    "internal": ("inside", "interne"),
    "external": ("outside", "externe"),
    "phone": ("of the phone", "du téléphone"),
}
_LINE = ("rule {rule} not followed: {why}", "renvoi {rule} non suivi : {why}")
_WRITTEN = {"seconds": "[0-9.]+", "rings": "[0-9]+", "origin": "inside|outside"}


def reason(line: dict[str, Any], language: str = "en") -> str:
    """A line of a recorded trace (`explain.trace_json`) as a sentence in the user's language."""
    french, why = language.startswith("fr"), str(line.get("why", ""))
    if line.get("followed", True):
        return _in_french(why, _sentences()) if french else why
    rule = str(line.get("rule", ""))
    code = why.removeprefix("refused: ")
    if code in _BARE:
        code = _BARE[code][french]
    elif french:
        code = _in_french(code, _refusals())
    return _LINE[french].format(rule=_RULES.get(rule, (rule, rule))[french], why=code)


_BARE = {
    RefusalCode.OFF.value: _WORDS[RefusalCode.OFF],
    RefusalCode.EXPIRED.value: _WORDS[RefusalCode.EXPIRED],
    RefusalCode.LOOP.value: ("it is already in the chain of forwards", "il est déjà dans la chaîne de renvois"),
    RefusalCode.SELF.value: ("it would forward to itself", "il se renverrait à lui-même"),
    RefusalCode.CALLER.value: ("that is the caller", "c’est l’appelant"),
    RefusalCode.MAX_HOPS.value: ("the call has been forwarded too often", "l’appel a été renvoyé trop de fois"),
}
"""Codes that are recorded without what they are about."""


@cache
def _sentences() -> list[_Match]:
    return _matches(_WHY.values(), lambda name: f"(?P<{name}>{_WRITTEN.get(name, '.+?')})")


@cache
def _refusals() -> list[_Match]:
    return _matches(_WORDS.values(), lambda _: "(.+?)")


def _matches(pairs: Iterable[tuple[str, str]], group: Callable[[str], str]) -> list[_Match]:
    """For each English template what finds its sentences again, and the French template."""
    return [(re.compile("".join(_parts(english, group))), french) for english, french in pairs]


def _parts(template: str, group: Callable[[str], str]) -> Iterable[str]:
    seen: set[str] = set()
    for literal, name, _, _ in Formatter().parse(template):
        yield re.escape(literal)
        if name is not None:
            yield f"(?P={name})" if name and name in seen else group(name)
            seen.add(name)


def _in_french(sentence: str, known: list[_Match]) -> str:
    for pattern, french in known:
        if found := pattern.fullmatch(sentence):
            values: dict[str, Any] = found.groupdict()
            if "seconds" in values:
                values["seconds"] = float(values["seconds"])
            if values.get("to") == "voicemail":
                values["to"] = "la messagerie"
            if "origin" in values:
                values["origin"] = _ORIGINS[values["origin"]]
            return french.format(*found.groups(), **values)
    return sentence
