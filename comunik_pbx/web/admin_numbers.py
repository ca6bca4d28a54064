"""For administrators: outside numbers allowed besides those that the configuration allows."""

import msgspec
from fastapi import APIRouter, Depends
from fastapi.responses import Response
from starlette.datastructures import FormData

from comunik_pbx.accounts.account import AllowedNumber
from comunik_pbx.forwarding.numbers import NumberPolicy
from comunik_pbx.forwarding.refusals import Refusal, RefusalCode
from comunik_pbx.web.names import plain
from comunik_pbx.web.pages import Admin, NotFound, admin, form, go, word
from comunik_pbx.web.showing import with_numbers

router = APIRouter(prefix="/admin/numbers")


@router.get("")
async def show(find: str = "", who: Admin = Depends(admin)) -> Response:
    """The list."""
    return await _page(who, find=find[:80])


@router.post("")
async def add(who: Admin = Depends(admin), sent: FormData = Depends(form)) -> Response:
    """Allow a number, or write its name and comment anew."""
    typed = {"number": word(sent, "number", 40), "name": word(sent, "name", 80), "comment": word(sent, "comment", 200)}
    number = allowable(typed["number"], who.needs.rules.directory().numbers)
    if isinstance(number, Refusal):
        why = with_numbers(number.words(who.language), who.needs.rules.directory().numbers.country)
        return await _page(who, 422, typed=typed, wrong=f"{why[0].upper()}{why[1:]}.")
    await who.needs.numbers.put(
        AllowedNumber(
            number=number,
            name=typed["name"],
            comment=typed["comment"],
            changed_by=f"portal:{who.who.name}",
            changed_at=who.moment,
        )
    )
    return go("/admin/numbers?done=number")


@router.post("/{number}/{what}")
async def change(number: str, what: str, who: Admin = Depends(admin), sent: FormData = Depends(form)) -> Response:
    """Switch a number on or off, or remove it."""
    found = next((one for one in await who.needs.numbers.all() if one.number == number), None)
    if found is None or what not in ("on", "off", "remove"):
        raise NotFound
    by = f"portal:{who.who.name}"
    if what == "remove":
        await who.needs.numbers.remove(number, by=by, at=who.moment)
    else:
        changed = msgspec.structs.replace(found, enabled=what == "on", changed_by=by, changed_at=who.moment)
        await who.needs.numbers.put(changed)
    return go("/admin/numbers?done=number")


def allowable(written: str, policy: NumberPolicy) -> str | Refusal:
    """The number in E.164, or why nobody can allow it: emergency, premium, or denied by the configuration."""
    number = policy.e164(written)
    if number is None:
        return Refusal(RefusalCode.NOT_A_NUMBER, written)
    return msgspec.structs.replace(policy, allow=(*policy.allow, number)).refusal(number) or number


async def _page(
    who: Admin, status: int = 200, find: str = "", typed: dict[str, str] | None = None, wrong: str = ""
) -> Response:
    wanted = plain(find)
    rows = [
        {
            "number": one.number,
            "shown": who.number(one.number),
            "name": one.name,
            "comment": one.comment,
            "enabled": one.enabled,
            "by": one.changed_by,
            "when": who.date(one.changed_at),
        }
        for one in await who.needs.numbers.all()
        if not wanted
        or any(wanted in plain(text) for text in (one.number, who.number(one.number), one.name, one.comment))
    ]
    policy = who.needs.rules.directory().numbers
    own = {one.number for one in await who.needs.numbers.all()}
    return who.show(
        "admin_numbers.html",
        status,
        rows=rows,
        find=find,
        typed=typed or {"number": "", "name": "", "comment": ""},
        wrong=wrong,
        countries=policy.allowed_countries or (policy.country,),
        allow=[number for number in policy.allow if number not in own],
        deny=policy.deny,
        file=who.needs.rules.file_of("forwarding", "allowed_countries"),
    )
