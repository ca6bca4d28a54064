"""The events of ARI that we read, and how: only the fields we use, so that no new field or event breaks the stream.

`Connected` and `Disconnected` are ours: the stream says when it was (re)opened and lost, since events in between
are gone for good (Asterisk does not replay them) and the reader has to reconcile.
"""

from typing import Annotated

import msgspec


class CallerId(msgspec.Struct, frozen=True):
    """ARI CallerID: as the network gave it, empty if there is none."""

    number: str = ""
    name: str = ""


class DialplanPlace(msgspec.Struct, frozen=True):
    """ARI DialplanCEP: where the channel is; `app_data` are the arguments of the application it is in."""

    context: str = ""
    exten: str = ""
    app_name: str = ""
    app_data: str = ""


class Channel(msgspec.Struct, frozen=True):
    """ARI Channel. `id` is the channel's UNIQUEID."""

    id: Annotated[str, msgspec.Meta(min_length=1)]
    name: str = ""
    state: str = ""
    caller: CallerId = CallerId()
    dialplan: DialplanPlace = DialplanPlace()


class StasisStart(msgspec.Struct, frozen=True, tag_field="type", tag="StasisStart"):
    """A channel entered the application; `args` are those given to Stasis() after its name."""

    channel: Channel
    args: list[str] = []


class ApplicationReplacedEvent(msgspec.Struct, frozen=True, tag_field="type", tag="ApplicationReplaced"):
    """Another connection has taken the application; this one gets nothing more."""

    application: str = ""


class Connected(msgspec.Struct, frozen=True):
    """The stream is open (again). What happened before it is lost: look at what stands now."""


class Disconnected(msgspec.Struct, frozen=True):
    """The stream is lost, or could not be opened; the next attempt is in `retry_seconds`."""

    error: Exception
    retry_seconds: float


class Unreadable(msgspec.Struct, frozen=True):
    """An event of a kind that we read but not as we know it; the stream goes on."""

    kind: str
    why: str


Event = StasisStart | ApplicationReplacedEvent | Connected | Disconnected | Unreadable


class _Head(msgspec.Struct, frozen=True):
    type: str


_head = msgspec.json.Decoder(_Head)
_READ: dict[str, type[StasisStart | ApplicationReplacedEvent]] = {
    "StasisStart": StasisStart,
    "ApplicationReplaced": ApplicationReplacedEvent,
}
_event = msgspec.json.Decoder(StasisStart | ApplicationReplacedEvent)
EVENTS_READ = tuple(_READ)
"""The kinds of event that are read: what the application's event filter lets through."""


def read_event(text: str | bytes) -> Event | None:
    """The event in one websocket message; None if it is of a kind that we do not read. Never raises."""
    try:
        return _event.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        why = str(error)
    try:
        kind = _head.decode(text).type
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        kind = "?"
    return None if kind != "?" and kind not in _READ else Unreadable(kind, why)
