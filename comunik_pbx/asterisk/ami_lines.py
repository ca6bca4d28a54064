"""What may stand in a header of AMI, and what a header says."""

from panoramisk.message import Message

from comunik_pbx.asterisk.errors import UnsafeValue

LONGEST_LINE = 1000
"""Bytes of a header that Asterisk reads (its buffer holds 1024); a longer one loses the whole action."""


def header(key: str, value: str) -> str:
    """One header line, as it is sent."""
    return f"{key}: {safe(key, value)}\r\n"


def safe(key: str, value: str) -> str:
    """The value as it may be sent: UTF-8 in latin-1's clothes, on one line that Asterisk can read."""
    for text in (key, value):
        if "\r" in text or "\n" in text or "\0" in text:
            raise UnsafeValue(f"{text!r} cannot be sent to AMI: a header is one line, without CR, LF or NUL")
    dressed = value if value.isascii() else value.encode().decode("latin-1")
    if len(key) + len(dressed) + 2 > LONGEST_LINE:
        raise UnsafeValue(f"{key} of {len(dressed)} bytes cannot be sent to AMI: a header has at most {LONGEST_LINE}")
    return dressed


def text(message: Message, key: str) -> str:
    """A header's value; of several the last."""
    value = message.get(key, "")
    if isinstance(value, list):
        value = value[-1]
    if value.isascii():
        return str(value)
    return str(value).encode("latin-1", "replace").decode("utf-8", "replace")
