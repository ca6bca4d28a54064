"""One's account: who one is, one's password, where one is signed in, what happened lately."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from comunik_pbx.accounts.account import Role
from comunik_pbx.web import passwords
from comunik_pbx.web.api.caller import Caller, allowed
from comunik_pbx.web.api.problems import Problem
from comunik_pbx.web.api.shapes import AuditLine
from comunik_pbx.web.browsers import browser_name
from comunik_pbx.web.password_change import PasswordRefused, change_password

router = APIRouter(tags=["security"])


class Me(BaseModel):
    """Whose token it is; `extension` is null for an administrator without one."""

    account: str
    role: Role
    language: str
    extension: str | None
    name: str
    did: list[str]
    voicemail: bool
    default_rings: Annotated[int, Field(description="How often the phone rings where no rule says it.")]
    ring_seconds: Annotated[float, Field(description="How long one ring and its pause last.")]
    scopes: list[str]


class PasswordIn(BaseModel):
    """The password one has, and the one to have."""

    model_config = ConfigDict(extra="forbid")

    current: Annotated[str, Field(min_length=1, max_length=passwords.LONGEST)]
    new: Annotated[str, Field(min_length=1, max_length=passwords.LONGEST)]


class SessionOut(BaseModel):
    """A browser one is signed in with."""

    id: str
    browser: str
    address: str
    created_at: datetime
    seen_at: datetime


@router.get("/me")
async def me(who: Caller = allowed("rules:read")) -> Me:
    """Whose token it is, and what is usual for calls to his extension."""
    directory = who.needs.rules.directory()
    mine = directory.extensions.get(who.account.name)
    return Me(
        account=who.account.name,
        role=who.account.role,
        language=who.account.language or (mine.language if mine else who.needs.language),
        extension=mine.number if mine else None,
        name=mine.name if mine else "",
        did=list(mine.did) if mine else [],
        voicemail=mine is not None and mine.mailbox is not None,
        default_rings=directory.default_rings,
        ring_seconds=directory.cycle_seconds,
        scopes=list(who.token.scopes),
    )


@router.put("/security/password", status_code=204)
async def set_password(wanted: PasswordIn, who: Caller = allowed("security:write")) -> None:
    """Change one's password: all sessions end, tokens stay. Five wrong ones, then a quarter of an hour."""
    text = who.text
    try:
        await change_password(
            who.needs,
            who.account,
            wanted.current,
            wanted.new,
            text=text,
            address=who.address,
            here=f"token {who.token.id}",
        )
    except PasswordRefused as no:
        if no.field == "wait":
            raise Problem(429, text("Refused"), no.why) from None
        raise Problem(422, text("Refused"), errors=[{"field": no.field, "why": no.why}]) from None


@router.get("/security/sessions")
async def sessions(who: Caller = allowed("security:read")) -> list[SessionOut]:
    """Where one is signed in, the last used first."""
    return [
        SessionOut(
            id=one.id,
            browser=browser_name(one.browser),
            address=one.address,
            created_at=one.created_at,
            seen_at=one.seen_at,
        )
        for one in await who.needs.accounts.sessions(who.account.name)
    ]


@router.delete("/security/sessions", status_code=204)
async def end_all(who: Caller = allowed("security:write")) -> None:
    """End all of one's sessions."""
    await who.needs.accounts.end_sessions(who.account.name, at=who.needs.clock(), address=who.address)


@router.delete("/security/sessions/{session}", status_code=204)
async def end_one(
    session: Annotated[str, Path(pattern="^[0-9a-f]{64}$")], who: Caller = allowed("security:write")
) -> None:
    """End one of one's sessions."""
    at = who.needs.clock()
    if not await who.needs.accounts.end_sessions(who.account.name, at=at, address=who.address, only=session):
        raise Problem(404, who.text("There is no such session"))


@router.get("/security/audit")
async def audit(
    limit: Annotated[int, Query(ge=1, le=500)] = 50, who: Caller = allowed("security:read")
) -> list[AuditLine]:
    """What happened to one's account lately: sign-ins, wrong passwords, tokens."""
    return [AuditLine.of(line) for line in await who.needs.accounts.audit(who.account.name, limit)]
