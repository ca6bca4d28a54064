"""The twelve keys: dial, see how the call goes, hang up; and the calls one had."""

import re
from collections.abc import AsyncGenerator, Sequence

import structlog
from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.datastructures import FormData

from comunik_pbx.forwarding.directory import Directory, Extension
from comunik_pbx.forwarding.numbers import NumberFormat
from comunik_pbx.forwarding.refusals import Refusal, RefusalCode
from comunik_pbx.web import recent
from comunik_pbx.web.languages import N_, Gettext
from comunik_pbx.web.needs import CallLine, PhoneMissing, Unavailable
from comunik_pbx.web.pages import Member, form, go, member, word
from comunik_pbx.web.showing import with_numbers

log = structlog.get_logger(__name__)

router = APIRouter()

KEYS = (
    ("1", ""),
    ("2", "ABC"),
    ("3", "DEF"),
    ("4", "GHI"),
    ("5", "JKL"),
    ("6", "MNO"),
    ("7", "PQRS"),
    ("8", "TUV"),
    ("9", "WXYZ"),
    ("*", ""),
    ("0", "+"),
    ("#", ""),
)

STATES = {
    "phone": N_("Your phone rings: pick it up."),
    "dialling": N_("Calling …"),
    "talking": N_("Connected."),
    "ended": N_("The call has ended."),
    "unanswered": N_("Your phone was not picked up."),
}
RECENT = 20


@router.get("/keypad")
async def show(number: str = "", who: Member = Depends(member)) -> Response:
    """The page."""
    return await _page(who, number=number[:40])


@router.post("/keypad/call")
async def call(who: Member = Depends(member), sent: FormData = Depends(form)) -> Response:
    """Ring one's own phone, then the number."""
    written = word(sent, "number", 40)
    wrong = await begin(written, who.extension, who)
    if wrong:
        return await _page(who, 422, number=written, wrong=wrong)
    return go("/keypad?calling=1")


@router.post("/keypad/hang-up")
async def hang_up(who: Member = Depends(member), sent: FormData = Depends(form)) -> Response:
    """End the call."""
    if who.needs.phone is not None:
        await who.needs.phone.hang_up(who.extension.number)
    if "application/json" in who.request.headers.get("accept", ""):
        return JSONResponse({})
    return go("/keypad")


@router.get("/keypad/progress")
async def progress(who: Member = Depends(member)) -> Response:
    """How the call goes, as server-sent events: `state` with its words."""
    return StreamingResponse(_events(who), media_type="text/event-stream", headers={"x-accel-buffering": "no"})


async def begin(written: str, extension: Extension, who: Member) -> str:
    """Begin a call; why not, as a sentence, or empty."""
    if who.needs.phone is None:
        return who.text("Calls cannot be begun from here: dial on your phone.")
    dialled = as_dialled(written, extension, who.needs.rules.directory())
    if isinstance(dialled, Refusal):
        if dialled.code is RefusalCode.SELF:
            return who.text("This is your own extension.")
        why = with_numbers(dialled.words(who.language), who.needs.rules.directory().numbers.country)
        return why[0].upper() + why[1:] + "."
    try:
        await who.needs.phone.call(extension, dialled)
    except PhoneMissing:
        return who.text("None of your phones is connected.")
    except Unavailable as error:
        log.error("a call from the keypad could not be begun", why=str(error))
        return who.text("The telephone system does not answer. Please try again.")
    return ""


def as_dialled(written: str, extension: Extension, directory: Directory) -> str | Refusal:
    """What a phone would dial, or why it may not be dialled from here."""
    compact = re.sub(r"[\s().\-/\u00a0\u202f]", "", written)
    if compact == extension.number:
        return Refusal(RefusalCode.SELF, compact)
    found = directory.called(compact)
    if found is not None:
        return Refusal(RefusalCode.SELF, found.number) if found.number == extension.number else found.number
    if refusal := directory.numbers.refusal(written):
        return refusal
    if not extension.outside:
        return Refusal(RefusalCode.OUTSIDE, extension.number)
    return directory.numbers.formatted(directory.numbers.e164(written) or "", NumberFormat.NATIONAL)


async def _events(who: Member) -> AsyncGenerator[str, None]:
    yield "retry: 60000\n\n"
    if who.needs.phone is None:
        return
    try:
        async for state in who.needs.phone.progress(who.extension.number):
            yield f"event: state\ndata: {state}|{who.text(STATES[state])}\n\n"
    except Unavailable:
        yield f"event: state\ndata: ended|{who.text(STATES['ended'])}\n\n"


async def _page(who: Member, status: int = 200, number: str = "", wrong: str = "") -> Response:
    directory = who.needs.rules.directory()
    calls = await who.needs.calls.calls(RECENT, who.extension.number)
    return who.show(
        "keypad.html",
        status,
        keys=KEYS,
        typed=number,
        wrong=wrong,
        works=who.needs.phone is not None,
        calling=who.request.query_params.get("calling") == "1",
        calls=lines(calls, directory, who.text, who),
    )


def lines(calls: Sequence[CallLine], directory: Directory, text: Gettext, who: Member) -> list[dict[str, str]]:
    """Calls as the page lists them."""
    called = recent.words(text)
    return [
        {
            "who": recent.person(call.caller, directory, text),
            "dial": "" if call.caller == "anonymous" else call.caller,
            "when": who.date(call.started_at),
            "became": recent.became(call),
            "words": called[recent.became(call)],
            "went": recent.went(call, directory, text) if recent.became(call) in ("forwarded", "voicemail") else "",
        }
        for call in calls
    ]
