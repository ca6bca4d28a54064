"""A call as the decision sees it: who calls, from inside or outside, and what was dialled."""

from enum import StrEnum

import msgspec


class Origin(StrEnum):
    """Where the caller stands; kept along chains, transfers and 302 hops."""

    INTERNAL = "internal"
    EXTERNAL = "external"


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls.

    `extension` is set only when the calling channel belongs to an endpoint of that extension, never because
    of a caller id, which can be forged. `number` is what the network claims: E.164 with `+` where it could be
    read as a telephone number, else as received, `None` when there is none. `withheld` is true when the
    caller asked that the number not be shown (RFC 3323 Privacy: id); `number` may still be known then.
    """

    extension: str | None = None
    number: str | None = None
    withheld: bool = False

    @property
    def origin(self) -> Origin:
        """Internal if the caller is one of our extensions; everything else is external."""
        return Origin.EXTERNAL if self.extension is None else Origin.INTERNAL

    def __str__(self) -> str:
        """The caller as records and `explain` name it: an extension, a number or `anonymous`."""
        return self.extension or (not self.withheld and self.number) or "anonymous"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One incoming call: `called` is the extension or DID as dialled.

    `diverted_by` are the numbers in its Diversion headers (RFC 5806), digits and `+`, newest first: among them our
    own DIDs if we forwarded this call ourselves and it came back. `passed` are the extensions and DIDs it has been
    to at this PBX already, oldest first: a phone's 302 begins a call anew. `sent_by` is the extension whose phone sent
    the call to `called` so, None if none did. `repeats` is how many calls of the same outside number to the same
    extension are being forwarded outside, begun a moment ago: one call, it may be, that goes round by a carrier which
    takes Diversion headers away.
    """

    caller: Caller
    called: str
    diverted_by: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    sent_by: str | None = None
    repeats: int = 0
