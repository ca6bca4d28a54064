"""One's calls: what became of them; begin one, see how it goes, end it."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from comunik_pbx.forwarding.refusals import Refusal
from comunik_pbx.web import recent
from comunik_pbx.web.api.caller import Caller, allowed
from comunik_pbx.web.api.problems import Problem, refused
from comunik_pbx.web.keypad import as_dialled
from comunik_pbx.web.needs import CallLine, PhoneMissing

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
    plan: list[dict[str, Any]]
    trace: list[dict[str, Any]]
    outcome: list[dict[str, Any]]


class Dial(BaseModel):
    """Whom to call."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"to": "102"}]})

    to: Annotated[str, Field(min_length=1, max_length=40, description="An extension or a number.")]


@router.get("/calls")
async def calls(limit: Annotated[int, Query(ge=1, le=500)] = 50, who: Caller = allowed("calls:read")) -> list[CallOut]:
    """The calls to one's extension, the newest first."""
    return [call_out(call) for call in await who.needs.calls.calls(limit, who.extension.number)]


@router.post("/calls", status_code=202)
async def call(wanted: Dial, who: Caller = allowed("calls:dial")) -> dict[str, str]:
    """Ring one's own phone, then call the number. What one dials is checked as a forwarding is."""
    text = who.text
    dialled = as_dialled(wanted.to, who.extension, who.needs.rules.directory())
    if isinstance(dialled, Refusal):
        raise refused(dialled, who.language)
    if who.needs.phone is None:
        raise Problem(503, text("Not available"), text("Calls cannot be begun from here: dial on your phone."))
    try:
        await who.needs.phone.call(who.extension, dialled)
    except PhoneMissing:
        raise Problem(422, text("Refused"), text("None of your phones is connected.")) from None
    return {"dialled": dialled}


@router.delete("/calls/dialled", status_code=204)
async def hang_up(who: Caller = allowed("calls:dial")) -> None:
    """End the call that one began here."""
    if who.needs.phone is None or not await who.needs.phone.hang_up(who.extension.number):
        raise Problem(404, who.text("There is no such call"))


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
