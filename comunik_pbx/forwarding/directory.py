"""The company as the decision sees it: extensions with their endpoints and mailboxes, DIDs, trunks, limits.

Built once from the configuration (`comunik_pbx.config`) and never changed: a reload builds a new one.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec

from comunik_pbx.forwarding.numbers import NumberFormat, NumberPolicy


class BusyPolicy(StrEnum):
    """What happens to a busy or declined call while an internal or external rule is in force."""

    FORWARD = "forward"  # at once, since no ring can be heard
    BUSY = "busy"  # the caller hears busy (Q.850 cause 17)


class CallerIdPolicy(StrEnum):
    """Whose number a forwarded call shows on a trunk."""

    ORIGINAL = "original"
    FORWARDER = "forwarder"
    COMPANY = "company"


class Extension(msgspec.Struct, frozen=True, kw_only=True):
    """An extension: `endpoints` are PJSIP endpoint names that ring and count as internal, in the order given.

    `mailbox` is `box@context` of voicemail.conf or None; `did` are E.164 numbers with `+`.
    `max_outside_calls` and `max_outside_calls_per_day` bound its forwarded calls to outside; None is no bound.
    """

    number: str
    name: str = ""
    endpoints: tuple[str, ...] = ()
    mailbox: str | None = None
    did: tuple[str, ...] = ()
    busy: BusyPolicy = BusyPolicy.FORWARD
    language: str = "en"
    confirm: bool | None = None  # must who answers its forwarded calls press 1; None: as the trunk says
    outside: bool = True  # may its calls be forwarded to outside numbers at all
    max_outside_calls: int | None = None
    max_outside_calls_per_day: int | None = None


class Trunk(msgspec.Struct, frozen=True, kw_only=True):
    """A way outside. `dial` is an Asterisk dial string with `{number}`, such as `PJSIP/{number}@carrier`.

    `endpoints` are the PJSIP endpoints whose calls come from this trunk. `answer_seconds` bounds the ringing
    of a forwarded leg; `progress_seconds` is how long the trunk may show no sign of life (no ringing, no
    progress) before the next trunk is tried.
    """

    name: str
    dial: str
    endpoints: tuple[str, ...] = ()
    number_format: NumberFormat = NumberFormat.E164
    caller_id: CallerIdPolicy = CallerIdPolicy.ORIGINAL
    company_number: str | None = None
    answer_seconds: float = 60.0
    progress_seconds: float = 10.0
    confirm: bool = False
    history_info: bool = False  # History-Info (RFC 7044) beside Diversion


class Directory(msgspec.Struct, frozen=True, kw_only=True):
    """Everybody and every way outside. `extensions` by number; `trunks` in the order they are tried."""

    extensions: Mapping[str, Extension]
    trunks: tuple[Trunk, ...] = ()
    numbers: NumberPolicy = NumberPolicy(country="FR")
    default_rings: int = 6
    cycle_seconds: float = 5.0
    start_seconds: float = 10.0  # without any sign of life, after which a phone is given up
    max_hops: int = 5
    proven: Mapping[str, frozenset[str]] | None = None  # outside numbers (E.164) by extension; None: no proof needed
    by_did: Mapping[str, str] = MappingProxyType({})
    by_endpoint: Mapping[str, str] = MappingProxyType({})

    @classmethod
    def of(
        cls,
        extensions: tuple[Extension, ...] | list[Extension],
        *,
        trunks: tuple[Trunk, ...] = (),
        numbers: NumberPolicy | None = None,
        default_rings: int = 6,
        cycle_seconds: float = 5.0,
        start_seconds: float = 10.0,
        max_hops: int = 5,
    ) -> "Directory":
        """Index the extensions by number, DID and endpoint (the configuration has refused duplicates)."""
        return cls(
            extensions={e.number: e for e in extensions},
            trunks=tuple(trunks),
            numbers=numbers or NumberPolicy(country="FR"),
            default_rings=default_rings,
            cycle_seconds=cycle_seconds,
            start_seconds=start_seconds,
            max_hops=max_hops,
            by_did={did: e.number for e in extensions for did in e.did},
            by_endpoint={endpoint: e.number for e in extensions for endpoint in e.endpoints},
        )

    def allowing(self, numbers: tuple[str, ...]) -> "Directory":
        """The same with these numbers (E.164) allowed besides."""
        if not numbers:
            return self
        policy = msgspec.structs.replace(self.numbers, allow=(*self.numbers.allow, *numbers))
        return msgspec.structs.replace(self, numbers=policy)

    def proving(self, numbers: Mapping[str, frozenset[str]]) -> "Directory":
        """The same with these numbers proven besides, by extension; itself if no proof is needed."""
        if self.proven is None or not numbers:
            return self
        none: frozenset[str] = frozenset()
        both = {e: self.proven.get(e, none) | numbers.get(e, none) for e in self.proven.keys() | numbers.keys()}
        return msgspec.structs.replace(self, proven=both)

    def trusting(self) -> "Directory":
        """The same without asking for proofs: for what an administrator says."""
        return self if self.proven is None else msgspec.structs.replace(self, proven=None)

    def called(self, dialled: str) -> Extension | None:
        """The extension behind what was dialled: an extension's number or a DID in any usual writing."""
        found = self.extensions.get(dialled)
        if found is None and (owner := self.by_did.get(dialled) or self.by_did.get(self.numbers.e164(dialled) or "")):
            found = self.extensions[owner]
        return found
