"""The company: who is there; and for administrators everybody's rules and calls."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from comunik_pbx.forwarding.rules import ExtensionRules, RuleKind
from comunik_pbx.web.api.caller import Caller, allowed
from comunik_pbx.web.api.calls import CallOut, call_out

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


@router.get("/admin/calls")
async def all_calls(
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    extension: Annotated[str | None, Query(pattern="^[0-9]{1,15}$")] = None,
    who: Caller = allowed("admin:read"),
) -> list[CallOut]:
    """Everybody's calls, the newest first; those in progress have no `ended_at`."""
    return [call_out(call) for call in await who.needs.calls.calls(limit, extension)]
