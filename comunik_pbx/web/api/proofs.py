"""Outside numbers proven before use: which are, have one called, type the code that was heard there."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from comunik_pbx.web.api.caller import Caller, allowed
from comunik_pbx.web.api.problems import Problem, refused
from comunik_pbx.web.needs import NumberProofs

router = APIRouter(tags=["numbers"])

Number = Annotated[str, Path(pattern=r"^\+?[0-9]{2,20}$", description="Such as +33612345678 or 0612345678.")]


class Proven(BaseModel):
    """An outside number (E.164) that one has proven, or that an administrator vouches for."""

    number: str
    proven_at: datetime
    proven_by: str


class Proof(BaseModel):
    """A proof in progress. `state`: calling, ringing, asked (answered: press 1?), said, unanswered, unheard, failed."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"number": "+33612345678", "state": "calling"}]})

    number: str
    state: str


class Code(BaseModel):
    """The code that was heard."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"code": "40718"}]})

    code: Annotated[str, Field(pattern="^[0-9]{4,10}$")]


@router.get("/numbers")
async def proven(who: Caller = allowed("rules:read")) -> list[Proven]:
    """One's proven outside numbers."""
    return await _proven(who)


@router.post("/numbers/{number}/proof", status_code=202)
async def call(number: Number, who: Caller = allowed("rules:write")) -> Proof:
    """Have the number called; who answers and presses 1 hears a code. At most three calls an hour."""
    if refusal := _proofs(who).call(who.extension, number, by=who.by):
        raise refused(refusal, who.language)
    return _state(number, who)


@router.get("/numbers/{number}/proof")
async def progress(number: Number, who: Caller = allowed("rules:read")) -> Proof:
    """How that call goes."""
    return _state(number, who)


@router.post("/numbers/{number}/proof/code")
async def confirm(number: Number, sent: Code, who: Caller = allowed("rules:write")) -> Proven:
    """Type the code: rules may lead to the number when this answers. Three tries, within ten minutes."""
    e164 = _e164(number, who)
    if refusal := await _proofs(who).confirm(who.extension.number, e164, sent.code, by=who.by):
        raise refused(refusal, who.language)
    for one in await _proven(who):
        if one.number == e164:
            return one
    raise Problem(404, who.text("There is no such number"))  # an administrator was quicker


async def _proven(who: Caller) -> list[Proven]:
    found = await _proofs(who).proven(who.extension.number)
    return [Proven(number=one.number, proven_at=one.proven_at, proven_by=one.proven_by) for one in found]


def _state(number: str, who: Caller) -> Proof:
    e164 = _e164(number, who)
    state = _proofs(who).progress(who.extension.number, e164)
    if state is None:
        raise Problem(404, who.text("No code of %(number)s is awaited.") % {"number": e164 or number})
    return Proof(number=e164, state=state)


def _e164(number: str, who: Caller) -> str:
    return who.needs.rules.directory().numbers.e164(number) or ""


def _proofs(who: Caller) -> NumberProofs:
    if who.needs.proofs is None:
        raise Problem(503, who.text("Not available"))
    return who.needs.proofs
