"""An outside number is proven: it is called, a code is heard there and typed here, and the rule is set.

the card says "unproven" → POST …/prove calls → GET …/prove: how the call goes, the code's field → POST …/code
"""

from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from starlette.datastructures import FormData

from comunik_pbx.forwarding.refusals import RefusalCode
from comunik_pbx.web.forwarding import by, kind_of, sentence, set_rule
from comunik_pbx.web.languages import N_
from comunik_pbx.web.needs import NumberProofs
from comunik_pbx.web.pages import Member, NotFound, form, go, member, word

router = APIRouter(prefix="/forwarding/{kind}")

STATES = {
    "calling": N_("We are calling %(number)s. Pick up and press 1: you hear a code, twice. Type it here."),
    "ringing": N_("It rings at %(number)s. Pick up and press 1: you hear a code, twice. Type it here."),
    "asked": N_("%(number)s has answered. Press 1 there to hear the code, and type it here."),
    "said": N_("The code has been said at %(number)s. Type it here."),
    "unanswered": N_("Nobody answered at %(number)s, or the line was busy."),
    "unheard": N_("%(number)s has answered, but nobody pressed 1: the code was not said."),
    "failed": N_("%(number)s could not be called at the moment."),
    "": N_("No code of %(number)s is awaited."),
}


@router.get("/prove")
async def show(
    kind: str, number: str = "", rings: str = "", until: str = "", who: Member = Depends(member)
) -> Response:
    """How the call goes, and where the code is typed."""
    kind_of(kind)
    if who.needs.proofs is None or not number:
        return go("/forwarding")
    return _page(kind, {"number": number[:40], "rings": rings[:2], "until": until[:40]}, who)


@router.post("/prove")
async def call(kind: str, who: Member = Depends(member), sent: FormData = Depends(form)) -> Response:
    """Have the number called."""
    typed = _typed(kind, sent)
    refusal = _proofs(who).call(who.extension, typed["number"], by=by(who))
    if refusal is not None and refusal.code is not RefusalCode.PROOF_PENDING:  # it is called: the page says so
        return _page(kind, typed, who, 422, sentence(refusal, who))
    return go(_here(kind, typed))


@router.post("/code")
async def confirm(kind: str, who: Member = Depends(member), sent: FormData = Depends(form)) -> Response:
    """Take the code, and set the rule that it is for."""
    typed = _typed(kind, sent)
    code = "".join(filter(str.isdigit, word(sent, "code", 20)))
    if refusal := await _proofs(who).confirm(who.extension.number, _e164(typed, who), code, by=by(who)):
        return _page(kind, typed, who, 422, sentence(refusal, who))
    rule = {"channel": "number", "extension": "", **typed}
    return await set_rule(kind_of(kind), rule, who, done="proven")


def _typed(kind: str, sent: FormData) -> dict[str, str]:
    kind_of(kind)
    return {name: word(sent, name, 40) for name in ("number", "rings", "until")}


def _proofs(who: Member) -> NumberProofs:
    if who.needs.proofs is None:
        raise NotFound
    return who.needs.proofs


def _e164(typed: dict[str, str], who: Member) -> str:
    return who.needs.rules.directory().numbers.e164(typed["number"]) or ""


def _here(kind: str, typed: dict[str, str]) -> str:
    return f"/forwarding/{kind}/prove?{urlencode(typed)}"


def _page(kind: str, typed: dict[str, str], who: Member, status: int = 200, wrong: str = "") -> Response:
    number = _e164(typed, who)
    shown = who.number(number) if number else typed["number"]
    state = _proofs(who).progress(who.extension.number, number) or ""
    return who.show(
        "prove.html",
        status,
        kind=kind,
        typed=typed,
        shown=shown,
        state=state,
        progress=who.text(STATES[state]) % {"number": shown},
        wrong=wrong,
        here=_here(kind, typed),
    )
