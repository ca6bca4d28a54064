"""Where one's calls go: three cards, what is in force now, and a test of it."""

import re
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from starlette.datastructures import FormData

from comunik_pbx.accounts.account import Role
from comunik_pbx.forwarding.call import Call, Caller
from comunik_pbx.forwarding.directory import Directory
from comunik_pbx.forwarding.explain import words
from comunik_pbx.forwarding.plan import outside, plan
from comunik_pbx.forwarding.refusals import Refusal, RefusalCode
from comunik_pbx.forwarding.rules import (
    MAX_RINGS,
    Destination,
    ExtensionRules,
    Rule,
    RuleKind,
    ToExtension,
    ToNumber,
    ToVoicemail,
)
from comunik_pbx.forwarding.saving import read_destination
from comunik_pbx.web import names
from comunik_pbx.web.pages import Member, NotFound, form, go, member, word
from comunik_pbx.web.showing import (
    destination,
    in_force,
    ring_choice,
    rings,
    seconds_of,
    shown_number,
    step,
    with_numbers,
)

router = APIRouter()


@router.get("/forwarding")
async def show(caller: str = "", who: Member = Depends(member)) -> Response:
    """The page; with `caller` it says where a call from there would go."""
    return await _page(who, caller=caller[:40])


@router.post("/forwarding/{kind}")
async def save(kind: str, who: Member = Depends(member), sent: FormData = Depends(form)) -> Response:
    """Set a rule and switch it on: "confirm"."""
    typed = {name: word(sent, name) for name in ("channel", "extension", "number", "rings", "until")}
    return await set_rule(kind_of(kind), typed, who)


async def set_rule(which: RuleKind, typed: dict[str, str], who: Member, done: str = "forwarding") -> Response:
    """Set a rule as it was typed, or show the page again with the reason beside the field."""
    to = _destination(which, typed, who.needs.rules.directory())
    if isinstance(to, Refusal):
        return await _page(who, 422, which, typed, _refused(to, who, typed["extension"]))
    until = _until(typed["until"])
    if isinstance(until, str):
        right = who.text("A date and a time are needed, such as 2026-12-24 18:00.")
        return await _page(who, 422, which, typed, ("until", right))
    if until is not None and until <= who.moment:
        return await _page(who, 422, which, typed, ("until", who.text("This moment has passed.")))
    count = int(typed["rings"]) if re.fullmatch("[0-9]{1,2}", typed["rings"]) else 0
    rule = Rule(
        extension=who.extension.number,
        kind=which,
        to=to,
        rings=0 if which is RuleKind.ALWAYS else count,
        until=until,
    )
    if refusal := await who.needs.rules.save(rule, by=by(who), vouched=who.who.role is Role.ADMIN):
        return await _page(who, 422, which, typed, _refused(refusal, who))
    return go(f"/forwarding?done={done}#{which.value}")


@router.post("/forwarding/{kind}/{state}")
async def switch(
    kind: str,
    state: str,
    who: Member = Depends(member),
    sent: FormData = Depends(form),
) -> Response:
    """Switch a rule on or off; its number stays."""
    which = kind_of(kind)
    if state not in ("on", "off"):
        raise NotFound
    try:
        vouched = who.who.role is Role.ADMIN
        refusal = await who.needs.rules.switch(who.extension.number, which, state == "on", by=by(who), vouched=vouched)
    except KeyError:
        raise NotFound from None
    if refusal:
        return await _page(who, 422, which, None, _refused(refusal, who))
    return go(f"/forwarding?done=forwarding#{which.value}")


def kind_of(written: str) -> RuleKind:
    """The rule that an address is about."""
    try:
        return RuleKind(written)
    except ValueError:
        raise NotFound from None


def by(who: Member) -> str:
    """How the history names him."""
    return f"portal:{who.who.name}"


def _destination(kind: RuleKind, typed: dict[str, str], directory: Directory) -> Destination | Refusal:
    channel = "number" if kind is RuleKind.ALWAYS else typed["channel"]
    if channel == "voicemail":
        return ToVoicemail()
    if channel == "extension":
        return _extension(typed["extension"], directory)
    if not typed["number"]:
        return Refusal(RefusalCode.NOT_A_NUMBER, "")
    if kind is RuleKind.ALWAYS and (typed["number"] in directory.extensions or typed["number"] == "voicemail"):
        return read_destination(typed["number"], directory)
    return read_destination(f"number {typed['number']}", directory)


def _extension(written: str, directory: Directory) -> Destination | Refusal:
    """An extension by number or by name, as the list offers them: `102 Bruno Petit`, `102`, `bruno`."""
    like = names.people(written, directory)
    return ToExtension(like[0].number) if len(like) == 1 else Refusal(RefusalCode.UNKNOWN_EXTENSION, written)


def _until(written: str) -> datetime | str | None:
    if not written:
        return None
    try:
        return datetime.fromisoformat(written).astimezone()
    except (ValueError, OverflowError, OSError):
        return written


_FIELDS = {
    RefusalCode.RINGS: "rings",
    RefusalCode.UNKNOWN_EXTENSION: "extension",
    RefusalCode.SELF: "extension",
    RefusalCode.NO_MAILBOX: "channel",
    RefusalCode.LOCKED: "channel",
}


def _refused(refusal: Refusal, who: Member, name: str = "") -> tuple[str, str]:
    """The field a refusal belongs beside, and why, as a sentence. `name` may be that of several people."""
    several = names.people(name, who.needs.rules.directory()) if refusal.code is RefusalCode.UNKNOWN_EXTENSION else []
    if several:
        return "extension", who.text("Several people are called so: %(names)s.") % {"names": names.listed(several)}
    if refusal.code is RefusalCode.UNKNOWN_EXTENSION and not refusal.about:
        return "extension", who.text("An extension or a name is needed.")
    why = sentence(refusal, who) if refusal.about else who.text("A number is needed.")
    return _FIELDS.get(refusal.code, "number"), why


def sentence(refusal: Refusal, who: Member) -> str:
    """Why not, as a sentence, with numbers as people read them."""
    why = with_numbers(refusal.words(who.language), who.needs.rules.directory().numbers.country)
    return f"{why[0].upper()}{why[1:].removesuffix('.')}."


def unproven(number: str, who: Member) -> bool:
    """Whether a proof is all that is missing for his calls to be forwarded to this number."""
    directory = who.needs.rules.directory()
    if who.needs.proofs is None or directory.proven is None or directory.called(number) is not None:
        return False
    found = outside(number, who.extension, directory)
    return isinstance(found, Refusal) and found.code is RefusalCode.UNPROVEN


async def _page(  # noqa: PLR0917
    who: Member,
    status: int = 200,
    at: RuleKind | None = None,
    typed: dict[str, str] | None = None,
    wrong: tuple[str, str] = ("", ""),
    caller: str = "",
) -> Response:
    directory = who.needs.rules.directory()
    everybody = await who.needs.rules.in_force()
    mine = everybody.get(who.extension.number, ExtensionRules())
    profile = await who.needs.accounts.profile(who.who.name)
    cards = [
        _card(kind, getattr(mine, kind), who, typed if kind is at else None, wrong if kind is at else ("", ""))
        for kind in RuleKind
    ]
    return who.show(
        "forwarding.html",
        status,
        extension=who.extension,
        now=_now(mine, who),
        cards=cards,
        own_number=shown_number(profile.phone, directory.numbers.country) if profile.phone else "",
        colleagues=[e for n, e in sorted(directory.extensions.items()) if n != who.extension.number],
        ring_choices=[(n, ring_choice(n, directory, who.text)) for n in range(MAX_RINGS + 1)],
        caller=caller,
        voicemail=bool(who.extension.mailbox),
        **await _test(caller, who),
    )


def _now(mine: ExtensionRules, who: Member) -> str:
    """What is in force now, in one sentence."""
    directory, text, now = who.needs.rules.directory(), who.text, who.moment
    acting = {k: r for k in RuleKind if (r := getattr(mine, k)) is not None and r.enabled and not r.expired(now)}
    acting = {k: r for k, r in acting.items() if not (isinstance(r.to, ToNumber) and unproven(r.to.number, who))}
    if RuleKind.ALWAYS in acting:
        acting = {RuleKind.ALWAYS: acting[RuleKind.ALWAYS]}
    said = [in_force(rule, directory, text, who.date(rule.until)) for rule in acting.values()]
    if len(said) < 2 and RuleKind.ALWAYS not in acting:
        count, seconds = rings(directory.default_rings, text), seconds_of(directory.default_rings, directory)
        how = {"rings": count, "seconds": seconds}
        if who.extension.mailbox:
            default = text("your phone rings (%(rings)s, about %(seconds)s s), then your voicemail answers") % how
        else:
            default = text("your phone rings (%(rings)s, about %(seconds)s s), then the call ends") % how
        which = text("No forwarding: %(default)s.") if not said else text("Other calls: %(default)s.")
        said.append(which % {"default": default})
    if len(said) == 1:
        return said[0]
    one, other = (sentence.removesuffix(".") for sentence in said)
    return text("%(one)s; %(other)s.") % {"one": one, "other": other[0].lower() + other[1:]}


def _card(
    kind: RuleKind, rule: Rule | None, who: Member, typed: dict[str, str] | None, wrong: tuple[str, str]
) -> dict[str, Any]:
    directory = who.needs.rules.directory()
    values = {"channel": "number", "extension": "", "number": "", "until": ""}
    values["rings"] = str(rule.rings if rule else directory.default_rings)
    if rule is not None:
        match rule.to:
            case ToExtension(number=number):
                name = directory.extensions[number].name if number in directory.extensions else ""
                values |= {"channel": "extension", "extension": f"{number} {name}".strip(), "number": number}
            case ToNumber(number=number):
                values["number"] = shown_number(number, directory.numbers.country)
            case ToVoicemail():
                values |= {"channel": "voicemail", "number": "voicemail" if kind is RuleKind.ALWAYS else ""}
        if rule.until is not None:
            values["until"] = rule.until.astimezone().strftime("%Y-%m-%dT%H:%M")
    values |= typed or {}
    field, why = wrong
    if (
        kind is not RuleKind.ALWAYS
        and field in ("extension", "number")
        and values["channel"] in ("extension", "number")
    ):
        field = values["channel"]  # the one that is shown
    missing = rule is not None and isinstance(rule.to, ToNumber) and unproven(rule.to.number, who)
    asked = typed is not None and (kind is RuleKind.ALWAYS or typed["channel"] == "number")
    shown = shown_number(directory.numbers.e164(values["number"]) or "", directory.numbers.country)
    proof = {"shown": shown, "typed": {name: values[name] for name in ("number", "rings", "until")}}
    return {
        "kind": kind.value,
        "rule": rule,
        "unproven": missing,
        "prove": proof if (unproven(values["number"], who) if asked else missing and typed is None) else None,
        "acts": rule is not None and rule.enabled and not rule.expired(who.moment) and not missing,
        "expired": rule is not None and rule.enabled and rule.expired(who.moment),
        "to": destination(rule.to, directory, who.text) if rule else "",
        "after": ring_choice(rule.rings, directory, who.text) if rule and kind is not RuleKind.ALWAYS else "",
        "typed": values,
        "wrong": {field: why} if field else {},
        "unsaved": typed is not None,
    }


async def _test(written: str, who: Member) -> dict[str, Any]:
    """Where a call would go and why, or why nobody knows: the decision that live calls get, at this moment."""
    if not written.strip():
        return {"test": None, "wrong_caller": ""}
    directory, text = who.needs.rules.directory(), who.text
    if (caller := names.caller_of(written, directory)) is None:
        several = names.listed(names.people(written, directory))
        if several:
            return {"test": None, "wrong_caller": text("Several people are called so: %(names)s.") % {"names": several}}
        return {"test": None, "wrong_caller": text("This is neither an extension, nor a name, nor a number.")}
    call = Call(caller=caller, called=who.extension.number)
    usage, now = who.needs.rules.usage(who.moment), who.moment.astimezone()
    decided = plan(call, directory, await who.needs.rules.in_force(), now, usage)
    test = {
        "inside": caller.extension is not None,
        "caller": directory.extensions[caller.extension].name if caller.extension else "",
        "steps": [step(one, directory, text) for one in decided.steps],
        "why": [
            (entry.followed, with_numbers(words(entry, decided.origin, who.language), directory.numbers.country))
            for entry in decided.trace
        ],
    }
    return {"test": test, "wrong_caller": ""}


def caller_of(written: str, directory: Directory) -> Caller:
    """Who calls, as programs write it; what is neither an extension nor a number is anonymous."""
    return names.caller_of(written, directory) or Caller(withheld=True)
