import asyncio
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest

from comunik_pbx.asterisk.ari import AriClient, too_old
from comunik_pbx.asterisk.ari_events import (
    ApplicationReplacedEvent,
    Connected,
    Disconnected,
    Event,
    StasisStart,
    Unreadable,
    read_event,
)
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
)
from comunik_pbx.asterisk.reconnect import Backoff

from .fake_ari import FakeAri, stasis_start
from .listening import listening


@pytest.fixture
async def ari() -> AsyncIterator[FakeAri]:
    async with FakeAri() as fake:
        yield fake


# Before the first connection: one sentence each, saying what to do.


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (401, AriRefused, "ari_user and its password"),
        (403, AriRefused, "ari.conf"),
        (404, AriDisabled, "enabled=yes in ari.conf"),
        (503, AriUnreachable, "still starting"),
        (500, AriError, "HTTP 500"),
    ],
)
async def test_check_says_what_to_do(ari: FakeAri, status: int, error: type[AriError], words: str) -> None:
    ari.status = status
    async with ari.client() as client:
        with pytest.raises(error, match=words) as raised:
            await client.check()
    assert "\n" not in str(raised.value)


async def test_check_when_nobody_answers() -> None:
    async with AriClient("http://127.0.0.1:1/ari", "u", "p") as client:
        with pytest.raises(AriUnreachable, match=r"Connection refused.*http\.conf"):
            await client.check()


@pytest.mark.parametrize("first", [True, False], ids=["before it is asked", "when it is asked"])
async def test_check_of_what_is_not_a_web_server(first: bool) -> None:
    """AMI's port says who it is before it is asked: aiohttp may find the connection closed when it begins to write."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not first:
            await reader.readuntil(b"\r\n\r\n")
        writer.write(b"Asterisk Call Manager/11.0.0\r\n")
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/ari"
    async with server, AriClient(url, "u", "p") as client:
        with pytest.raises(AriUnreachable, match="does not speak HTTP"):
            await client.check()


async def test_a_connection_closed_before_it_was_written_to_is_tried_once_more(
    ari: FakeAri, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what is no web server aiohttp says so, or of a connection that Asterisk has closed just now."""
    tried = []

    async def closed(session: aiohttp.ClientSession, *args: object, **options: object) -> None:
        tried.append(args)
        raise aiohttp.ClientConnectionResetError("Cannot write to closing transport")

    monkeypatch.setattr(aiohttp.ClientSession, "_request", closed)
    async with ari.client() as client:
        with pytest.raises(AriUnreachable, match="does not speak HTTP"):
            await client.check()
    assert len(tried) == 2


async def test_check_when_the_host_is_unknown() -> None:
    async with AriClient("http://pbx.invalid/ari", "u", "p") as client:
        with pytest.raises(AriUnreachable, match=r"pbx\.invalid"):
            await client.check()


async def test_check_when_asterisk_hangs(ari: FakeAri) -> None:
    ari.frozen = True
    async with ari.client(command_seconds=0.05) as client:
        with pytest.raises(AriTimeout):
            await client.check()


async def test_check_when_asterisk_is_too_old(ari: FakeAri) -> None:
    ari.version = "13.38.3"
    async with ari.client() as client:
        with pytest.raises(AsteriskTooOld, match=r"13\.38\.3.*16\.28 or newer"):
            await client.check()


async def test_check_gives_the_version(ari: FakeAri) -> None:
    async with ari.client() as client:
        assert await client.check() == ari.version


@pytest.mark.parametrize(
    ("version", "old"),
    [
        ("16.27.9", True),
        ("16.28.0", False),
        ("certified/18.9-cert5", False),
        ("certified/13.21-cert6", True),
        ("22.10.1+dfsg+~cs6.17.60671434-1", False),
        ("GIT-master-0d7a4b5", False),
    ],
)
def test_too_old(version: str, old: bool) -> None:
    assert too_old(version) is old


# Events.


def test_a_start_with_fields_of_the_future_is_read() -> None:
    event = read_event('{"type":"StasisStart","new":1,"args":["incoming"],"channel":{"id":"7.1","new":{}}}')
    assert isinstance(event, StasisStart)
    assert (event.channel.id, event.channel.caller.number, event.args) == ("7.1", "", ["incoming"])


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"typ":1}', '{"type":"StasisStart","channel":7}', b"\xff"])
def test_what_cannot_be_read_is_said_and_not_raised(text: str | bytes) -> None:
    assert isinstance(read_event(text), Unreadable)


def test_a_kind_we_do_not_read_is_nothing() -> None:
    assert read_event('{"type":"ChannelTalkingStarted"}') is None
    assert isinstance(read_event('{"type":"ApplicationReplaced"}'), ApplicationReplacedEvent)


async def test_strange_events_do_not_end_the_stream(ari: FakeAri) -> None:
    async with ari.client() as client, listening(client) as told:
        assert await told.following() == Connected()
        await ari.emit("{")
        await ari.emit({"type": "SomethingNew", "channel": 1})
        await ari.emit({"type": "StasisStart", "channel": 1})
        await ari.emit(stasis_start("7.1", "incoming"))
        assert isinstance(await told.following(), Unreadable)
        assert isinstance(await told.following(), Unreadable)
        start = await told.following()
        assert isinstance(start, StasisStart)
        assert start.channel.id == "7.1"


async def test_a_clean_close_is_a_disconnect_and_the_filter_is_set_again(ari: FakeAri) -> None:
    async with ari.client() as client, listening(client) as told:
        assert await told.following() == Connected()
        closing = asyncio.create_task(ari.sockets[-1].close())
        lost = await told.following()
        assert isinstance(lost, Disconnected)
        assert "Asterisk closed it, code 1000" in str(lost.error)
        assert await told.following() == Connected()
        await closing
    filters = [body for method, path, body in ari.commands if path == "applications/comunik-pbx/eventFilter"]
    assert filters == [{"allowed": [{"type": "StasisStart"}, {"type": "ApplicationReplaced"}]}] * 2


async def test_asterisk_away_for_a_while(ari: FakeAri) -> None:
    async with ari.client() as client, listening(client) as told:
        assert await told.following() == Connected()
        ari.status = 503
        closing = asyncio.create_task(ari.sockets[-1].close())
        for _ in range(3):
            assert isinstance(await told.following(), Disconnected)
        ari.status = None
        async with asyncio.timeout(5):
            while await told.following() != Connected():
                pass
        await closing


async def test_a_frozen_asterisk_is_noticed(ari: FakeAri) -> None:
    client = ari.client(ping_seconds=0.1, command_seconds=0.2)
    async with client, listening(client) as told:
        assert await told.following() == Connected()
        ari.frozen = True
        assert isinstance(await told.following(), Disconnected)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(b"", "the connection was lost", id="before its answer"),
        pytest.param(b"HTTP/1.1 101 Switching Pro", "the connection was lost", id="within its answer"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP", id="it is another program"),
        pytest.param(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "enabled=yes in ari.conf", id="404"),
        pytest.param(b"HTTP/1.1 101 Whatever\r\nUpgrade: websocket\r\n\r\n", "does not speak HTTP", id="no websocket"),
    ],
)
async def test_a_socket_that_cannot_be_opened(answer: bytes, words: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/ari"
        async with AriClient(url, "comunik", "sesame") as client, listening(client) as told:
            lost = await told.following()
            assert isinstance(lost, Disconnected)
            assert words in str(lost.error)
            assert "\n" not in str(lost.error)


async def test_what_the_listener_raises_ends_the_listening(ari: FakeAri) -> None:
    """And the socket with it: a fault must not be taken for a lost connection."""

    def told(event: Event) -> None:
        if isinstance(event, StasisStart):
            raise ZeroDivisionError

    async with ari.client() as client:
        listens = asyncio.create_task(client.listen(told))
        await ari.until_filtered()
        await ari.emit(stasis_start("7.1", "incoming"))
        with pytest.raises(ZeroDivisionError):
            async with asyncio.timeout(5):
                await listens


async def test_an_event_in_pieces(ari: FakeAri) -> None:
    async with ari.client() as client, listening(client) as told:
        assert await told.following() == Connected()
        text = msgspec.json.encode(stasis_start("7.1", "incoming"))
        writer = ari.sockets[-1]._writer
        assert writer is not None
        writer.transport.write(b"\x01\x0a" + text[:10] + b"\x80\x7e" + (len(text) - 10).to_bytes(2) + text[10:])
        start = await told.following()
        assert isinstance(start, StasisStart)
        assert start.channel.id == "7.1"


async def test_events_that_come_before_the_filter_is_set_are_told_after_the_connection(ari: FakeAri) -> None:
    ari.on_filter = lambda: ari.emit(stasis_start("7.1", "incoming"))
    async with ari.client() as client, listening(client) as told:
        assert await told.following() == Connected()
        assert isinstance(await told.following(), StasisStart)


async def test_a_replaced_application_ends_the_stream(ari: FakeAri) -> None:
    async with ari.client() as client, listening(client) as told:
        assert await told.following() == Connected()
        await ari.emit({"type": "ApplicationReplaced", "application": "comunik-pbx"})
        with pytest.raises(ApplicationReplaced, match="only one"):
            await told.following()


# Commands.


async def test_the_two_commands_of_a_call_arrive_in_order(ari: FakeAri) -> None:
    async with ari.client() as client:
        await client.channels.continue_with("7.1;2", "CK_PLAN", "1|end~17", context="c", extension="plan", priority=1)
    assert ari.commands == [
        ("POST", "asterisk/variable", {"variable": "CK_PLAN", "value": "1|end~17"}),
        ("POST", "channels/7.1;2/continue?context=c&extension=plan&priority=1", None),
    ]


@pytest.mark.parametrize(("status", "error"), [(404, ChannelGone), (409, ChannelNotInStasis), (500, AriError)])
async def test_commands_refused_are_typed(ari: FakeAri, status: int, error: type[AriError]) -> None:
    ari.answers["7.1"] = status
    async with ari.client() as client:
        with pytest.raises(error):
            await client.channels.continue_with("7.1", "A", "b", context="c", extension="plan", priority=1)
        with pytest.raises(error):
            await client.request("POST", "/channels/7.1/variable", b"{}")
        await client.channels.continue_("7.2")  # and the connections stay usable


async def test_commands_to_a_frozen_asterisk_time_out(ari: FakeAri) -> None:
    async with ari.client(command_seconds=0.05) as client:
        ari.frozen = True
        with pytest.raises(AriTimeout):
            await client.channels.continue_with("7.1", "A", "b", context="c", extension="plan", priority=1)
        ari.frozen = False
        await client.channels.continue_with("7.1", "A", "b", context="c", extension="plan", priority=1)


async def test_a_function_is_evaluated_on_a_channel(ari: FakeAri) -> None:
    ari.variables["7.1", "EVAL(${CK_PASS}|é&+%)"] = "1|é&+%"
    async with ari.client() as client:
        assert await client.channels.evaluated("7.1", "EVAL(${CK_PASS}|é&+%)") == "1|é&+%"
        with pytest.raises(ChannelGone):
            await client.channels.evaluated("7.2", "EVAL(${CK_PASS}|é&+%)")


async def test_the_channels_of_a_phone(ari: FakeAri) -> None:
    ari.endpoints = {"101": ["7.1", "7.2"], "alice mobile": []}
    async with ari.client() as client:
        assert await client.endpoints.channels("101") == ["7.1", "7.2"]
        assert await client.endpoints.channels("alice mobile") == []
        assert await client.endpoints.channels("nobody's") == []
        assert await client.endpoints.online("101")
        ari.status = 500
        with pytest.raises(AriError, match="HTTP 500"):
            await client.endpoints.channels("101")


def test_waits_double_up_to_the_most_and_start_again_only_after_a_stable_time() -> None:
    backoff = Backoff(first=0.1, most=1.0, stable=30, jitter=lambda: 0.0)
    assert [backoff.lost() for _ in range(5)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0])
    assert backoff.lost(uptime=29) == 1.0
    assert backoff.lost(uptime=30) == 0.1
    assert Backoff(first=1, jitter=lambda: 1.0).lost() == 0.5
