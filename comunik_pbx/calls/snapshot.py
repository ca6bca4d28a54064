"""What a decision is taken from: the company and the rules as they stand at one moment."""

from collections.abc import Callable

import msgspec

from comunik_pbx.forwarding.directory import Directory
from comunik_pbx.forwarding.rules import Rules


class Snapshot(msgspec.Struct, frozen=True):
    """One consistent state; a change makes a new one, so that a decision never sees half of it."""

    directory: Directory
    rules: Rules


SnapshotSource = Callable[[], Snapshot]
"""Gives the newest snapshot, at once and from memory."""
