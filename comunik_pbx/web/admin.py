"""For administrators: who forwards where, who changed what, the calls with the reasons for each."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from comunik_pbx.forwarding.directory import Directory, Extension
from comunik_pbx.forwarding.plan import unproven
from comunik_pbx.forwarding.reread import reason
from comunik_pbx.forwarding.rules import ExtensionRules, Rule, RuleKind
from comunik_pbx.web import recent
from comunik_pbx.web.names import plain
from comunik_pbx.web.needs import CallLine, RuleChange
from comunik_pbx.web.pages import Admin, NotFound, admin
from comunik_pbx.web.profile import picture
from comunik_pbx.web.showing import destination, ring_choice, with_numbers

router = APIRouter(prefix="/admin")

MOST_CALLS = 50


@router.get("")
async def extensions(find: str = "", who: Admin = Depends(admin)) -> Response:
    """Everybody, and what is forwarded where."""
    directory, everybody = who.needs.rules.directory(), await who.needs.rules.in_force()
    profiles = await who.needs.accounts.profiles()
    wanted = plain(find[:80])
    rows = []
    for number, extension in sorted(directory.extensions.items()):
        profile = profiles.get(number)
        known: tuple[str, ...] = (
            number,
            extension.name,
            *extension.did,
            *(who.number(did) for did in extension.did),
            *((profile.full_name, profile.department) if profile else ()),
        )
        if not wanted or any(wanted in plain(text) for text in known):
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
        history=[change_line(change, who) for change in history],
        calls=[call_line(call, directory, who) for call in calls],
        file=who.needs.rules.file_of("extensions", number),
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
        "why": [
            (line.get("followed", True), with_numbers(reason(line, who.language), directory.numbers.country))
            for line in call.trace
        ],
    }


def change_line(change: RuleChange, who: Admin) -> dict[str, Any]:
    """A line of the rules' history, in words."""
    return {
        "extension": change.extension,
        "when": who.date(change.changed_at),
        "kind": _kinds(who).get(change.kind, change.kind),
        "by": change.changed_by,
        "before": _written(change.before, who),
        "after": _written(change.after, who),
        "new": change.new_target,
    }


def _kinds(who: Admin) -> dict[str, str]:
    return {"always": who.text("Always"), "internal": who.text("From inside"), "external": who.text("From outside")}


def _row(extension: Extension, everybody: Mapping[str, ExtensionRules], who: Admin) -> dict[str, Any]:
    mine = everybody.get(extension.number, ExtensionRules())
    return {
        "number": extension.number,
        "name": extension.name,
        "did": [who.number(did) for did in extension.did],
        "rules": {kind.value: _rule(getattr(mine, kind), extension, who) for kind in RuleKind},
    }


def _rule(rule: Rule | None, extension: Extension, who: Admin) -> dict[str, Any] | None:
    if rule is None:
        return None
    missing = unproven(rule, extension, who.needs.rules.directory())
    key = ("extensions", rule.extension, "forward", rule.kind.value)
    return {
        "to": destination(rule.to, who.needs.rules.directory(), who.text),
        "rings": "" if rule.kind is RuleKind.ALWAYS else ring_choice(rule.rings, who.needs.rules.directory(), who.text),
        "acts": rule.enabled and not rule.expired(who.moment) and not missing,
        "idle": who.text("not verified") if missing and rule.enabled else who.text("off"),
        "locked": rule.locked,
        "by": rule.changed_by,
        "from_file": who.needs.rules.file_of(*key) if rule.version == 0 else "",
        "key": ".".join(key),
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
        parts.append(ring_choice(int(columns.get("rings") or 0), who.needs.rules.directory(), who.text))
    if until := columns.get("until"):
        parts.append(who.text("until %(date)s") % {"date": who.date(datetime.fromisoformat(str(until)))})
    if not columns.get("enabled"):
        parts.append(who.text("off"))
    return ", ".join(parts)
