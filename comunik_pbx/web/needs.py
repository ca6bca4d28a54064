"""What the portal asks of the rest of the program. The service gives it (`comunik_pbx.portal`)."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from comunik_pbx.accounts.account import (
    Account,
    AllowedNumber,
    AuditEntry,
    Profile,
    ProvenNumber,
    Session,
    Theme,
    Token,
)
from comunik_pbx.accounts.sign_in_limits import SignInLimits
from comunik_pbx.forwarding.directory import Directory, Extension
from comunik_pbx.forwarding.plan import Usage
from comunik_pbx.forwarding.refusals import Refusal
from comunik_pbx.forwarding.rules import Rule, RuleKind, Rules


class Unavailable(Exception):
    """What was asked cannot be done now, by no fault of who asks: the store is locked, Asterisk is away."""


class PhoneMissing(Exception):
    """None of an extension's phones is there to be called."""


class AccountBook(Protocol):
    """Accounts and all that belongs to them. Secrets go in as they are; what is kept of them is not our concern."""

    async def account(self, name: str) -> Account | None: ...  # noqa: D102
    async def all(self) -> list[Account]: ...  # noqa: D102
    async def invited(self, secret: str, now: datetime) -> Account | None: ...  # noqa: D102
    async def accept(  # noqa: D102
        self, secret: str, password_hash: str, *, at: datetime, address: str
    ) -> Account | None: ...
    async def set_password(  # noqa: D102
        self,
        name: str,
        password_hash: str,
        *,
        at: datetime,
        address: str,
        keep: str | None = None,
        was: str | None = None,
    ) -> bool: ...
    async def set_password_hash(self, name: str, password_hash: str, *, was: str) -> None: ...  # noqa: D102
    async def set_preferences(self, name: str, language: str | None, theme: Theme) -> None: ...  # noqa: D102
    async def begin_session(  # noqa: D102
        self, session: Session, *, password_hash: str | None = None, instead: str = ""
    ) -> bool: ...
    async def session(self, session_id: str) -> tuple[Session, Account] | None: ...  # noqa: D102
    async def sessions(self, name: str) -> list[Session]: ...  # noqa: D102
    async def seen(self, session_id: str, at: datetime, address: str) -> None: ...  # noqa: D102
    async def end_sessions(  # noqa: D102
        self, name: str, *, at: datetime, address: str, only: str = "", keep: str = ""
    ) -> int: ...
    async def profile(self, name: str) -> Profile: ...  # noqa: D102
    async def profiles(self) -> dict[str, Profile]: ...  # noqa: D102
    async def set_profile(self, name: str, profile: Profile) -> None: ...  # noqa: D102
    async def set_photo(self, name: str, png: bytes | None) -> None: ...  # noqa: D102
    async def photo(self, name: str) -> bytes | None: ...  # noqa: D102
    async def token(self, secret: str) -> tuple[Token, Account] | None: ...  # noqa: D102
    async def token_used(self, token_id: str, at: datetime) -> None: ...  # noqa: D102
    async def note(  # noqa: D102
        self, account: str, action: str, *, by: str, at: datetime, address: str = "", detail: str = ""
    ) -> None: ...
    async def audit(self, account: str | None = None, limit: int = 50) -> list[AuditEntry]: ...  # noqa: D102


class RuleChange(Protocol):
    """A line of the rules' history; `before` and `after` are the rule's columns, None where there was none."""

    @property
    def extension(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def action(self) -> str: ...  # noqa: D102
    @property
    def changed_by(self) -> str: ...  # noqa: D102
    @property
    def changed_at(self) -> datetime: ...  # noqa: D102
    @property
    def before(self) -> dict[str, Any] | None: ...  # noqa: D102
    @property
    def after(self) -> dict[str, Any] | None: ...  # noqa: D102
    @property
    def new_target(self) -> bool:
        """It leads to an outside number that the extension had never forwarded to before."""


class RuleBook(Protocol):
    """The rules in force. A change is in force for the next call when its method returns."""

    def directory(self) -> Directory:
        """The company as the newest configuration says."""

    def usage(self, now: datetime) -> Mapping[str, Usage]:
        """Forwarded calls to outside, by extension, as the decision counts them."""

    async def in_force(self) -> Rules:
        """The users' rules and the configuration's defaults, as the next call meets them."""

    async def save(self, rule: Rule, *, by: str, vouched: bool = False) -> Refusal | None:
        """Set a rule, or say why not. `vouched` by an administrator, an outside number needs no other proof."""

    async def switch(
        self, extension: str, kind: RuleKind, enabled: bool, *, by: str, vouched: bool = False
    ) -> Refusal | None:
        """Switch a rule on or off, keeping its number; or say why not. Raises KeyError if there is none."""

    async def clear(self, extension: str, kind: RuleKind, *, by: str) -> Refusal | None:
        """Forget a rule, or say why not. Raises KeyError if there is none."""

    async def history(self, extension: str | None, limit: int) -> Sequence[RuleChange]:
        """Who changed which rule when, newest first."""

    def files(self) -> Sequence[str]:
        """The files of the configuration, the main one first."""

    def file_of(self, *key: str) -> str:
        """The file of the configuration that gives a key, or the nearest table above it."""


class NumberList(Protocol):
    """The outside numbers that administrators allow besides those of the configuration."""

    async def all(self) -> list[AllowedNumber]: ...  # noqa: D102
    async def put(self, one: AllowedNumber) -> None: ...  # noqa: D102
    async def remove(self, number: str, *, by: str, at: datetime) -> bool: ...  # noqa: D102


class NumberProofs(Protocol):
    """Proofs that outside numbers (E.164) are their users' own, where the configuration asks for them."""

    async def proven(self, extension: str) -> list[ProvenNumber]:
        """What an extension has proven so far."""

    def call(self, extension: Extension, number: str, *, by: str) -> Refusal | None:
        """Have the system call a number and say a code there; or say why not."""

    def progress(self, extension: str, number: str) -> str | None:
        """How that goes: calling, ringing, asked, said, unanswered, unheard, failed; None if no code is awaited."""

    async def confirm(self, extension: str, number: str, code: str, *, by: str) -> Refusal | None:
        """Take the code that was heard; or say why not."""


class CallLine(Protocol):
    """A call's record, as the store keeps it."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def started_at(self) -> datetime: ...  # noqa: D102
    @property
    def ended_at(self) -> datetime | None: ...  # noqa: D102
    @property
    def caller(self) -> str: ...  # noqa: D102
    @property
    def called(self) -> str: ...  # noqa: D102
    @property
    def extension(self) -> str | None: ...  # noqa: D102
    @property
    def origin(self) -> str: ...  # noqa: D102
    @property
    def decided(self) -> str: ...  # noqa: D102
    @property
    def plan(self) -> list[dict[str, Any]]: ...  # noqa: D102
    @property
    def trace(self) -> list[dict[str, Any]]: ...  # noqa: D102
    @property
    def outcome(self) -> list[dict[str, Any]]: ...  # noqa: D102
    @property
    def status(self) -> str | None: ...  # noqa: D102
    @property
    def cause(self) -> int | None: ...  # noqa: D102


class CallBook(Protocol):
    """The records of calls."""

    async def calls(self, limit: int = 50, extension: str | None = None) -> Sequence[CallLine]:
        """The newest calls first, those in progress among them (`ended_at` None)."""


class Phone(Protocol):
    """Calls begun for somebody: his own phone rings first. Every method may raise Unavailable."""

    async def call(self, extension: Extension, number: str) -> None:
        """Ring the extension's phone, then dial. Raises PhoneMissing."""

    def progress(self, extension: str) -> AsyncGenerator[str, None]:
        """How the call goes: `phone`, `dialling`, `talking`, then `ended` or `unanswered`."""

    async def hang_up(self, extension: str) -> bool:
        """End the call. False if there is none."""


@dataclass(frozen=True)
class Needs:
    """All of it. `clock` gives the moment, aware; `url` is what people type, without a slash at its end.

    `failures` are the errors by which these say, besides Unavailable, that something cannot be done now.
    """

    accounts: AccountBook
    rules: RuleBook
    calls: CallBook
    numbers: NumberList
    clock: Callable[[], datetime]
    phone: Phone | None = None
    proofs: NumberProofs | None = None
    language: str = "en"
    url: str = ""
    failures: tuple[type[Exception], ...] = ()
    limits: SignInLimits = field(default_factory=SignInLimits)
