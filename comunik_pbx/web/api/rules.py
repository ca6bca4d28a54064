"""One's rules: read, set, switch, forget; and where a call would go."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictBool, StrictInt

from comunik_pbx.accounts.account import Role
from comunik_pbx.forwarding.call import Call
from comunik_pbx.forwarding.explain import as_json
from comunik_pbx.forwarding.plan import plan
from comunik_pbx.forwarding.refusals import Refusal
from comunik_pbx.forwarding.rules import MAX_RINGS, ExtensionRules, Rule, RuleKind
from comunik_pbx.forwarding.saving import read_destination
from comunik_pbx.web.api.caller import Caller, allowed
from comunik_pbx.web.api.problems import Problem, refused
from comunik_pbx.web.api.shapes import Change, Reason, Step
from comunik_pbx.web.forwarding import caller_of
from comunik_pbx.web.showing import in_force

router = APIRouter(tags=["rules"])


class RuleIn(BaseModel):
    """A rule as it is set: also switched on, unless `enabled` is false."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"to": "+33612345678", "rings": 3}, {"to": "102", "until": None}]},
    )

    to: Annotated[str, Field(min_length=1, max_length=60, description="`voicemail`, an extension, or a number.")]
    rings: Annotated[StrictInt, Field(ge=0, le=MAX_RINGS, description="Meaningless for always.")] = 0
    until: Annotated[AwareDatetime | None, Field(description="From then on it no longer acts.")] = None
    enabled: StrictBool = True


class Switch(BaseModel):
    """On or off."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"enabled": False}]})

    enabled: StrictBool


class RuleOut(BaseModel):
    """A rule in force. `source` is `user`, or `config` for a default of the configuration.

    `words` is what it does now, as a sentence; empty if it is off or has ended.
    """

    kind: RuleKind
    to: str
    rings: int
    enabled: bool
    until: datetime | None
    expired: bool
    source: str
    locked: bool
    version: int
    changed_by: str
    changed_at: datetime | None
    words: str


class Explained(BaseModel):
    """Where a call would go: the steps in turn, and why each is there."""

    caller: str
    called: str
    origin: str
    steps: list[Step]
    trace: list[Reason]


@router.get("/rules")
async def rules(who: Caller = allowed("rules:read")) -> list[RuleOut]:
    """One's rules in force."""
    mine = (await who.needs.rules.in_force()).get(who.extension.number, ExtensionRules())
    found = (getattr(mine, kind) for kind in RuleKind)
    return [_out(rule, who) for rule in found if rule is not None]


@router.put("/rules/{kind}")
async def set_rule(kind: RuleKind, wanted: RuleIn, who: Caller = allowed("rules:write")) -> RuleOut:
    """Set a rule. In force for the next call when this answers."""
    directory = who.needs.rules.directory()
    to = read_destination(wanted.to, directory)
    if isinstance(to, Refusal):
        raise refused(to, who.language)
    if wanted.until is not None and wanted.until <= who.needs.clock():
        raise Problem(422, who.text("Refused"), who.text("This moment has passed."))
    rule = Rule(
        extension=who.extension.number,
        kind=kind,
        to=to,
        rings=0 if kind is RuleKind.ALWAYS else wanted.rings,
        until=wanted.until,
        enabled=wanted.enabled,
    )
    if refusal := await who.needs.rules.save(rule, by=who.by, vouched=who.account.role is Role.ADMIN):
        raise refused(refusal, who.language)
    return await _now(kind, who)


@router.patch("/rules/{kind}")
async def switch(kind: RuleKind, wanted: Switch, who: Caller = allowed("rules:write")) -> RuleOut:
    """Switch a rule on or off; its number stays."""
    try:
        vouched = who.account.role is Role.ADMIN
        refusal = await who.needs.rules.switch(who.extension.number, kind, wanted.enabled, by=who.by, vouched=vouched)
    except KeyError:
        raise Problem(404, who.text("There is no such rule")) from None
    if refusal:
        raise refused(refusal, who.language)
    return await _now(kind, who)


@router.delete("/rules/{kind}", status_code=204)
async def clear(kind: RuleKind, who: Caller = allowed("rules:write")) -> None:
    """Forget a rule; the configuration's default acts again, if there is one."""
    try:
        refusal = await who.needs.rules.clear(who.extension.number, kind, by=who.by)
    except KeyError:
        raise Problem(404, who.text("There is no such rule")) from None
    if refusal:
        raise refused(refusal, who.language)


@router.get("/history")
async def history(limit: Annotated[int, Query(ge=1, le=500)] = 50, who: Caller = allowed("rules:read")) -> list[Change]:
    """Who changed which of one's rules when, newest first; `new_target` if to an outside number never used before."""
    return [Change.of(line) for line in await who.needs.rules.history(who.extension.number, limit)]


@router.get("/explain")
async def explain(
    caller: Annotated[str, Query(max_length=40, description="An extension, a number, or `anonymous`.")],
    who: Caller = allowed("rules:read"),
) -> Explained:
    """Where a call to one's extension would go now, and why; as `comunik-pbx explain --json`."""
    directory = who.needs.rules.directory()
    call = Call(caller=caller_of(caller, directory), called=who.extension.number)
    decided = plan(call, directory, await who.needs.rules.in_force(), who.needs.clock().astimezone())
    return Explained(**as_json(call, decided, who.language))


async def _now(kind: RuleKind, who: Caller) -> RuleOut:
    mine = (await who.needs.rules.in_force()).get(who.extension.number, ExtensionRules())
    rule: Rule | None = getattr(mine, kind)
    if rule is None:  # somebody has cleared it since
        raise Problem(404, who.text("There is no such rule"))
    return _out(rule, who)


def _out(rule: Rule, who: Caller) -> RuleOut:
    acts = rule.enabled and not rule.expired(who.needs.clock())
    return RuleOut(
        kind=rule.kind,
        to=str(rule.to),
        rings=rule.rings,
        enabled=rule.enabled,
        until=rule.until,
        expired=rule.expired(who.needs.clock()),
        source="user" if rule.version else "config",
        locked=rule.locked,
        version=rule.version,
        changed_by=rule.changed_by,
        changed_at=rule.changed_at,
        words=in_force(rule, who.needs.rules.directory(), who.text) if acts else "",
    )
