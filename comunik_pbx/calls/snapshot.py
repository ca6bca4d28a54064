"""What a decision is taken from: the company and the rules as they stand at one moment."""

from collections.abc import Callable, Mapping

import msgspec

from comunik_pbx.forwarding.directory import Directory
from comunik_pbx.forwarding.rules import Rules


class Snapshot(msgspec.Struct, frozen=True):
    """One consistent state; a change makes a new one, so that a decision never sees half of it."""

    directory: Directory
    rules: Rules


class Permitted:
    """The configuration's directory with the outside numbers that the store permits.

    The same object as long as nothing changes, its `numbers` while no number is allowed or no longer so: whoever
    compiles plans for everybody (`WantedPlans`) sees by them that there is nothing to do.
    """

    def __init__(self) -> None:
        self._configured: Directory | None = None
        self._allowed: tuple[str, ...] = ()
        self._proven: Mapping[str, frozenset[str]] = {}
        self._allowing: Directory | None = None
        self._made: Directory | None = None

    def directory(
        self, configured: Directory, allowed: tuple[str, ...], proven: Mapping[str, frozenset[str]]
    ) -> Directory:
        """The directory with these numbers allowed, and these proven by extension."""
        if self._allowing is None or configured is not self._configured or allowed != self._allowed:
            self._allowing, self._made = configured.allowing(allowed), None
        if self._made is None or proven != self._proven:
            self._made = self._allowing.proving(proven)
        self._configured, self._allowed, self._proven = configured, allowed, proven
        return self._made


SnapshotSource = Callable[[], Snapshot]
"""Gives the newest snapshot, at once and from memory."""
