"""What several operations give: steps and reasons of a plan, lines of the rules' history and of the audit.

Steps and reasons are those of `comunik-pbx explain --json`; keys of rare values appear only when they are not the
usual ones.
"""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field, WithJsonSchema

from comunik_pbx.accounts.account import AuditEntry
from comunik_pbx.web.needs import RuleChange

_STEP = {
    "type": "object",
    "required": ["kind"],
    "properties": {
        "kind": {"enum": ["ring", "forward", "voicemail", "end"]},
        "extension": {"type": "string", "description": "ring: whose phones"},
        "endpoints": {"type": "array", "items": {"type": "string"}, "description": "ring: which phones"},
        "rings": {"type": "integer", "description": "ring: how often"},
        "to": {"type": "string", "description": "forward: the number, E.164"},
        "trunk": {"type": "string", "description": "forward: the line"},
        "seconds": {"type": "number", "description": "ring and forward: at most so long"},
        "mailbox": {"type": "string", "description": "voicemail"},
        "greeting": {"type": "string", "description": "voicemail: unavailable or busy"},
        "cause": {"type": "integer", "description": "end: Q.850"},
        "reason": {"type": "string", "description": "why it was diverted (RFC 5806)"},
        "diverting": {"type": "string", "description": "the extension whose rule diverts it"},
    },
}
_REASON = {
    "type": "object",
    "required": ["extension", "rule", "followed", "why"],
    "properties": {
        "extension": {"type": "string"},
        "rule": {"type": "string", "description": "always, internal, external, default, …"},
        "version": {"type": "integer"},
        "followed": {"type": "boolean"},
        "why": {"type": "string", "description": "a sentence; a code if the rule was not followed: loop, off, …"},
    },
}
_RULE_COLUMNS = {
    "anyOf": [
        {
            "type": "object",
            "properties": {
                "to_kind": {"type": "string", "description": "extension, number or voicemail"},
                "to_number": {"type": ["string", "null"]},
                "rings": {"type": "integer"},
                "enabled": {"type": "boolean"},
                "until": {"type": ["string", "null"]},
            },
        },
        {"type": "null"},
    ],
    "description": "The rule as it was kept; null where there was none.",
}

Step = Annotated[dict[str, Any], WithJsonSchema(_STEP)]
Reason = Annotated[dict[str, Any], WithJsonSchema(_REASON)]
Outcome = Annotated[
    dict[str, Any],
    WithJsonSchema({"type": "object", "description": "index (from 1) of the step, status, answered_by, …"}),
]
RuleColumns = Annotated[dict[str, Any] | None, WithJsonSchema(_RULE_COLUMNS)]


class Change(BaseModel):
    """Somebody changed a rule."""

    extension: str
    kind: str
    action: str
    changed_by: str
    changed_at: datetime
    new_target: Annotated[bool, Field(description="The first to lead this extension to this outside number.")]
    before: RuleColumns
    after: RuleColumns

    @classmethod
    def of(cls, line: RuleChange) -> "Change":
        """A line of the history."""
        return cls(
            extension=line.extension,
            kind=line.kind,
            action=line.action,
            changed_by=line.changed_by,
            changed_at=line.changed_at,
            new_target=line.new_target,
            before=line.before,
            after=line.after,
        )


class AuditLine(BaseModel):
    """Something was done with an account; `action` is a stable word such as `signed in`."""

    at: datetime
    account: str
    action: str
    by: str
    address: str
    detail: str

    @classmethod
    def of(cls, line: AuditEntry) -> "AuditLine":
        """A line of the audit."""
        return cls(
            at=line.at,
            account=line.account,
            action=line.action,
            by=line.by,
            address=line.address,
            detail=line.detail,
        )


PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}
}
"""An answer that is a PNG."""
