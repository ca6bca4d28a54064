"""The portal within the service: what it needs, given from the store, the snapshot and the calls."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from comunik_pbx.accounts.account import ProvenNumber
from comunik_pbx.asterisk.ari import AriClient
from comunik_pbx.asterisk.errors import AsteriskError
from comunik_pbx.calls.dialling import Dialling, NoPhone
from comunik_pbx.calls.proving import Proving, proving
from comunik_pbx.calls.records import Records
from comunik_pbx.calls.snapshot import SnapshotSource
from comunik_pbx.calls.usage import ForwardUsage
from comunik_pbx.config import Config
from comunik_pbx.forwarding.directory import Directory, Extension
from comunik_pbx.forwarding.plan import Usage
from comunik_pbx.forwarding.refusals import Refusal
from comunik_pbx.forwarding.rules import Rule, RuleKind, Rules
from comunik_pbx.store import CallRow, Change, Store, StoreError
from comunik_pbx.store.checked_rules import CheckedRules
from comunik_pbx.web.app import portal
from comunik_pbx.web.needs import Needs, PhoneMissing, Unavailable
from comunik_pbx.web.serving import serve


class PortalRules:
    """Rules for the portal: changed in the store, and in force before it is said so."""

    def __init__(
        self,
        store: Store,
        config: Callable[[], Config],
        snapshot: SnapshotSource,
        records: Records,
        take_over: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = store
        self._config = config
        self._snapshot = snapshot
        self._records = records
        self._take_over = take_over

    def directory(self) -> Directory:
        """The company as the newest configuration says."""
        return self._snapshot().directory

    @property
    def snapshot(self) -> SnapshotSource:
        """Where decisions are taken from."""
        return self._snapshot

    @property
    def calls_outside(self) -> ForwardUsage:
        """Where calls to outside are counted."""
        return self._records.usage

    def usage(self, now: datetime) -> Mapping[str, Usage]:
        """Forwarded calls to outside, by extension."""
        return self._records.usage.at(now)

    def files(self) -> Sequence[str]:
        """The files of the configuration."""
        return [str(file) for file in self._config().files]

    def file_of(self, *key: str) -> str:
        """The file of the configuration that gives a key, or the nearest table above it."""
        return str(self._config().file_of(key))

    async def in_force(self) -> Rules:
        """The rules as the next call meets them."""
        return self._snapshot().rules

    async def save(self, rule: Rule, *, by: str, vouched: bool = False) -> Refusal | None:
        """Set a rule, or say why not."""
        return await self._changed(self._checked(vouched).save(rule, by=by))

    async def switch(
        self, extension: str, kind: RuleKind, enabled: bool, *, by: str, vouched: bool = False
    ) -> Refusal | None:
        """Switch a rule on or off; a default of the configuration becomes the user's own."""
        return await self._changed(self._checked(vouched).switch(extension, kind, enabled, by=by))

    async def clear(self, extension: str, kind: RuleKind, *, by: str) -> Refusal | None:
        """Forget a user's rule; the configuration's default acts again. Raises KeyError if there is none."""
        return await self._changed(self._checked().clear(extension, kind, by=by))

    async def history(self, extension: str | None, limit: int) -> list[Change]:
        """Who changed which rule when."""
        return await self._store.history(extension, limit)

    async def calls(self, limit: int = 50, extension: str | None = None) -> list[CallRow]:
        """The newest calls first."""
        return await self._store.calls(limit, extension)

    async def proven(self, extension: str) -> list[ProvenNumber]:
        """The outside numbers that an extension has proven."""
        return await self._store.proven.all(extension)

    async def prove(self, extension: str, number: str, by: str) -> None:
        """Keep a number as proven."""
        await self._store.proven.add([(extension, number)], by=by, at=datetime.now(UTC))
        await self._take_over()

    def _checked(self, vouched: bool = False) -> CheckedRules:
        return self._store.checked(self.directory(), self._config().default_rules, vouched=vouched)

    async def _changed(self, change: Awaitable[Refusal | None]) -> Refusal | None:
        """Make a change, and have the next call meet it."""
        refusal = await change
        if refusal is None:
            await self._take_over()
        return refusal


class PortalPhone:
    """The keypad's calls."""

    def __init__(self, dialling: Dialling) -> None:
        self._dialling = dialling

    async def call(self, extension: Extension, number: str) -> None:
        """Ring the extension's own phone, then dial. Raises PhoneMissing and Unavailable."""
        try:
            await self._dialling.call(extension, number)
        except NoPhone as error:
            raise PhoneMissing from error
        except AsteriskError as error:
            raise Unavailable(str(error)) from error

    async def progress(self, extension: str) -> AsyncGenerator[str, None]:
        """How the extension's call goes."""
        try:
            async for state in self._dialling.progress(extension):
                yield state
        except AsteriskError as error:
            raise Unavailable(str(error)) from error

    async def hang_up(self, extension: str) -> bool:
        """End the extension's call."""
        try:
            return await self._dialling.hang_up(extension)
        except AsteriskError as error:
            raise Unavailable(str(error)) from error


class PortalProofs:
    """Proofs of outside numbers."""

    def __init__(self, proving: Proving, rules: PortalRules) -> None:
        self._proving = proving
        self._rules = rules

    async def proven(self, extension: str) -> list[ProvenNumber]:
        """What an extension has proven so far."""
        return await self._rules.proven(extension)

    def call(self, extension: Extension, number: str, *, by: str) -> Refusal | None:
        """Have a number called."""
        return self._proving.call(extension, number, by)

    def progress(self, extension: str, number: str) -> str | None:
        """How that goes."""
        return self._proving.progress(extension, number)

    async def confirm(self, extension: str, number: str, code: str, *, by: str) -> Refusal | None:
        """Take the code that was heard."""
        return await self._proving.confirm(extension, number, code, by)


async def serve_portal(config: Config, rules: PortalRules, store: Store, ari: AriClient | None) -> None:
    """Offer the portal until cancelled, where the configuration says.

    Without ARI nothing is called: the keypad says so, and numbers are proven by an administrator's word alone.
    """
    assert config.portal.listen is not None  # noqa: S101
    async with AsyncExitStack() as stack:
        proofs = None
        if ari is not None:
            proofs = await stack.enter_async_context(proving(ari, rules.snapshot, rules.calls_outside, rules.prove))
        dial_context = config.portal.dial_context
        needs = Needs(
            accounts=store.accounts,
            rules=rules,
            calls=rules,
            numbers=store.allow_list,
            phone=PortalPhone(Dialling(ari, dial_context)) if ari and dial_context else None,
            proofs=None if proofs is None else PortalProofs(proofs, rules),
            clock=lambda: datetime.now(UTC),
            language=config.language,
            url=config.portal.url,
            failures=(StoreError,),
        )
        await serve(portal(needs), config.portal.listen, config.portal.trusted_proxies)
