"""The company: who is there; and for administrators everybody's rules and calls."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from comunik_pbx.accounts.account import AllowedNumber, Profile
from comunik_pbx.forwarding import directory
from comunik_pbx.forwarding.refusals import Refusal
from comunik_pbx.forwarding.rules import ExtensionRules, RuleKind
from comunik_pbx.web.admin_numbers import allowable
from comunik_pbx.web.api.caller import Caller, allowed
from comunik_pbx.web.api.calls import CallOut, call_out
from comunik_pbx.web.api.problems import Problem, refused
from comunik_pbx.web.api.profile import ProfileOut, profile_out
from comunik_pbx.web.api.shapes import PICTURE, AuditLine, Change

router = APIRouter(tags=["company"])


class Colleague(BaseModel):
    """An extension and whose it is."""

    number: str
    name: str


@router.get("/extensions")
async def extensions(
    find: Annotated[str, Query(max_length=80)] = "", who: Caller = allowed("rules:read")
) -> list[Colleague]:
    """Extensions to forward to, by number or name."""
    wanted = find.casefold()
    everybody = sorted(who.needs.rules.directory().extensions.items())
    found = ((number, e.name) for number, e in everybody if wanted in number or wanted in e.name.casefold())
    return [Colleague(number=number, name=name) for number, name in found]


class RuleBrief(BaseModel):
    """A rule in force, of anybody."""

    to: str
    rings: int
    enabled: bool
    until: datetime | None
    locked: bool
    source: str
    changed_by: str
    changed_at: datetime | None


class ExtensionOut(BaseModel):
    """An extension with the rules in force, by kind."""

    number: str
    name: str
    department: str
    did: list[str]
    mailbox: str | None
    rules: dict[RuleKind, RuleBrief]


class CompanyOut(BaseModel):
    """What the configuration says, and which files say it."""

    files: list[str]
    country: str
    allowed_countries: list[str]
    allow: list[str]
    deny: list[str]


Extension = Annotated[str, Path(pattern="^[0-9]{1,15}$")]
Find = Annotated[str, Query(max_length=80)]
Limit = Annotated[int, Query(ge=1, le=500)]


@router.get("/admin/company")
async def company(who: Caller = allowed("admin:read")) -> CompanyOut:
    """The files that say who is there, and the outside numbers that the configuration allows and denies."""
    policy, own = who.needs.rules.directory().numbers, {one.number for one in await who.needs.numbers.all()}
    return CompanyOut(
        files=list(who.needs.rules.files()),
        country=policy.country,
        allowed_countries=list(policy.allowed_countries or (policy.country,)),
        allow=[number for number in policy.allow if number not in own],
        deny=list(policy.deny),
    )


@router.get("/admin/extensions")
async def all_extensions(find: Find = "", who: Caller = allowed("admin:read")) -> list[ExtensionOut]:
    """Everybody, or those whose number, name, DID or department has these letters; with the rules in force."""
    everybody, profiles = await who.needs.rules.in_force(), await who.needs.accounts.profiles()
    wanted, found = find.strip().casefold(), []
    for number, extension in sorted(who.needs.rules.directory().extensions.items()):
        profile = profiles.get(number, Profile())
        known = (number, extension.name, *extension.did, profile.full_name, profile.department)
        if any(wanted in text.casefold() for text in known):
            found.append(_extension(extension, everybody.get(number, ExtensionRules()), profile))
    return found


@router.get("/admin/extensions/{number}")
async def one_extension(number: Extension, who: Caller = allowed("admin:read")) -> ExtensionOut:
    """One extension."""
    extension = _known(number, who)
    rules = (await who.needs.rules.in_force()).get(number, ExtensionRules())
    return _extension(extension, rules, await who.needs.accounts.profile(number))


@router.get("/admin/extensions/{number}/profile")
async def somebodys_profile(number: Extension, who: Caller = allowed("admin:read")) -> ProfileOut:
    """What somebody says of himself."""
    _known(number, who)
    return profile_out(await who.needs.accounts.profile(number))


@router.get(
    "/admin/extensions/{number}/photo",
    response_class=Response,
    responses=PICTURE,
)
async def somebodys_photo(number: Extension, who: Caller = allowed("admin:read")) -> Response:
    """Somebody's photo, PNG."""
    _known(number, who)
    png = await who.needs.accounts.photo(number)
    if png is None:
        raise Problem(404, who.text("No photo yet"))
    return Response(png, media_type="image/png")


@router.get("/admin/history")
async def everybodys_history(
    limit: Limit = 50,
    extension: Annotated[str | None, Query(pattern="^[0-9]{1,15}$")] = None,
    who: Caller = allowed("admin:read"),
) -> list[Change]:
    """Who changed which rule when, of one extension or of all, newest first."""
    return [Change.of(line) for line in await who.needs.rules.history(extension, limit)]


@router.get("/admin/audit")
async def everybodys_audit(
    limit: Limit = 50,
    account: Annotated[str | None, Query(max_length=64)] = None,
    who: Caller = allowed("admin:read"),
) -> list[AuditLine]:
    """What happened to one account or to all, and to the list of allowed numbers (account ``), newest first."""
    return [AuditLine.of(line) for line in await who.needs.accounts.audit(account, limit)]


def _known(number: str, who: Caller) -> directory.Extension:
    found = who.needs.rules.directory().extensions.get(number)
    if found is None:
        raise Problem(404, who.text("There is no such extension"))
    return found


def _extension(extension: directory.Extension, rules: ExtensionRules, profile: Profile) -> ExtensionOut:
    return ExtensionOut(
        number=extension.number,
        name=extension.name,
        department=profile.department,
        did=list(extension.did),
        mailbox=extension.mailbox,
        rules={
            kind: RuleBrief(
                to=str(rule.to),
                rings=rule.rings,
                enabled=rule.enabled,
                until=rule.until,
                locked=rule.locked,
                source="user" if rule.version else "config",
                changed_by=rule.changed_by,
                changed_at=rule.changed_at,
            )
            for kind in RuleKind
            if (rule := getattr(rules, kind.value)) is not None
        },
    )


class NumberIn(BaseModel):
    """What is written of an allowed number."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "London office"}]})

    name: Annotated[str, Field(max_length=80)] = ""
    comment: Annotated[str, Field(max_length=200)] = ""
    enabled: StrictBool = True


class NumberOut(NumberIn):
    """An allowed number, E.164."""

    number: str
    changed_by: str
    changed_at: datetime


@router.get("/admin/numbers")
async def numbers(find: Find = "", who: Caller = allowed("admin:read")) -> list[NumberOut]:
    """Outside numbers allowed besides those that the configuration allows; or those with these letters."""
    wanted = find.strip().casefold()
    found = await who.needs.numbers.all()
    return [_number(one) for one in found if wanted in f"{one.number}\n{one.name}\n{one.comment}".casefold()]


@router.put("/admin/numbers/{number}")
async def allow(
    number: Annotated[str, Path(pattern=r"^\+?[0-9]{2,20}$")], wanted: NumberIn, who: Caller = allowed("admin:write")
) -> NumberOut:
    """Allow a number, or switch it off."""
    found = allowable(number, who.needs.rules.directory().numbers)
    if isinstance(found, Refusal):
        raise refused(found, who.language)
    made = AllowedNumber(
        number=found,
        name=wanted.name,
        comment=wanted.comment,
        enabled=wanted.enabled,
        changed_by=who.by,
        changed_at=who.needs.clock(),
    )
    await who.needs.numbers.put(made)
    return _number(made)


@router.delete("/admin/numbers/{number}", status_code=204)
async def disallow(
    number: Annotated[str, Path(pattern=r"^\+?[0-9]{2,20}$")], who: Caller = allowed("admin:write")
) -> None:
    """Take a number off the list."""
    if not await who.needs.numbers.remove(number, by=who.by, at=who.needs.clock()):
        raise Problem(404, who.text("There is no such number"))


def _number(one: AllowedNumber) -> NumberOut:
    return NumberOut(
        number=one.number,
        name=one.name,
        comment=one.comment,
        enabled=one.enabled,
        changed_by=one.changed_by,
        changed_at=one.changed_at,
    )


@router.get("/admin/calls")
async def all_calls(
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    extension: Annotated[str | None, Query(pattern="^[0-9]{1,15}$")] = None,
    who: Caller = allowed("admin:read"),
) -> list[CallOut]:
    """Everybody's calls, the newest first; those in progress have no `ended_at`."""
    return [call_out(call) for call in await who.needs.calls.calls(limit, extension)]
