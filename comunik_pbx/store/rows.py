"""Rows as callers see them, and how a row of the database becomes one, or a complaint that says why not."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import RowMapping

from comunik_pbx.forwarding.rules import (
    MAX_RINGS,
    Destination,
    Rule,
    RuleKind,
    ToExtension,
    ToNumber,
    ToVoicemail,
)

Digits = Annotated[str, Meta(pattern=r"\A[0-9]{1,32}\Z")]
Number = Annotated[str, Meta(pattern=r"\A\+?[0-9]{1,32}\Z")]  # an extension, or E.164
Moment = Annotated[datetime, Meta(tz=True)]
Json = dict[str, Any]


class CallRow(Struct, frozen=True, kw_only=True):
    """One call record: what was decided and what came of it.

    `id` is Asterisk's UNIQUEID; a later row with the same id replaces the earlier. `plan`, `trace` and
    `outcome` are JSON lists as `explain` and the executor give them. `status` and `ended_at` are None while
    the call lasts; `cause` is Q.850.
    """

    id: Annotated[str, Meta(min_length=1)]
    started_at: Moment
    caller: str
    called: str
    origin: str
    decided: str
    ended_at: Moment | None = None
    extension: str | None = None
    plan: list[Json] = []
    trace: list[Json] = []
    outcome: list[Json] = []
    status: str | None = None
    cause: int | None = None


class Change(Struct, frozen=True, kw_only=True):
    """One line of the history: `before` and `after` are the rule's columns, None where it did not exist.

    `new_target`: it leads to an outside number that the extension had never forwarded to before.
    """

    id: int
    extension: str
    kind: str
    version: int
    action: Literal["set", "on", "off", "clear"]
    changed_by: str
    changed_at: Moment
    before: Json | None = None
    after: Json | None = None
    new_target: bool = False


class NewTarget(Struct, frozen=True, kw_only=True):
    """An outside number that an extension had never forwarded to before, and the change that was the first."""

    extension: str
    number: str
    kind: str
    version: int
    first_at: Moment
    first_by: str


class Service(Struct, frozen=True, kw_only=True):
    """The service that uses this store.

    `load_outcome` is empty if the last load of `config` went well, else says why not. `loaded_at` is
    the moment of that last load, good or bad: it changes with every `reload` obeyed.
    """

    pid: int
    process: str
    started_at: Moment
    config: str
    loaded_at: Moment
    load_outcome: str = ""

    @property
    def running(self) -> bool:
        """Whether that very process lives, not only one with its pid: only then may it be sent a signal."""
        return process_mark(self.pid) == self.process


def process_mark(pid: int) -> str | None:
    """Tell a process from any other with its pid: the boot's id and its start in clock ticks (proc(5))."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    state, start = fields[0], fields[19]
    return None if state == "Z" else f"{boot}/{start}"


class RuleRow(Struct, frozen=True, kw_only=True):
    """A row of `rules`, checked."""

    extension: Digits
    kind: RuleKind
    to_kind: Literal["extension", "number", "voicemail"]
    to_number: Number | None
    rings: Annotated[int, Meta(ge=0, le=MAX_RINGS)]
    enabled: bool
    until: Moment | None
    version: Annotated[int, Meta(ge=1)]
    changed_by: str
    changed_at: Moment

    def rule(self) -> Rule:
        """Give the rule as the decision knows it."""
        return Rule(
            extension=self.extension,
            kind=self.kind,
            to=self._to(),
            rings=self.rings,
            enabled=self.enabled,
            until=self.until,
            version=self.version,
            changed_by=self.changed_by,
            changed_at=self.changed_at,
        )

    def _to(self) -> Destination:
        if self.to_kind == "voicemail":
            return ToVoicemail()
        number = self.to_number
        if number is None or (self.to_kind == "number") != number.startswith("+"):
            raise msgspec.ValidationError(f"`{number}` is not a {self.to_kind} - at `$.to_number`")
        return ToNumber(number) if self.to_kind == "number" else ToExtension(number)


def plain(raw: RowMapping | Mapping[str, Any]) -> dict[str, Any]:
    """Name the columns by mere strings: SQLAlchemy's are of a class of its own."""
    return {str(name): value for name, value in raw.items()}


UNREADABLE = (msgspec.MsgspecError, UnicodeError, TypeError, OverflowError)


def columns_of(rule: Rule) -> dict[str, Any]:
    """Give the rule's columns. Raises UNREADABLE on what could not be read again."""
    to = rule.to
    columns = {
        "extension": rule.extension,
        "kind": rule.kind.value,
        "to_kind": "voicemail"
        if isinstance(to, ToVoicemail)
        else "number"
        if isinstance(to, ToNumber)
        else "extension",
        "to_number": None if isinstance(to, ToVoicemail) else to.number,
        "rings": rule.rings,
        "enabled": rule.enabled,
        "until": rule.until,
        "version": rule.version,
        "changed_by": rule.changed_by,
        "changed_at": rule.changed_at,
    }
    msgspec.json.decode(msgspec.json.encode(columns), type=RuleRow).rule()
    return columns


def rule_of(raw: RowMapping | Mapping[str, Any]) -> Rule:
    """Read the rule of a raw row. Raises UNREADABLE."""
    return msgspec.convert(plain(raw), RuleRow, strict=False).rule()


def checked(row: CallRow) -> dict[str, Any]:
    """Give the columns of a call record. Raises UNREADABLE on what could not be read again."""
    msgspec.json.decode(msgspec.json.encode(row), type=CallRow)
    return msgspec.structs.asdict(row)


_JSON_COLUMNS = ("plan", "trace", "outcome", "before", "after")


def call_of(raw: RowMapping | Mapping[str, Any]) -> CallRow:
    """Read the call record of a raw row. Raises UNREADABLE."""
    return msgspec.convert(_with_json(raw), CallRow, strict=False)


def change_of(raw: RowMapping | Mapping[str, Any]) -> Change:
    """Read the line of history of a raw row. Raises UNREADABLE."""
    return msgspec.convert(_with_json(raw), Change, strict=False)


def _with_json(raw: RowMapping | Mapping[str, Any]) -> dict[str, Any]:
    columns = plain(raw)
    for name in _JSON_COLUMNS:
        if isinstance(text := columns.get(name), str | bytes):
            columns[name] = msgspec.json.decode(text)
    return columns
