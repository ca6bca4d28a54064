"""What is in force: the newest configuration and rules, from which the next call is decided.

    the store changed → its rules are read → a new snapshot → published plans follow
    a reload → the configuration is read, and taken over if nothing is wrong with it

What cannot be read changes nothing: what is in force stays.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import fields

import structlog

from comunik_pbx import config as configuration
from comunik_pbx.calls.snapshot import Permitted, Snapshot
from comunik_pbx.config import Config, ConfigError, Problem
from comunik_pbx.forwarding.rules import effective
from comunik_pbx.joined import Joined
from comunik_pbx.store import NewTarget, Store, StoreError, StoreReplaced

log = structlog.get_logger(__name__)

RETRY_SECONDS = 5.0
"""How often a store that could not be read is tried again."""


class InForce:
    """The configuration, and the snapshot made of it and of the store's rules. `on_change` is told of each new one.

    `read` makes the snapshot of all that was changed before it was called; at the end it is closed by `async with`.
    """

    def __init__(self, config: Config, store: Store, on_change: Callable[[], None]) -> None:
        self.config = config
        self.snapshot = Snapshot(config.directory, config.default_rules)
        self.new_targets = 0
        """Of outside numbers to which no call was forwarded before: how many were told."""
        self.read = Joined(self._take_over)
        self._store = store
        self._on_change = on_change
        self._taken: tuple[int, Config | None] = (-1, None)
        self._permitted = Permitted()
        self._told_targets: set[NewTarget] = set()

    async def follow(self) -> None:
        """Take over changes. What the store cannot tell now it may tell later. Raises StoreReplaced."""
        told = ""
        while True:
            try:
                async with aclosing(self._store.watch()) as changes:
                    async for _ in changes:
                        await self.read()
                        await self._tell_new_targets()
                        told = ""
            except StoreReplaced:
                raise
            except StoreError as error:
                if told != (why := str(error)):  # not at every attempt
                    told = why
                    log.error("the rules cannot be read: those in force stay", why=why)
            await asyncio.sleep(RETRY_SECONDS)

    async def reload(self) -> str:
        """Take a new configuration if nothing is wrong with it; else say what is. Raises StoreError."""
        try:
            config = await asyncio.to_thread(configuration.load, self.config.path)
        except ConfigError as problems:
            return str(problems)
        if changed := list(_only_by_restart(self.config, config)):
            right = "restart the service (it leaves calls alone), or put it back"
            return "\n".join(
                str(Problem(str(config.path), key, "has changed, which a reload cannot do", right)) for key in changed
            )
        self.config = config
        await self.read()
        return ""

    async def _take_over(self) -> None:
        config, before = self.config, self.snapshot.rules
        written = await self._store.rules_written()
        if self._taken[0] == written and self._taken[1] is config:
            return  # the watch tells of what the portal has changed and taken over already
        rules = effective(config.default_rules, await self._store.rules())
        allowed, proven = await self._store.allow_list.enabled(), await self._store.proven.by_extension()
        self.snapshot = Snapshot(self._permitted.directory(config.directory, allowed, proven), rules)
        self._taken = (written, config)
        self._on_change()
        changed = sorted(e for e in before.keys() | rules.keys() if before.get(e) != rules.get(e))
        log.info("rules in force", changes=written, extensions=" ".join(changed))

    async def _tell_new_targets(self) -> None:
        """Say in the log, where an admin's monitoring may react, where calls are sent that never went there before."""
        for target in (targets := await self._store.untold_targets()):
            if target in self._told_targets or self.snapshot.directory.called(target.number) is not None:
                continue
            log.warning(
                "new outside target",
                extension=target.extension,
                number=target.number,
                rule=target.kind,
                by=target.first_by,
            )
            self.new_targets += 1
        self._told_targets = set(targets)  # should the store not take it, they are not said at each change
        try:
            if targets:
                await self._store.told_targets(targets)
        except StoreError as error:
            log.warning("new outside targets may be told again after a restart", why=str(error))


def _only_by_restart(running: Config, wanted: Config) -> Iterator[str]:
    """The keys that differ and that a reload cannot take."""
    for field in fields(running.asterisk):
        if getattr(running.asterisk, field.name) != getattr(wanted.asterisk, field.name):
            yield f"asterisk.{field.name}"
    if running.store_url != wanted.store_url:
        yield "store.url"
    if running.metrics_listen != wanted.metrics_listen:
        yield "metrics.listen"
    for field in fields(running.agi):
        if getattr(running.agi, field.name) != getattr(wanted.agi, field.name):
            yield f"agi.{field.name}"
    for field in fields(running.portal):
        if getattr(running.portal, field.name) != getattr(wanted.portal, field.name):
            yield f"portal.{field.name}"
