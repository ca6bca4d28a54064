"""For administrators: who forwards where, who changed what, the calls with the reasons for each."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from comunik_pbx.forwarding.directory import Directory, Extension
from comunik_pbx.forwarding.rules import ExtensionRules, Rule, RuleKind
from comunik_pbx.web import recent
from comunik_pbx.web.needs import CallLine
from comunik_pbx.web.pages import Admin, NotFound, admin
from comunik_pbx.web.profile import picture
from comunik_pbx.web.showing import destination, rings

router = APIRouter(prefix="/admin")

MOST_CALLS = 50


@router.get("")
async def extensions(find: str = "", who: Admin = Depends(admin)) -> Response:
    """Everybody, and what is forwarded where."""
    directory, everybody = who.needs.rules.directory(), await who.needs.rules.in_force()
    profiles = await who.needs.accounts.profiles()
    wanted = find.strip().casefold()[:80]
    rows = []
    for number, extension in sorted(directory.extensions.items()):
        profile = profiles.get(number)
        known = (number, extension.name, *extension.did, *((profile.full_name, profile.department) if profile else ()))
        if not wanted or any(wanted in text.casefold() for text in known):
            rows.append(_row(extension, everybody, who) | {"department": profile.department if profile else ""})
    return who.show("admin_extensions.html", rows=rows, find=find, files=who.needs.rules.files(), kinds=_kinds(who))


@router.get("/extensions/{number}")
async def extension(number: str, who: Admin = Depends(admin)) -> Response:
    """One extension: its rules, who changed them, its calls."""
    directory = who.needs.rules.directory()
    if (found := directory.extensions.get(number)) is None:
        raise NotFound
    everybody = await who.needs.rules.in_force()
    history = await who.needs.rules.history(number, 30)
    calls = await who.needs.calls.calls(20, number)
    return who.show(
        "admin_extension.html",
        extension=found,
        profile=await who.needs.accounts.profile(number),
        row=_row(found, everybody, who),
        kinds=_kinds(who),
        history=[
            {
                "when": who.date(change.changed_at),
                "kind": _kinds(who).get(change.kind, change.kind),
                "by": change.changed_by,
                "before": _written(change.before, who),
                "after": _written(change.after, who),
            }
            for change in history
        ],
        audit=await who.needs.accounts.audit(number, 20),
        calls=[call_line(call, directory, who) for call in calls],
        files=who.needs.rules.files(),
    )


@router.get("/extensions/{number}/photo")
async def photo(number: str, who: Admin = Depends(admin)) -> Response:
    """Somebody's photo."""
    return await picture(who.needs.accounts, number)


@router.get("/calls")
async def calls(who: Admin = Depends(admin)) -> Response:
    """Calls in progress with their plans, and the last ones with the reasons."""
    directory = who.needs.rules.directory()
    lines = [call_line(call, directory, who) for call in await who.needs.calls.calls(MOST_CALLS)]
    return who.show(
        "admin_calls.html",
        live=[line for line in lines if line["became"] == "now"],
        ended=[line for line in lines if line["became"] != "now"],
    )


def call_line(call: CallLine, directory: Directory, who: Admin) -> dict[str, Any]:
    """A record, in words."""
    became = recent.became(call)
    return {
        "when": who.date(call.started_at),
        "caller": recent.person(call.caller, directory, who.text),
        "called": recent.person(call.extension or call.called, directory, who.text),
        "inside": call.origin == "internal",
        "plan": [recent.shown_step(step, directory, who.text) for step in call.plan],
        "became": became,
        "words": recent.words(who.text)[became],
        "went": recent.went(call, directory, who.text),
        "decided": call.decided,
        "cause": call.cause,
        "why": [f"{line.get('extension')} · {line.get('rule')}: {line.get('why')}" for line in call.trace],
    }


def _kinds(who: Admin) -> dict[str, str]:
    return {"always": who.text("Always"), "internal": who.text("From inside"), "external": who.text("From outside")}


def _row(extension: Extension, everybody: Mapping[str, ExtensionRules], who: Admin) -> dict[str, Any]:
    mine = everybody.get(extension.number, ExtensionRules())
    return {
        "number": extension.number,
        "name": extension.name,
        "did": [who.number(did) for did in extension.did],
        "rules": {kind.value: _rule(getattr(mine, kind), who) for kind in RuleKind},
    }


def _rule(rule: Rule | None, who: Admin) -> dict[str, Any] | None:
    if rule is None:
        return None
    return {
        "to": destination(rule.to, who.needs.rules.directory(), who.text),
        "rings": "" if rule.kind is RuleKind.ALWAYS else rings(rule.rings, who.text),
        "acts": rule.enabled and not rule.expired(who.moment),
        "locked": rule.locked,
        "by": rule.changed_by,
        "from_file": rule.version == 0,
        "when": who.date(rule.changed_at),
        "until": who.date(rule.until),
    }


def _written(columns: dict[str, Any] | None, who: Admin) -> str:
    """A rule's columns in words; empty if there was none."""
    if columns is None:
        return ""
    to = columns.get("to_number") or who.text("voicemail")
    parts = [who.number(str(to))]
    if columns.get("kind") != "always":
        parts.append(f"{columns.get('rings')} ×")
    if not columns.get("enabled"):
        parts.append(who.text("off"))
    return ", ".join(parts)
