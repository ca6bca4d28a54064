"""What users ask for: per extension three rules (always, internal, external), each with a destination."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from comunik_pbx.forwarding.call import Origin

MAX_RINGS = 12


class RuleKind(StrEnum):
    """Which calls a rule is for: all of them without ringing, or those of one origin after N rings."""

    ALWAYS = "always"
    INTERNAL = "internal"
    EXTERNAL = "external"


class ToExtension(msgspec.Struct, frozen=True, tag="extension"):
    """Another extension, obeying its own rules."""

    number: str

    def __str__(self) -> str:
        """As people write it: `102`."""
        return self.number


class ToNumber(msgspec.Struct, frozen=True, tag="number"):
    """An outside number, E.164 with `+`."""

    number: str

    def __str__(self) -> str:
        """As stored: `+33612345678`."""
        return self.number


class ToVoicemail(msgspec.Struct, frozen=True, tag="voicemail"):
    """One's own voicemail."""

    def __str__(self) -> str:
        """As people write it: `voicemail`."""
        return "voicemail"


Destination = ToExtension | ToNumber | ToVoicemail


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule of one extension.

    `rings` is 0 to 12 and meaningless for always. `until` is an aware datetime from which the rule no longer
    acts, None for no end. `enabled` off keeps the destination. `version` counts the rule's changes, from 1; 0
    is a default of the configuration, and `locked` means that the configuration forbids another.
    `id` names the rule in traces: `101/always`.
    """

    extension: str
    kind: RuleKind
    to: Destination
    rings: int = 0
    enabled: bool = True
    until: datetime | None = None
    version: int = 0
    changed_by: str = "config"
    changed_at: datetime | None = None
    locked: bool = False

    @property
    def id(self) -> str:
        """The rule's name in traces and records, such as `101/always`."""
        return f"{self.extension}/{self.kind}"

    def expired(self, now: datetime) -> bool:
        """Whether the rule's `until` has come."""
        return self.until is not None and now >= self.until


class ExtensionRules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of one extension, each present or not."""

    always: Rule | None = None
    internal: Rule | None = None
    external: Rule | None = None

    def of_origin(self, origin: Origin) -> Rule | None:
        """The conditional rule for calls of this origin."""
        return self.internal if origin is Origin.INTERNAL else self.external


Rules = Mapping[str, ExtensionRules]
"""The rules in force, by extension number; an extension without rules may be missing."""


def outside_numbers(rules: Rules) -> dict[str, frozenset[str]]:
    """The outside numbers that rules lead to, by extension; also of rules that are off."""
    found = {}
    for extension, its in rules.items():
        to = (rule.to for rule in (its.always, its.internal, its.external) if rule is not None)
        if numbers := frozenset(one.number for one in to if isinstance(one, ToNumber)):
            found[extension] = numbers
    return found


def effective(defaults: Rules, stored: Rules) -> Rules:
    """The rules in force: a user's own rule wins over the configuration's default unless that is locked."""
    merged: dict[str, ExtensionRules] = dict(defaults)
    for extension, own in stored.items():
        default = defaults.get(extension)
        merged[extension] = (
            own
            if default is None
            else ExtensionRules(
                always=_wins(default.always, own.always),
                internal=_wins(default.internal, own.internal),
                external=_wins(default.external, own.external),
            )
        )
    return merged


def of_kind(rules: Rules, extension: str, kind: RuleKind) -> Rule | None:
    """One rule, if there is one."""
    its = rules.get(extension)
    rule: Rule | None = getattr(its, kind.value) if its is not None else None
    return rule


def with_rule(rules: Rules, rule: Rule) -> Rules:
    """The rules with one set, whatever was there."""
    its = rules.get(rule.extension, ExtensionRules())
    return {**rules, rule.extension: msgspec.structs.replace(its, **{rule.kind.value: rule})}


def _wins(default: Rule | None, own: Rule | None) -> Rule | None:
    return default if own is None or (default is not None and default.locked) else own
