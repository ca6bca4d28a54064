"""A SIP message as it went over the wire, for call stories to look into (RFC 3261)."""

import re
from dataclasses import dataclass
from functools import cached_property

_COMPACT = {
    "f": "from",
    "t": "to",
    "i": "call-id",
    "m": "contact",
    "v": "via",
    "c": "content-type",
    "l": "content-length",
}


@dataclass(frozen=True)
class SipMessage:
    """One message: `at` in seconds since the epoch, `sent` by the phone itself or received, and its `text`."""

    at: float
    sent: bool
    text: str

    @cached_property
    def start_line(self) -> str:
        """`INVITE sip:101@… SIP/2.0` or `SIP/2.0 486 Busy Here`."""
        return self.text.lstrip().split("\r\n", 1)[0].split("\n", 1)[0].strip()

    @cached_property
    def method(self) -> str | None:
        """The method of a request; None for a response."""
        return None if self.status else self.start_line.split(" ", 1)[0]

    @cached_property
    def status(self) -> int | None:
        """The status of a response; None for a request."""
        match = re.match(r"SIP/2\.0 (\d{3})", self.start_line)
        return int(match[1]) if match else None

    @cached_property
    def reason(self) -> str:
        """The reason phrase of a response."""
        return self.start_line.split(" ", 2)[2] if self.status and self.start_line.count(" ") > 1 else ""

    @cached_property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """(name, value) as received, in order, names as written, folded lines unfolded."""
        head = re.split(r"\r?\n\r?\n", self.text.lstrip(), maxsplit=1)[0]
        lines = re.sub(r"\r?\n[ \t]+", " ", head).splitlines()[1:]
        return tuple((name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines))

    def header(self, name: str) -> str | None:
        """The first header of that name, whatever its case, or None."""
        return next(iter(self.all(name)), None)

    def all(self, name: str) -> list[str]:
        """Every header of that name, first to last."""
        wanted = name.lower()
        return [value for given, value in self.headers if _COMPACT.get(given.lower(), given.lower()) == wanted]

    @property
    def body(self) -> str:
        """What comes after the headers, SDP mostly."""
        parts = re.split(r"\r?\n\r?\n", self.text.lstrip(), maxsplit=1)
        return parts[1] if len(parts) > 1 else ""

    @property
    def call_id(self) -> str:
        """Call-ID, the name of the dialog for us."""
        return self.header("Call-ID") or ""

    @property
    def for_method(self) -> str:
        """The method in CSeq: which request a response answers."""
        return (self.header("CSeq") or " ").split()[-1]

    @property
    def uri_user(self) -> str:
        """The user part of the request's URI: what was dialled."""
        match = re.match(r"\w+ sips?:([^@;>\s]+)@", self.start_line)
        return match[1] if match else ""

    def user_of(self, name: str) -> str | None:
        """The user part of the URI in a header such as From, P-Asserted-Identity or Diversion; None without one."""
        match = re.search(r"sips?:([^@;>\s]+)@", self.header(name) or "")
        return match[1] if match else None

    @property
    def cause(self) -> int | None:
        """The Q.850 cause in a Reason header (RFC 3326), or None."""
        for reason in self.all("Reason"):
            if match := re.search(r"Q\.850\s*;\s*cause=(\d+)", reason, re.IGNORECASE):
                return int(match[1])
        return None
