"""Asterisk's REST interface (ARI): a small typed client.

It keeps the shape and the operation names of Asterisk's own ari-py: `client.channels.continue_(…)`,
`client.applications.get(…)`. Events come by websocket, commands go over a small pool of
kept-alive connections: a slow command then delays neither another one nor the pings. (REST over the websocket, which
newer Asterisks know, is served one at a time, and was measured to be dearer: docs/benchmark.md.)
"""

import asyncio
import contextlib
import re
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import NoReturn, Self
from urllib.parse import quote

import aiohttp
import msgspec
from websockets.exceptions import InvalidHandshake, InvalidStatus
from yarl import URL

from comunik_pbx.asterisk.ari_events import (
    EVENTS_READ,
    ApplicationReplacedEvent,
    Connected,
    Disconnected,
    Event,
    read_event,
)
from comunik_pbx.asterisk.ari_pipeline import Pipeline, Response
from comunik_pbx.asterisk.ari_resources import Applications, Asterisk, Channels, Endpoints
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


class _Refusal(msgspec.Struct, frozen=True):
    message: str | None = None
    error: str | None = None


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
        self.asterisk = Asterisk(self)
        self.applications = Applications(self)
        self.channels = Channels(self)
        self.endpoints = Endpoints(self)

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
