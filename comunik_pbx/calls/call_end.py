"""How a call ended, from what the dialplan's hangup handler tells (dialplan/record.conf).

It tells what came of the steps that are over (`Steps`), and of the one that went on what Asterisk knew (`Now`):
`index~dial~began~DIALSTATUS~RINGTIME_MS~ANSWEREDTIME_MS~DIALEDPEERNAME~confirmation`, or `index~voicemail~began~…`,
with nothing after the index between two steps; the index of the first step may be left out. Moments are in ms since
1970, times in ms.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum

import msgspec
import structlog

log = structlog.get_logger(__name__)

NORMAL_CLEARING = 16
"""Q.850 cause: who called, or who was called, ended the call."""


class Decided(StrEnum):
    """Who decided: the service, the plan last published in AstDB, or the dialplan's default."""

    LIVE = "live"
    PUBLISHED = "published"
    DEFAULT = "default"


class StepOutcome(msgspec.Struct, frozen=True):
    """What came of a step. `index` counts the plan's steps from 1; `status` is DIALSTATUS, VOICEMAIL, END or SKIPPED.

    `cause` is the Q.850 hangup cause of the leg (0: none); `answered_by` the name of the channel that answered.
    """

    index: int
    status: str
    cause: int = 0
    ring_ms: int = 0
    answered_by: str | None = None
    answered_ms: int = 0


class CallEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a call. `channel` is UNIQUEID, `passes` how often it has come (2 after a transfer).

    `plan` is the one carried out, `cause` Q.850. `number` and `presentation` are the caller's as Asterisk has
    them; `endpoint` is the caller's PJSIP endpoint or empty. `decided` is None if the caller hung up before anything
    was decided. `ended_at` is aware, UTC; None if the dialplan does not say.
    """

    channel: str
    passes: int
    called: str
    endpoint: str
    number: str
    presentation: str
    decided: Decided | None
    plan: str
    outcomes: tuple[StepOutcome, ...]
    status: str
    cause: int | None
    ended_at: datetime | None = None


def call_end(headers: Mapping[str, str]) -> CallEnd:
    """Read the event's headers (lower-case names). Raises ValueError if they do not say which call ended.

    Anything else that cannot be read is left out and logged: half a record is better than none.
    """
    call = headers.get("call")
    if not call:
        raise ValueError("no header Call")
    ended = _number(headers.get("ended", "")[:15])
    outcomes = _outcomes(call, headers.get("steps", ""))
    status, cause = headers.get("status", ""), _number(headers.get("cause", ""))
    if "now" in headers:  # else the dialplan is an older one, which has worked it out
        how, last = _last(headers["now"].split("~"), ended or 0)
        outcomes += last
        status, cause = (status, cause) if status == "ended" else (how, NORMAL_CLEARING)
    plan = headers.get("plan", "")
    return CallEnd(
        channel=call,
        passes=_number(headers.get("pass", "")) or 1,
        called=headers.get("called", ""),
        endpoint=headers.get("endpoint", ""),
        number=headers.get("callernum", ""),
        presentation=headers.get("callerpres", ""),
        decided=_DECIDED.get(headers.get("decided") or (Decided.LIVE if plan else "")),
        plan=plan,
        outcomes=outcomes,
        status=status or "ended",
        cause=cause,
        ended_at=datetime.fromtimestamp(ended / 1000, UTC) if ended else None,
    )


def _last(now: list[str], ended: int) -> tuple[str, tuple[StepOutcome, ...]]:
    """How the call ended in the step that went on, and what came of it.

    HANGUPCAUSE is no help: it is 127 when the caller gives up, and in a mailbox what the leg before it was refused
    with. Both are a normal clearing by the caller.
    """
    index, doing, began, status, rang, answered, peer, confirm = (*now, *[""] * 8)[:8]
    step, lasted = _number(index) or 1, max(0, ended - (_number(began) or ended))
    if doing == "voicemail":
        return "voicemail", (StepOutcome(step, "VOICEMAIL", NORMAL_CLEARING, answered_ms=lasted),)
    if doing != "dial":
        return "abandoned", ()
    since_ring = max(0, lasted - (_number(rang) or 0))
    # Whoever has answered may not have pressed 1 yet: then the caller gave up while he heard ringing.
    if status != "ANSWER" or (confirm[1:] and not answered):
        return "abandoned", (StepOutcome(step, "CANCEL", NORMAL_CLEARING, since_ring if rang else 0),)
    # ANSWEREDTIME counts from when the caller was first connected, which a transferred caller was before this Dial().
    talk = min(_number(answered) or 0, since_ring)
    return "answered", (
        StepOutcome(step, "ANSWER", NORMAL_CLEARING, since_ring - talk if rang else 0, peer or None, talk),
    )


_DECIDED = {decided.value: decided for decided in Decided}


def _outcomes(call: str, steps: str) -> tuple[StepOutcome, ...]:
    read = []
    for step in filter(None, steps.split("|")):
        try:
            index, status, cause, ring_ms, peer, answered_ms = step.split("~")
            read.append(
                StepOutcome(int(index), status, int(cause or 0), int(ring_ms or 0), peer or None, int(answered_ms or 0))
            )
        except ValueError:
            log.warning("what came of a step cannot be read", call=call, step=step)
    return tuple(read)


def _number(digits: str) -> int | None:
    return int(digits) if digits.isascii() and digits.isdigit() and int(digits) else None
