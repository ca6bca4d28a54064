"""Codes said at outside numbers and typed by those who claim them. Time is an argument; nothing waits here.

    begin → a code → calling → ringing → asked (answered: press 1?) → said → typed right: proven
                        └──────────┴ unanswered  └ unheard             └ wrong three times, or ten minutes later: void

All in memory: a restart of the service forgets codes, and how often was called.
"""

import hmac
import secrets
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from comunik_pbx.forwarding.refusals import Refusal, RefusalCode

CODE_DIGITS = 5
CODE_SECONDS = 600.0
MOST_TRIES = 3
MOST_CALLS = 3
"""Within an hour, for an extension whatever the number, and to a number whoever asks."""

WINDOW_SECONDS = 3600.0


class Progress(StrEnum):
    """How far a proof has come; `answered` calls are asked to press 1 first."""

    CALLING = "calling"
    RINGING = "ringing"
    ASKED = "asked"
    SAID = "said"
    UNANSWERED = "unanswered"
    UNHEARD = "unheard"
    FAILED = "failed"


@dataclass
class _Proof:
    code: str = field(repr=False)
    until: float
    progress: Progress = Progress.CALLING
    calling: bool = True
    was_said: bool = False
    tries_left: int = MOST_TRIES


class Proofs:
    """Proofs in progress, by extension and number (E.164). `now` is in seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._proofs: dict[tuple[str, str], _Proof] = {}
        self._calls: dict[str, deque[float]] = {}

    def begin(self, extension: str, number: str, now: float) -> str | Refusal:
        """A code for a call that may be made now, or why none may. An earlier code of both is void."""
        self._forget(now)
        if any(one.calling for (whose, where), one in self._proofs.items() if extension == whose or number == where):
            return Refusal(RefusalCode.PROOF_PENDING, number)
        if any(len(self._calls.get(key, ())) >= MOST_CALLS for key in (extension, number)):
            return Refusal(RefusalCode.PROOF_CALLS, number)
        for key in (extension, number):  # an extension is digits, a number begins with +
            self._calls.setdefault(key, deque()).append(now)
        code = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"
        self._proofs[extension, number] = _Proof(code, now + CODE_SECONDS)
        return code

    def reached(self, extension: str, number: str, progress: Progress) -> None:
        """The call has come so far."""
        if (proof := self._proofs.get((extension, number))) is not None:
            proof.progress = progress
            proof.was_said = proof.was_said or progress is Progress.SAID

    def ended(self, extension: str, number: str) -> None:
        """The call has ended; another may be made."""
        if (proof := self._proofs.get((extension, number))) is not None:
            proof.calling = False

    def progress(self, extension: str, number: str, now: float) -> Progress | None:
        """How far it has come; None if no code is awaited any more."""
        self._forget(now)
        proof = self._proofs.get((extension, number))
        return proof.progress if proof is not None and proof.tries_left else None

    def typed(self, extension: str, number: str, code: str, now: float) -> Refusal | None:
        """Somebody typed a code: None if it is right, else why it is not."""
        self._forget(now)
        proof = self._proofs.get((extension, number))
        if proof is None or not proof.was_said or proof.tries_left == 0:
            return Refusal(RefusalCode.NO_CODE, number)
        if hmac.compare_digest(proof.code.encode(), code.encode()):
            return None
        proof.tries_left -= 1
        return Refusal(RefusalCode.WRONG_CODE, number)

    def used(self, extension: str, number: str) -> None:
        """The right code has done its work, and is void; a call that still reads it out goes on."""
        if (proof := self._proofs.get((extension, number))) is not None:
            proof.tries_left = 0

    def _forget(self, now: float) -> None:
        for key in [key for key, one in self._proofs.items() if not one.calling and one.until <= now]:
            del self._proofs[key]
        for proof in self._proofs.values():
            if proof.until <= now:
                proof.tries_left = 0
        for whose, calls in list(self._calls.items()):
            while calls and calls[0] <= now - WINDOW_SECONDS:
                calls.popleft()
            if not calls:
                del self._calls[whose]
