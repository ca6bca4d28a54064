"""Asterisk's REST interface (ARI): a small typed client.

It keeps the shape and the operation names of Asterisk's own ari-py: `client.channels.continue_(…)`,
`client.applications.get(…)`. Events come by websocket, commands go over a small pool of
kept-alive connections: a slow command then delays neither another one nor the pings (REST over the websocket
is served one at a time).
"""

import asyncio
import contextlib
import re
import ssl
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import TracebackType
from typing import NoReturn, Self, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from websockets.exceptions import InvalidHandshake, InvalidStatus
from yarl import URL

from comunik_pbx.asterisk.ari_events import (
    EVENTS_READ,
    ApplicationReplacedEvent,
    Channel,
    Connected,
    Disconnected,
    Event,
    read_event,
)
from comunik_pbx.asterisk.ari_pipeline import Pipeline, Response
from comunik_pbx.asterisk.ari_socket import EventSocket, open_socket
from comunik_pbx.asterisk.errors import (
    ApplicationReplaced,
    AriDisabled,
    AriError,
    AriRefused,
    AriTimeout,
    AriUnreachable,
    AsteriskTooOld,
    ChannelGone,
    ChannelNotInStasis,
    network_reason,
)
from comunik_pbx.asterisk.reconnect import Backoff

OLDEST_ASTERISK = (16, 28)
"""The oldest Asterisk with all that we use (AMI DBGetTree came with 16.28)."""

KEEP_ALIVE_SECONDS = 10.0
"""Idle connections are closed after this, before Asterisk does (`session_keep_alive` in http.conf, default 15 s)."""

T = TypeVar("T")


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


class _Refusal(msgspec.Struct, frozen=True):
    message: str | None = None
    error: str | None = None


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
_refusal = msgspec.json.Decoder(_Refusal)
_JSON = {"Content-Type": "application/json"}
_CLOSED = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientConnectionResetError)


class AriClient:
    """A connection to one Asterisk as one Stasis application; use it as `async with`.

    `url` is ARI's (`http://127.0.0.1:8088/ari`). `command_seconds` bounds every command, `ping_seconds` is how
    often the event socket is pinged: a frozen Asterisk is noticed after one and a half of it. `connections`
    bounds the commands under way at once.
    """

    def __init__(
        self,
        url: str,
        user: str,
        password: str,
        *,
        app: str = "comunik-pbx",
        command_seconds: float = 2.0,
        ping_seconds: float = 20.0,
        connections: int = 8,
        backoff: Backoff | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.user = user
        self.app = app
        self._headers = {"Authorization": aiohttp.encode_basic_auth(user, password)}
        self._command_seconds = command_seconds
        self._ping_seconds = ping_seconds
        self._connections = connections
        self._backoff = backoff or Backoff()
        self._session: aiohttp.ClientSession | None = None
        self.asterisk = _Asterisk(self)
        self.applications = _Applications(self)
        self.channels = _Channels(self)
        self.endpoints = _Endpoints(self)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS),
            timeout=aiohttp.ClientTimeout(total=self._command_seconds),
            headers=self._headers,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        self._pipeline = Pipeline(
            URL(self.url),
            self._headers,
            seconds=self._command_seconds,
            idle_seconds=KEEP_ALIVE_SECONDS,
            connections=self._connections,
        )
        # A bound of our own, not the connector's: the long-lived event socket must not use up a place.
        self._places = asyncio.Semaphore(self._connections)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            self._pipeline.close()
            await self._session.close()

    async def check(self) -> str:
        """The version of Asterisk, once user, password and version are found good.

        For use before the first connection: raises AriUnreachable, AriTimeout, AriRefused, AriDisabled or
        AsteriskTooOld, each a sentence that says what to do.
        """
        version = (await self.asterisk.info()).system.version
        if too_old(version):
            oldest = ".".join(map(str, OLDEST_ASTERISK))
            raise AsteriskTooOld(f"Asterisk {version} at {self.url} is too old: install {oldest} or newer")
        with contextlib.suppress(ChannelGone):  # a user with read_only=yes gets 403 first
            await self.channels.continue_("comunik-pbx-is-there-such-a-channel")
        return version

    async def listen(self, told: Callable[[Event], None]) -> NoReturn:
        """Tell the application's events, for ever: reconnects by itself, telling Connected and Disconnected.

        On each connection the event filter is set again, for Asterisk may have forgotten it. When cancelled it closes
        the socket; Stasis() then returns at once for new calls. Raises ApplicationReplaced when another service takes
        the application's name, and what `told` raises.
        """
        clock = asyncio.get_running_loop().time

        def read(message: bytes) -> None:
            event = read_event(message)
            if isinstance(event, ApplicationReplacedEvent):
                raise ApplicationReplaced(
                    f"another program connected to {self.url} as application {self.app!r}: "
                    "run only one comunik-pbx service for each Asterisk"
                )
            if event is not None:
                told(event)

        while True:
            opened: float | None = None
            try:
                socket = await self._open_socket()
                try:
                    await self.applications.filter_events(self.app, EVENTS_READ)
                    opened = clock()
                    told(Connected())
                    why = await socket.tell(read)
                finally:
                    await socket.close()
                error: AriError = AriUnreachable(f"the event socket to {self.url} is lost: {why}")
            except ApplicationReplaced:
                raise
            except AriError as reason:
                error = reason
            delay = self._backoff.lost(0.0 if opened is None else clock() - opened)
            told(Disconnected(error, delay))
            await asyncio.sleep(delay)

    async def _open_socket(self) -> EventSocket:
        url = f"{self.url.replace('http', 'ws', 1)}/events?app={quote(self.app, safe='')}"
        try:
            return await open_socket(
                url, self._headers, open_seconds=self._command_seconds, ping_seconds=self._ping_seconds
            )
        except InvalidStatus as error:
            raise self._refused(error.response.status_code, "", "GET /events") from error
        except TimeoutError as error:
            raise AriTimeout(f"{self.url} does not answer: is Asterisk hung?") from error
        except (InvalidHandshake, OSError) as error:
            lost = isinstance(error.__cause__, EOFError)
            raise self._unreachable(ConnectionResetError("the connection was lost") if lost else error) from error

    async def request(self, method: str, path: str, data: bytes | None = None) -> bytes:
        """One ARI operation, `path` under the URL and already quoted; the body of the answer.

        Raises a child of AriError for everything but success. A kept-alive connection that Asterisk has just
        closed is tried once more: our operations may all be said twice (the second gets 404 or 409).
        """
        async with self._places:
            try:
                return await self._request(method, path, data)
            except AriUnreachable as error:
                if not isinstance(error.__cause__, _CLOSED) or isinstance(
                    error.__cause__, aiohttp.ClientConnectorError
                ):
                    raise
            return await self._request(method, path, data)

    async def _request(self, method: str, path: str, data: bytes | None) -> bytes:
        if self._session is None:
            raise RuntimeError("use AriClient with `async with`")
        url = URL(self.url + path, encoded=True)
        try:
            async with self._session.request(method, url, data=data, headers=_JSON if data else None) as response:
                body = await response.read()
        except TimeoutError as error:
            raise AriTimeout(f"{self.url} did not answer {method} {path} in {self._command_seconds:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from error
        if response.status < 300:
            return body
        raise self._refused(response.status, _said(body), f"{method} {path}")

    async def pipeline(self, *operations: tuple[str, str, bytes]) -> list[bytes]:
        """Several operations (method, path, JSON body) in one write, in order; the bodies of the answers.

        Raises for the first that failed; errors as `request`. Cheaper than `request`, for one operation too.
        """
        try:
            responses = await self._pipeline.send(*(self._pipeline.request(*one) for one in operations))
        except OSError as error:
            raise self._not_answered(error) from error
        for (method, path, _), response in zip(operations, responses, strict=True):
            if response.status >= 300:
                raise self._refused(response.status, _said(response.body), f"{method} {path}")
        return [response.body for response in responses]

    def begin(self, method: str, path: str, told: Callable[[AriError | None], None]) -> bool:
        """One operation without a body, without a task that waits for it: `told` is called with its error, if any.

        Cheaper than `pipeline`. False, and nothing is done, where no connection stands that it could go by at once.
        """

        def answered(answer: Response | Exception) -> None:
            if not isinstance(answer, Response):
                error = self._not_answered(answer)
                error.__cause__ = answer
                told(error)
            elif answer.status >= 300:
                told(self._refused(answer.status, _said(answer.body), f"{method} {path}"))
            else:
                told(None)

        return self._pipeline.begin(self._pipeline.request(method, path), answered)

    def _not_answered(self, error: Exception) -> AriError:
        if isinstance(error, TimeoutError):
            return AriTimeout(f"{self.url} did not answer in {self._command_seconds:g} s")
        return self._unreachable(error)

    def _refused(self, status: int, said: str, operation: str) -> AriError:
        """One place that names HTTP statuses (ARI's are listed with each operation in rest-api/api-docs)."""
        if status in (401, 403):
            if said == "Write access denied":
                return AriRefused(f"{self.url} lets user {self.user!r} only read: set read_only=no in ari.conf")
            return AriRefused(
                f"{self.url} refuses user {self.user!r}: check ari_user and its password against ari.conf"
            )
        if status == 503:
            return AriUnreachable(f"Asterisk at {self.url} is still starting, or stopping: try again in a few seconds")
        if status == 404 and said in ("", "Resource not found"):  # the web server's own, or ARI without that module
            return AriDisabled(
                f"{self.url} is not there: set enabled=yes in ari.conf, load res_ari and its modules"
                " (`module show like res_ari`), and check the prefix in http.conf"
            )
        if status == 404 and "/channels/" in operation:
            return ChannelGone(f"{operation}: {said}")
        if status == 409:
            return ChannelNotInStasis(f"{operation}: {said}")
        return AriError(f"{operation}: HTTP {status} {said}".rstrip())

    def _unreachable(self, error: Exception) -> AriUnreachable:
        certificate = getattr(error, "certificate_error", error)  # aiohttp's own has that of ssl in it
        if isinstance(certificate, ssl.SSLCertVerificationError):
            return AriUnreachable(
                f"the certificate of {self.url} is not good ({certificate}): let this machine trust it"
                " (SSL_CERT_FILE), or use http:// on 127.0.0.1"
            )
        if isinstance(error, aiohttp.ClientConnectorSSLError | ssl.SSLError):
            return AriUnreachable(
                f"what answers at {self.url} does not speak TLS: write http://, or the port of tlsbindaddr"
            )
        # Reset: it said something before it was asked, which is no HTTP, so that the connection was closed at once.
        if isinstance(error, aiohttp.ClientResponseError | InvalidHandshake | aiohttp.ClientConnectionResetError):
            return AriUnreachable(
                f"what answers at {self.url} does not speak HTTP: write bindport of http.conf in ari_url"
            )
        return AriUnreachable(
            f"no Asterisk at {self.url} ({network_reason(error)}): is it running, with enabled=yes in http.conf"
            " and that bindaddr and bindport?"
        )


class _Asterisk:
    """ARI resource asterisk."""

    def __init__(self, client: AriClient) -> None:
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


class _Applications:
    """ARI resource applications."""

    def __init__(self, client: AriClient) -> None:
        self._client = client

    async def get(self, name: str) -> Application:
        """GET /applications/{name}."""
        return _read(_application, await self._client.request("GET", f"/applications/{quote(name, safe='')}"))

    async def filter_events(self, name: str, allowed: tuple[str, ...]) -> None:
        """PUT /applications/{name}/eventFilter: let only these kinds through (the filter dies with Asterisk)."""
        wanted = _encode({"allowed": [{"type": kind} for kind in allowed]})
        await self._client.request("PUT", f"/applications/{quote(name, safe='')}/eventFilter", wanted)

    async def subscribe(self, name: str, source: str) -> None:
        """POST /applications/{name}/subscription: `source` as `channel:ID`; costs a quarter of a call's CPU."""
        path = f"/applications/{quote(name, safe='')}/subscription?eventSource={quote(source, safe='')}"
        await self._client.request("POST", path)


class _Endpoints:
    """ARI resource endpoints."""

    def __init__(self, client: AriClient) -> None:
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


class _Channels:
    """ARI resource channels. Operations on a channel raise ChannelGone and ChannelNotInStasis."""

    def __init__(self, client: AriClient) -> None:
        self._client = client

    async def list(self) -> list[Channel]:
        """GET /channels: all of Asterisk's channels, ours or not."""
        return _read(_channels, await self._client.request("GET", "/channels"))

    async def get(self, channel_id: str) -> Channel:
        """GET /channels/{channelId}."""
        (body,) = await self._client.pipeline(("GET", f"/channels/{quote(channel_id, safe='')}", b""))
        return _read(_channel, body)

    async def set_variable(self, channel_id: str, variable: str, value: str) -> None:
        """POST /channels/{channelId}/variable; the value is not expanded again by the dialplan."""
        path = f"/channels/{quote(channel_id, safe='')}/variable"
        await self._client.request("POST", path, _encode(_Variable(variable, value)))

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


def too_old(version: str) -> bool:
    """Whether Asterisk's version string names a release before OLDEST_ASTERISK; a git build passes."""
    found = re.match(r"(?:certified[/-])?(\d+)\.(\d+)", version)
    return found is not None and (int(found[1]), int(found[2])) < OLDEST_ASTERISK


def _said(body: bytes) -> str:
    """ARI's own words in an error's body; empty if it is not ARI that answered."""
    try:
        refusal = _refusal.decode(body)
    except msgspec.MsgspecError:
        return ""
    return refusal.message or refusal.error or ""
