"""Passwords: how strong they must be, and how they are kept (Argon2id, RFC 9106)."""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn import zxcvbn

from comunik_pbx.web.languages import N_, Gettext

T = TypeVar("T")

SHORTEST = 10
LONGEST = 200
ENOUGH = 3
"""zxcvbn's score from 0 to 4: 3 withstands 10^8 guesses and more."""

# zxcvbn tries every reading of 4, @, 1, |, … as letters: sixty such characters took it three seconds (2 cores, 2026).
_READ_AS_LETTERS = frozenset("!$%(+0123456789<@[{|")
_JUDGED, _JUDGED_IF_MANY, _MANY = 40, 16, 5

# OWASP's parameters for Argon2id: 46 MiB, one pass, one lane; some 30 ms.
_hasher = PasswordHasher(time_cost=1, memory_cost=47104, parallelism=1)
_NOBODYS = _hasher.hash("nobody has this password")

_WHY = {
    "Straight rows of keys are easy to guess.": N_("Straight rows of keys are easy to guess."),
    "Short keyboard patterns are easy to guess.": N_("Short keyboard patterns are easy to guess."),
    'Repeats like "aaa" are easy to guess.': N_("Repeated characters are easy to guess."),
    'Repeats like "abcabcabc" are only slightly harder to guess than "abc".': N_(
        "Repeated words are as easy to guess as the word alone."
    ),
    "This is a top-10 common password.": N_("This is one of the most common passwords."),
    "This is a top-100 common password.": N_("This is one of the most common passwords."),
    "This is a very common password.": N_("This is one of the most common passwords."),
    "This is similar to a commonly used password.": N_("This is much like one of the most common passwords."),
    "A word by itself is easy to guess.": N_("A word by itself is easy to guess."),
    "Names and surnames by themselves are easy to guess.": N_("Names by themselves are easy to guess."),
    "Common names and surnames are easy to guess.": N_("Names by themselves are easy to guess."),
    'Sequences like "abc" or "6543" are easy to guess.': N_("Sequences such as abc or 6543 are easy to guess."),
    "Sequences like abc or 6543 are easy to guess.": N_("Sequences such as abc or 6543 are easy to guess."),
    "Recent years are easy to guess.": N_("Years and dates are easy to guess."),
    "Dates are often easy to guess.": N_("Years and dates are easy to guess."),
}


def considerate() -> None:
    """Calls go first: this thread takes what they leave (setpriority(2) acts on a thread on Linux)."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


_worker = ThreadPoolExecutor(1, "passwords", initializer=considerate)


async def weakness(password: str, about: tuple[str, ...], text: Gettext) -> str:
    """Why a password will not do, empty if it will. `about` are words others would guess first."""
    if len(password) < SHORTEST:
        return text("A password has at least %(count)s characters.") % {"count": SHORTEST}
    if len(password) > LONGEST:
        return text("A password has at most %(count)s characters.") % {"count": LONGEST}
    most = _JUDGED_IF_MANY if len(_READ_AS_LETTERS.intersection(password)) > _MANY else _JUDGED
    judged = await _run(partial(zxcvbn, password[:most], user_inputs=[word for word in about if word]))
    if judged["score"] >= ENOUGH:
        return ""
    why = _WHY.get(judged["feedback"]["warning"], N_("This is easy to guess."))
    advice = text("A few words that have nothing to do with each other make a good one.")
    return f"{text(why)} {advice}"


async def hashed(password: str) -> str:
    """What is kept of a password."""
    return await _run(partial(_hasher.hash, password))


async def right(password: str, password_hash: str | None) -> bool:
    """Whether it is the password. Takes as long where there is none, so that nobody learns which accounts exist."""
    return await _run(partial(_right, password[:LONGEST], password_hash))


def outdated(password_hash: str) -> bool:
    """Whether it was hashed with other parameters than today's."""
    return _hasher.check_needs_rehash(password_hash)


def _right(password: str, password_hash: str | None) -> bool:
    try:
        _hasher.verify(password_hash or _NOBODYS, password)
    except (VerificationError, InvalidHashError):
        return False
    return password_hash is not None


async def _run(work: "partial[T]") -> T:
    return await asyncio.get_running_loop().run_in_executor(_worker, work)
