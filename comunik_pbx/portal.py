"""The portal within the service: what it needs, given from the store, the snapshot and the calls."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

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
from comunik_pbx.forwarding.rules import ExtensionRules, Rule, RuleKind, Rules, ToNumber, effective
from comunik_pbx.forwarding.saving import refusal_to_save
from comunik_pbx.store import CallRow, Change, Store
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
        rules = effective(self._config().default_rules, await self._store.rules())
        directory = self.directory().trusting() if vouched else self.directory()
        if refusal := refusal_to_save(rule, directory, rules):
            return refusal
        await self._vouch(rule, by, vouched)
        await self._put(rule, by)
        return None

    async def switch(
        self, extension: str, kind: RuleKind, enabled: bool, *, by: str, vouched: bool = False
    ) -> Refusal | None:
        """Switch a rule on or off; a default of the configuration becomes the user's own."""
        stored = await self._store.rules()
        rules = effective(self._config().default_rules, stored)
        present: Rule | None = getattr(rules.get(extension, ExtensionRules()), kind)
        if present is None:
            raise KeyError(f"{extension}/{kind}")
        wanted = msgspec.structs.replace(present, enabled=enabled, locked=False)
        directory = self.directory().trusting() if vouched else self.directory()
        if (enabled or present.locked) and (refusal := refusal_to_save(wanted, directory, rules)):
            return refusal
        await self._vouch(wanted, by, vouched and enabled)
        if getattr(stored.get(extension, ExtensionRules()), kind) is None:
            await self._put(wanted, by)
        else:
            await self._store.set_enabled(extension, kind, enabled, by=by)
            await self._take_over()
        return None

    async def clear(self, extension: str, kind: RuleKind, *, by: str) -> Refusal | None:
        """Forget a user's rule; the configuration's default acts again. Raises KeyError if there is none."""
        stored, defaults = await self._store.rules(), self._config().default_rules
        if getattr(stored.get(extension, ExtensionRules()), kind) is None:
            raise KeyError(f"{extension}/{kind}")
        default: Rule | None = getattr(defaults.get(extension, ExtensionRules()), kind)
        if default is not None and not default.locked:
            its = stored[extension]
            without = {**stored, extension: msgspec.structs.replace(its, **{kind.value: None})}
            if refusal := refusal_to_save(default, self.directory(), effective(defaults, without)):
                return refusal
        await self._store.clear_rule(extension, kind, by=by)
        await self._take_over()
        return None

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

    async def _vouch(self, rule: Rule, by: str, vouched: bool) -> None:
        directory = self.directory()
        outside = isinstance(rule.to, ToNumber) and directory.called(rule.to.number) is None
        if vouched and directory.proven is not None and outside:
            await self._store.proven.add([(rule.extension, str(rule.to))], by=by, at=datetime.now(UTC))

    async def _put(self, rule: Rule, by: str) -> None:
        await self._store.set_rule(
            rule.extension,
            rule.kind,
            rule.to,
            rings=rule.rings,
            until=rule.until,
            enabled=rule.enabled,
            by=by,
        )
        await self._take_over()


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


async def serve_portal(config: Config, rules: PortalRules, store: Store, ari: AriClient) -> None:
    """Offer the portal until cancelled, where the configuration says."""
    assert config.portal.listen is not None  # noqa: S101
    async with proving(ari, rules.snapshot, rules.calls_outside, rules.prove) as proofs:
        needs = Needs(
            accounts=store.accounts,
            rules=rules,
            calls=rules,
            numbers=store.allow_list,
            phone=PortalPhone(Dialling(ari, config.portal.dial_context)) if config.portal.dial_context else None,
            proofs=PortalProofs(proofs, rules),
            clock=lambda: datetime.now(UTC),
            language=config.language,
            url=config.portal.url,
        )
        await serve(portal(needs), config.portal.listen, config.portal.trusted_proxies)
