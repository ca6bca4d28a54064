"""How a call ended, as the dialplan's hangup handler tells it (dialplan/record.conf)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum

import msgspec
import structlog

log = structlog.get_logger(__name__)


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

    `plan` is the CK_PLAN carried out, `cause` Q.850. `number` and `presentation` are the caller's as Asterisk has
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
    return CallEnd(
        channel=call,
        passes=_number(headers.get("pass", "")) or 1,
        called=headers.get("called", ""),
        endpoint=headers.get("endpoint", ""),
        number=headers.get("callernum", ""),
        presentation=headers.get("callerpres", ""),
        decided=_DECIDED.get(headers.get("decided", "")),
        plan=headers.get("plan", ""),
        outcomes=_outcomes(call, headers.get("steps", "")),
        status=headers.get("status") or "ended",
        cause=_number(headers.get("cause", "")),
        ended_at=_moment(headers.get("ended", "")),
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


def _moment(milliseconds: str) -> datetime | None:
    number = _number(milliseconds[:15])
    return datetime.fromtimestamp(number / 1000, UTC) if number else None


def _number(digits: str) -> int | None:
    return int(digits) if digits.isascii() and digits.isdigit() and int(digits) else None
