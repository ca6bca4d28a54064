"""What AstDB should hold, kept from one snapshot to the next: only what a change touches is compiled again.

No I/O. The long parts are generators that do a little at each step, for whoever must let others have their turn.
"""

from collections.abc import Generator, Iterator, Mapping
from datetime import datetime
from itertools import chain

import structlog

from comunik_pbx.asterisk.plan_encoding import NotAPlan
from comunik_pbx.calls.fallback_plans import FallbackPlans, addresses, fallback_plans
from comunik_pbx.calls.snapshot import Snapshot
from comunik_pbx.forwarding.directory import Directory
from comunik_pbx.forwarding.rules import Rules

log = structlog.get_logger(__name__)

Change = tuple[str, str | None]
"""A key and its new value, None to delete it."""


class WantedPlans:
    """The wanted `entries` by key; a key always stands after those its value points at."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}
        self._directory: Directory | None = None
        self._rules: Rules = {}
        self._plans: dict[str, FallbackPlans] = {}
        self._addresses: dict[str, str] = {}
        self._touched: dict[str, None] = {}  # in order, since the last differences

    def follow(self, snapshot: Snapshot, now: datetime) -> Iterator[None]:
        """Bring `entries` up to a snapshot and a moment, a little at each step."""
        directory, rules = snapshot.directory, snapshot.rules
        before = self._directory
        if before is not None and directory.extensions is before.extensions and directory.numbers is before.numbers:
            proofs = _changed_proofs(before, directory) if directory is not before else set()
            affected = yield from self._affected(rules, now, proofs)
        else:
            affected = list(directory.extensions)
            for extension in self._plans.keys() - directory.extensions.keys():
                self._replace(self._plans.pop(extension).entries, {})
            its_addresses: dict[str, str] = {}
            for key, value in addresses(directory):
                its_addresses[key] = value
                yield
            self._replace(self._addresses, its_addresses)
            self._addresses = its_addresses
        for extension in affected:
            try:
                plans = fallback_plans(extension, directory, rules, now)
            except NotAPlan as error:
                # Only this extension's calls then go by default-plans.conf.
                log.error("a fallback plan cannot be published", extension=extension, why=str(error))
                plans = FallbackPlans({}, frozenset({extension}), None)
            old = self._plans.get(extension)
            self._replace(old.entries if old else {}, plans.entries)
            self._plans[extension] = plans
            yield
        self._directory, self._rules = directory, rules

    def _affected(self, rules: Rules, now: datetime, changed: set[str]) -> Generator[None, None, list[str]]:
        """The extensions to compile again, as the generator's return value; `changed` are known to differ."""
        for extension in self._rules.keys() | rules.keys():
            if rules.get(extension) != self._rules.get(extension):
                changed.add(extension)
            yield
        affected: list[str] = []
        for extension, plans in self._plans.items():
            ended = plans.until is not None and plans.until <= now
            if ended or not plans.consulted.isdisjoint(changed):
                affected.append(extension)
            yield
        return affected

    def _replace(self, old: Mapping[str, str], new: Mapping[str, str]) -> None:
        for key in old:
            if key not in new:
                del self.entries[key]
                self._touched[key] = None
        for key, value in new.items():
            if self.entries.pop(key, None) != value:
                self._touched.pop(key, None)
                self._touched[key] = None
            self.entries[key] = value

    def differences(self, stored: Mapping[str, str], *, everywhere: bool) -> Iterator[Change | None]:
        """What must be written so that `stored` becomes `entries`; None at steps without a difference.

        First what is new, then what goes, so that there is a plan at every moment. Looks only at what was touched
        since the last time, or `everywhere`.
        """
        touched, self._touched = self._touched, {}
        keys = chain(self.entries, stored.keys() - self.entries.keys()) if everywhere else touched
        goes: list[str] = []
        for key in list(keys):
            wanted = self.entries.get(key)
            if wanted is None:
                goes.append(key)
                yield None
            else:
                yield (key, wanted) if stored.get(key) != wanted else None
        for key in goes:
            yield (key, None) if key in stored else None


def _changed_proofs(before: Directory, now: Directory) -> set[str]:
    """The extensions of which other outside numbers are proven than before."""
    old, new = before.proven or {}, now.proven or {}
    return {extension for extension in old.keys() | new.keys() if old.get(extension) != new.get(extension)}
