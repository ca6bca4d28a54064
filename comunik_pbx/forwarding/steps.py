"""The steps of a plan: what the PBX is to do with a call, as pure data.

`comunik_pbx.forwarding.plan` decides them, `comunik_pbx.asterisk.plan_encoding` writes them for the dialplan.
"""

from enum import StrEnum

import msgspec

from comunik_pbx.forwarding.directory import CallerIdPolicy

ANONYMOUS = "anonymous"
"""What a forwarded leg shows when there is no number that outsiders may see."""


class Reason(StrEnum):
    """Why a leg was diverted, as in the Diversion header (RFC 5806 section 4)."""

    UNCONDITIONAL = "unconditional"
    NO_ANSWER = "no-answer"
    USER_BUSY = "user-busy"
    UNAVAILABLE = "unavailable"


class Greeting(StrEnum):
    """Which of the mailbox's greetings is played; at execution, `busy` replaces it if the owner was busy."""

    UNAVAILABLE = "unavailable"
    BUSY = "busy"


class OnBusy(StrEnum):
    """What follows a ring step that ended busy or declined."""

    NEXT = "next"  # the next step, at once
    END = "end"  # the caller hears busy


class Diversion(msgspec.Struct, frozen=True):
    """Who diverted a leg: set as REDIRECTING on the caller's channel, sent as Diversion (RFC 5806).

    `extension` is the diverting extension, `number` what the far end of this leg may see of it (a DID towards
    trunks, the extension inside), `count` how many diversions there have been with this one.
    """

    extension: str
    number: str
    reason: Reason
    count: int = 1


class Confirm(msgspec.Struct, frozen=True):
    """Who answers is asked to press 1, in `language`, for the call from `caller` (digits to say; None: unknown)."""

    language: str
    caller: str | None = None


class Ring(msgspec.Struct, frozen=True, tag="ring"):
    """Ring an extension's endpoints, all their contacts at once, for `rings` rings of `seconds` in all.

    The seconds count from the moment the first of them really rings. If none rings nor shows any other sign of life
    within `start_seconds`, the extension cannot be reached.
    """

    extension: str
    endpoints: tuple[str, ...]
    rings: int
    seconds: float
    on_busy: OnBusy = OnBusy.NEXT
    diversion: Diversion | None = None
    start_seconds: float = 10.0


class Forward(msgspec.Struct, frozen=True, tag="forward"):
    """Call the outside number `to` (E.164) by a trunk, for at most `seconds`.

    `dial` is the dial string with the number as the trunk wants it. A step with `fallback` true calls the same
    number by the next trunk, and is carried out only if the trunk before it failed (not if the number was busy
    or did not answer). `progress_seconds` bounds the wait for a first sign of life.

    `shown` is the number this leg shows, as the trunk wants it: None for the caller's own as it came, `ANONYMOUS`
    if there is none that outsiders may see. Under the policy `original` a carrier's refusal of it is followed by
    one more try with `diversion.number`. `earlier` are the diversions before `diversion`, newest first.
    """

    to: str
    trunk: str
    dial: str
    seconds: float
    progress_seconds: float
    diversion: Diversion
    fallback: bool = False
    caller_id: CallerIdPolicy = CallerIdPolicy.ORIGINAL
    shown: str | None = None
    confirm: Confirm | None = None
    earlier: tuple[Diversion, ...] = ()
    history: str | None = None  # the number called as the trunk wants it, if it wants History-Info (RFC 7044)


class Voicemail(msgspec.Struct, frozen=True, tag="voicemail"):
    """Record a message in `mailbox` (`box@context`) of `extension`."""

    extension: str
    mailbox: str
    greeting: Greeting = Greeting.UNAVAILABLE


class End(msgspec.Struct, frozen=True, tag="end"):
    """End the call. `cause` (Q.850) is what the caller gets unless a leg that failed gave a better one."""

    cause: int


Step = Ring | Forward | Voicemail | End
