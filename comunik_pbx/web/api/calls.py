"""One's calls: what became of them; begin one, see how it goes, end it."""

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from comunik_pbx.forwarding.refusals import Refusal
from comunik_pbx.web import recent
from comunik_pbx.web.api.caller import Caller, allowed
from comunik_pbx.web.api.problems import Problem, refused
from comunik_pbx.web.api.shapes import Outcome, Reason, Step
from comunik_pbx.web.keypad import STATES, as_dialled
from comunik_pbx.web.needs import CallLine, PhoneMissing, Unavailable

router = APIRouter(tags=["calls"])


class CallOut(BaseModel):
    """A call's record. `became` is now, answered, forwarded, voicemail or missed; plan and trace as `explain` has."""

    id: str
    started_at: datetime
    ended_at: datetime | None
    caller: str
    called: str
    extension: str | None
    origin: str
    became: str
    decided: str
    cause: int | None
    plan: list[Step]
    trace: list[Reason]
    outcome: list[Outcome]


class Dial(BaseModel):
    """Whom to call."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"to": "102"}]})

    to: Annotated[str, Field(min_length=1, max_length=40, description="An extension or a number.")]


@router.get("/calls")
async def calls(limit: Annotated[int, Query(ge=1, le=500)] = 50, who: Caller = allowed("calls:read")) -> list[CallOut]:
    """The calls to one's extension, the newest first."""
    return [call_out(call) for call in await who.needs.calls.calls(limit, who.extension.number)]


class Dialled(BaseModel):
    """What was dialled, as a phone would."""

    dialled: str


@router.post("/calls", status_code=202)
async def call(wanted: Dial, who: Caller = allowed("calls:dial")) -> Dialled:
    """Ring one's own phone, then call the number. What one dials is checked as a forwarding is."""
    text = who.text
    dialled = as_dialled(wanted.to, who.extension, who.needs.rules.directory())
    if isinstance(dialled, Refusal):
        raise refused(dialled, who.language)
    if who.needs.phone is None:
        raise _no_phone(who)
    try:
        await who.needs.phone.call(who.extension, dialled)
    except PhoneMissing:
        raise Problem(422, text("Refused"), text("None of your phones is connected.")) from None
    return Dialled(dialled=dialled)


@router.delete("/calls/dialled", status_code=204)
async def hang_up(who: Caller = allowed("calls:dial")) -> None:
    """End the call that one began here."""
    if who.needs.phone is None or not await who.needs.phone.hang_up(who.extension.number):
        raise Problem(404, who.text("There is no such call"))


@router.get(
    "/calls/dialled/progress",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def progress(who: Caller = allowed("calls:dial")) -> StreamingResponse:
    """How the call goes that one began here, as it happens: server-sent events `state`, their data JSON.

    `state` is phone (one's own rings), dialling, talking, then ended or unanswered; `words` says it.
    """
    if who.needs.phone is None:
        raise _no_phone(who)
    states = who.needs.phone.progress(who.extension.number)

    async def events() -> AsyncGenerator[bytes, None]:
        try:
            async for state in states:
                yield _event(state, who)
        except Unavailable:
            yield _event("ended", who)

    return StreamingResponse(events(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})


def call_out(call: CallLine) -> CallOut:
    """A record as the API gives it."""
    return CallOut(
        id=call.id,
        started_at=call.started_at,
        ended_at=call.ended_at,
        caller=call.caller,
        called=call.called,
        extension=call.extension,
        origin=call.origin,
        became=recent.became(call),
        decided=call.decided,
        cause=call.cause,
        plan=call.plan,
        trace=call.trace,
        outcome=call.outcome,
    )


def _event(state: str, who: Caller) -> bytes:
    told = msgspec.json.encode({"state": state, "words": who.text(STATES[state])})
    return b"event: state\ndata: " + told + b"\n\n"


def _no_phone(who: Caller) -> Problem:
    text = who.text
    return Problem(503, text("Not available"), text("Calls cannot be begun from here: dial on your phone."))
