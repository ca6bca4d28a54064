"""How numbers, destinations, rings and plans are written for people."""

import re
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneNumberFormat

from comunik_pbx.forwarding.directory import Directory
from comunik_pbx.forwarding.rules import Destination, Rule, RuleKind, ToExtension, ToNumber
from comunik_pbx.forwarding.steps import Forward, Ring, Step, Voicemail
from comunik_pbx.web.languages import Gettext

NBSP = "\u00a0"


@lru_cache(maxsize=4096)
def shown_number(number: str, country: str) -> str:
    """A number in its country's writing: `06 12 34 56 78` at home, `+44 20 …` abroad; anything else as it is."""
    if not number.startswith("+"):
        return number
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return number
    at_home = parsed.country_code == phonenumbers.country_code_for_region(country)
    style = PhoneNumberFormat.NATIONAL if at_home else PhoneNumberFormat.INTERNATIONAL
    return phonenumbers.format_number(parsed, style).replace(" ", NBSP)


def with_numbers(sentence: str, country: str) -> str:
    """A sentence whose numbers in E.164 are written as people read them, and whose seconds stay with their unit."""
    sentence = re.sub("(?<=[0-9]) s(?=[).])", NBSP + "s", sentence)
    return re.sub(r"\+[0-9]{6,15}(?![0-9*])", lambda found: shown_number(found[0], country), sentence)


def seconds_of(rings: int, directory: Directory) -> str:
    """`15` or `7.5`: how long so many rings last."""
    return f"{rings * directory.cycle_seconds:g}"


def destination(to: Destination, directory: Directory, text: Gettext) -> str:
    """Where a rule leads, in words."""
    match to:
        case ToExtension(number=number):
            found = directory.extensions.get(number)
            return f"{number} ({found.name})" if found is not None and found.name else number
        case ToNumber(number=number):
            return shown_number(number, directory.numbers.country)
    return text("your voicemail")


def in_force(rule: Rule, directory: Directory, text: Gettext, until: str = "") -> str:
    """What a rule does now, as a sentence; `until` is its end as people read it."""
    sentence = _does(rule, directory, text)
    if not until:
        return sentence
    return text("%(sentence)s, until %(date)s.") % {"sentence": sentence.removesuffix("."), "date": until}


def _does(rule: Rule, directory: Directory, text: Gettext) -> str:
    to = destination(rule.to, directory, text)
    if rule.kind is RuleKind.ALWAYS:
        return text("All your calls go to %(to)s without ringing here.") % {"to": to}
    inside = rule.kind is RuleKind.INTERNAL
    if rule.rings == 0:
        sentence = (
            text("Calls from inside go to %(to)s at once.")
            if inside
            else text("Calls from outside go to %(to)s at once.")
        )
        return sentence % {"to": to}
    sentence = (
        text("Calls from inside go to %(to)s after %(rings)s (about %(seconds)s s).")
        if inside
        else text("Calls from outside go to %(to)s after %(rings)s (about %(seconds)s s).")
    )
    return sentence % {"to": to, "rings": rings(rule.rings, text), "seconds": seconds_of(rule.rings, directory)}


def ring_choice(count: int, directory: Directory, text: Gettext) -> str:
    """`at once`, or `3 rings ≈ 15 s`."""
    if count == 0:
        return text("at once")
    return text("%(rings)s ≈ %(seconds)s s") % {"rings": rings(count, text), "seconds": seconds_of(count, directory)}


def rings(count: int, text: Gettext) -> str:
    """`1 ring`, `3 rings`."""
    return text("1 ring") if count == 1 else text("%(count)s rings") % {"count": count}


def step(one: Step, directory: Directory, text: Gettext) -> str:
    """One step of a plan, in words."""
    match one:
        case Ring():
            called = destination(ToExtension(one.extension), directory, text)
            long = {"to": called, "rings": rings(one.rings, text), "seconds": f"{one.seconds:g}"}
            return text("%(to)s rings: %(rings)s, about %(seconds)s s") % long
        case Forward():
            to = shown_number(one.to, directory.numbers.country)
            if one.fallback:
                return text("if that line fails: %(to)s by the line %(trunk)s") % {"to": to, "trunk": one.trunk}
            sentence = text("%(to)s is called by the line %(trunk)s, at most %(seconds)s s")
            return sentence % {"to": to, "trunk": one.trunk, "seconds": f"{one.seconds:g}"}
        case Voicemail():
            return text("the voicemail of %(extension)s") % {"extension": one.extension}
    return text("the call ends")
