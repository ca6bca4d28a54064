"""The company: who is there; and for administrators everybody's rules and calls."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from comunik_pbx.accounts.account import AllowedNumber
from comunik_pbx.forwarding.refusals import Refusal
from comunik_pbx.forwarding.rules import ExtensionRules, RuleKind
from comunik_pbx.web.admin_numbers import allowable
from comunik_pbx.web.api.caller import Caller, allowed
from comunik_pbx.web.api.calls import CallOut, call_out
from comunik_pbx.web.api.problems import Problem, refused

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


@router.get("/admin/extensions")
async def all_extensions(who: Caller = allowed("admin:read")) -> list[dict[str, Any]]:
    """Everybody, with the rules in force."""
    everybody = await who.needs.rules.in_force()
    return [
        {
            "number": number,
            "name": extension.name,
            "did": list(extension.did),
            "mailbox": extension.mailbox,
            "rules": {
                kind.value: {"to": str(rule.to), "rings": rule.rings, "enabled": rule.enabled, "locked": rule.locked}
                for kind in RuleKind
                if (rule := getattr(everybody.get(number, ExtensionRules()), kind)) is not None
            },
        }
        for number, extension in sorted(who.needs.rules.directory().extensions.items())
    ]


class NumberIn(BaseModel):
    """What is written of an allowed number."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "London office"}]})

    name: Annotated[str, Field(max_length=80)] = ""
    comment: Annotated[str, Field(max_length=200)] = ""
    enabled: bool = True


class NumberOut(NumberIn):
    """An allowed number, E.164."""

    number: str
    changed_by: str
    changed_at: datetime


@router.get("/admin/numbers")
async def numbers(who: Caller = allowed("admin:read")) -> list[NumberOut]:
    """Outside numbers allowed besides those that the configuration allows."""
    return [_number(one) for one in await who.needs.numbers.all()]


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
