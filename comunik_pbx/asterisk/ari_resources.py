"""The operations of ARI that we use, by resource, with their messages: only the fields we read.

Names are Asterisk's own (rest-api/api-docs), and ari-py's: `client.channels.continue_(…)`.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Protocol, TypeVar
from urllib.parse import quote

import msgspec

from comunik_pbx.asterisk.ari_events import Channel
from comunik_pbx.asterisk.errors import AriError, ChannelGone

T = TypeVar("T")


class Commands(Protocol):
    """What carries operations out: `AriClient`, where they are described."""

    async def request(self, method: str, path: str, data: bytes | None = None) -> bytes:
        """One operation: the body of the answer."""
        ...

    async def pipeline(self, *operations: tuple[str, str, bytes]) -> list[bytes]:
        """Several in one write: the bodies of the answers."""
        ...

    def begin(self, method: str, path: str, told: Callable[[AriError | None], None]) -> bool:
        """One that no task waits for; False if that cannot be."""
        ...


class AsteriskSystem(msgspec.Struct, frozen=True):
    """ARI SystemInfo."""

    version: str
    entity_id: str = ""


class AsteriskInfo(msgspec.Struct, frozen=True):
    """ARI AsteriskInfo, of which only `system` is asked for."""

    system: AsteriskSystem


class Module(msgspec.Struct, frozen=True):
    """ARI Module, such as `app_dial.so`."""

    name: str
    status: str = ""


class Application(msgspec.Struct, frozen=True):
    """ARI Application: what the application is subscribed to."""

    name: str
    channel_ids: list[str] = []


class _Variable(msgspec.Struct, frozen=True):
    variable: str
    value: str


class _Endpoint(msgspec.Struct, frozen=True):
    state: str = ""
    channel_ids: list[str] = []


class _Value(msgspec.Struct, frozen=True):
    value: str = ""


_encode = msgspec.json.Encoder().encode
_info = msgspec.json.Decoder(AsteriskInfo)
_modules = msgspec.json.Decoder(list[Module])
_application = msgspec.json.Decoder(Application)
_channel = msgspec.json.Decoder(Channel)
_channels = msgspec.json.Decoder(list[Channel])
_endpoint = msgspec.json.Decoder(_Endpoint)
_value = msgspec.json.Decoder(_Value)


class Asterisk:
    """ARI resource asterisk."""

    def __init__(self, client: Commands) -> None:
        self._client = client

    async def ping(self) -> None:
        """GET /asterisk/ping, by the way commands about calls take."""
        await self._client.pipeline(("GET", "/asterisk/ping", b""))

    async def info(self) -> AsteriskInfo:
        """GET /asterisk/info?only=system."""
        return _read(_info, await self._client.request("GET", "/asterisk/info?only=system"))

    async def set_variable(self, variable: str, value: str) -> None:
        """POST /asterisk/variable: a global variable."""
        await self._client.pipeline(("POST", "/asterisk/variable", _encode(_Variable(variable, value))))

    async def modules(self) -> frozenset[str]:
        """GET /asterisk/modules: the names of those that run, such as `app_dial.so`."""
        found = _read(_modules, await self._client.request("GET", "/asterisk/modules"))
        return frozenset(module.name for module in found if module.status == "Running")


class Applications:
    """ARI resource applications."""

    def __init__(self, client: Commands) -> None:
        self._client = client

    async def get(self, name: str) -> Application:
        """GET /applications/{name}."""
        return _read(_application, await self._client.request("GET", f"/applications/{quote(name, safe='')}"))

    async def filter_events(self, name: str, allowed: tuple[str, ...]) -> None:
        """PUT /applications/{name}/eventFilter: let only these kinds through (the filter dies with Asterisk)."""
        wanted = _encode({"allowed": [{"type": kind} for kind in allowed]})
        await self._client.request("PUT", f"/applications/{quote(name, safe='')}/eventFilter", wanted)


class Endpoints:
    """ARI resource endpoints."""

    def __init__(self, client: Commands) -> None:
        self._client = client

    async def online(self, endpoint: str) -> bool:
        """GET /endpoints/PJSIP/{resource}: whether a phone is there. False for an endpoint Asterisk does not know."""
        try:
            body = await self._client.request("GET", f"/endpoints/PJSIP/{quote(endpoint, safe='')}")
        except AriError as error:
            if type(error) is AriError:  # 404
                return False
            raise
        return _read(_endpoint, body).state == "online"

    async def channels(self, endpoint: str) -> list[str]:
        """GET /endpoints/PJSIP/{resource}: the ids of the channels to and from a phone; none if it is not known."""
        try:
            (body,) = await self._client.pipeline(("GET", f"/endpoints/PJSIP/{quote(endpoint, safe='')}", b""))
        except AriError as error:
            if type(error) is AriError and "HTTP 404" in str(error):
                return []
            raise
        return _read(_endpoint, body).channel_ids


class Channels:
    """ARI resource channels. Operations on a channel raise ChannelGone and ChannelNotInStasis."""

    def __init__(self, client: Commands) -> None:
        self._client = client

    async def list(self) -> list[Channel]:
        """GET /channels: all of Asterisk's channels, ours or not."""
        return _read(_channels, await self._client.request("GET", "/channels"))

    async def get(self, channel_id: str) -> Channel:
        """GET /channels/{channelId}."""
        (body,) = await self._client.pipeline(("GET", f"/channels/{quote(channel_id, safe='')}", b""))
        return _read(_channel, body)

    async def originate(
        self,
        endpoint: str,
        channel_id: str,
        *,
        context: str,
        extension: str,
        caller_id: str,
        ring_seconds: int,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """POST /channels: ring an endpoint (`PJSIP/101`) for `ring_seconds`; who answers goes into the dialplan.

        `channel_id` is ours to choose; `variables` are set on the channel. Raises AriError if the endpoint cannot be
        called.
        """
        wanted = {
            "endpoint": endpoint,
            "context": context,
            "extension": extension,
            "priority": 1,
            "callerId": caller_id,
            "timeout": ring_seconds,
            "variables": dict(variables or {}),
        }
        await self._client.request("POST", f"/channels/{quote(channel_id, safe='')}", _encode(wanted))

    async def variable(self, channel_id: str, name: str) -> str:
        """GET /channels/{channelId}/variable, empty if it is not set. Raises ChannelGone."""
        path = f"/channels/{quote(channel_id, safe='')}/variable?variable={quote(name, safe='')}"
        try:
            return _read(_value, await self._client.request("GET", path)).value
        except ChannelGone:
            await self.get(channel_id)  # 404 says both: no such channel, no such variable
            return ""

    async def evaluated(self, channel_id: str, function: str) -> str:
        """GET /channels/{channelId}/variable of a dialplan function, `EVAL(…)`. Raises ChannelGone."""
        path = f"/channels/{quote(channel_id, safe='')}/variable?variable={_quoted(function)}"
        (body,) = await self._client.pipeline(("GET", path, b""))
        return _read(_value, body).value

    async def continue_(
        self, channel_id: str, *, context: str = "", extension: str = "", priority: int | None = None
    ) -> None:
        """POST /channels/{channelId}/continue: leave Stasis into the dialplan; nothing given: the next priority."""
        where = _place(context, extension, priority) if priority is not None else ""
        await self._client.pipeline(("POST", f"/channels/{quote(channel_id, safe='')}/continue{where}", b""))

    def begin_continue(
        self,
        channel_id: str,
        told: Callable[[AriError | None], None],
        *,
        context: str,
        extension: str,
        priority: int,
    ) -> bool:
        """POST /channels/{channelId}/continue as `AriClient.begin` does it."""
        path = f"/channels/{quote(channel_id, safe='')}/continue{_place(context, extension, priority)}"
        return self._client.begin("POST", path, told)

    async def continue_with(
        self, channel_id: str, variable: str, value: str, *, context: str, extension: str, priority: int
    ) -> None:
        """POST /asterisk/variable, then POST …/continue, in one write: the path of every call.

        The variable is a global one: POST /channels/{channelId}/variable would run in the channel's own thread and
        take from it, for the rest of the call, the functions that `live_dangerously=no` protects, such as `DB()`.
        """
        await self._client.pipeline(
            ("POST", "/asterisk/variable", _encode(_Variable(variable, value))),
            ("POST", f"/channels/{quote(channel_id, safe='')}/continue{_place(context, extension, priority)}", b""),
        )

    async def hangup(self, channel_id: str, *, reason: str = "normal") -> None:
        """DELETE /channels/{channelId}: reason normal, busy, congestion, no_answer …. It may be in any application."""
        await self._client.pipeline(("DELETE", f"/channels/{quote(channel_id, safe='')}?reason={reason}", b""))


def _place(context: str, extension: str, priority: int) -> str:
    return f"?context={context}&extension={_quoted(extension)}&priority={priority}"


@lru_cache(maxsize=512)
def _quoted(value: str) -> str:
    """Of functions that are asked for, and of places in the dialplan, each of which many calls share."""
    return quote(value, safe="*")


def _read(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    """What an answer says. Raises AriError if it is not what it should be."""
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        why = str(error).replace("\n", " ")
        raise AriError(f"ARI answered what is none of its answers ({why}): is that Asterisk?") from error
