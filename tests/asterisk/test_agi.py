"""FastAGI with peers that do as Asterisk does, and with peers that do not."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from panoramisk.fast_agi import Application

from comunik_pbx.asterisk.agi import (
    LONGEST_VALUE,
    MOST_HEADER_BYTES,
    AskingCall,
    FastAgi,
    add_route,
    assignments,
    read_headers,
)
from comunik_pbx.asterisk.errors import AgiCannotListen, AgiError, AgiHungUp

ARGUMENTS = "incoming!101!carrier!allowed!1!!&101!"
HEADERS = (
    f"agi_network: yes\nagi_network_script: plan?{ARGUMENTS}\nagi_channel: PJSIP/carrier-00000001\n"
    "agi_language: fr\nagi_uniqueid: 7.1\nagi_callerid: {number}\nagi_calleridname: unknown\nagi_extension: 101\n\n"
)
SECONDS = 0.3


class Asked:
    """A FastAGI server that gives every call the same plan; what became of each is in `outcomes`."""

    def __init__(self) -> None:
        self.plan = "1|ring~101"
        self.calls: list[AskingCall] = []
        self.outcomes: asyncio.Queue[Exception | None] = asyncio.Queue()
        self.came = asyncio.Semaphore(0)
        self.refused = 0
        self.slow = False
        self.port = 0

    async def handle(self, call: AskingCall) -> None:
        self.calls.append(call)
        self.came.release()
        if self.slow:
            await asyncio.Event().wait()
        outcome: Exception | None = None
        try:
            await call.hand_over(self.plan)
        except AgiError as error:
            outcome = error
        self.outcomes.put_nowait(outcome)

    def refuse(self) -> None:
        self.refused += 1

    @contextlib.asynccontextmanager
    async def peer(self, text: str = "") -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(text.encode("latin-1"))
        try:
            yield reader, writer
        finally:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    async def outcome(self) -> Exception | None:
        async with asyncio.timeout(2):
            return await self.outcomes.get()


@contextlib.asynccontextmanager
async def asked(allow: str = "127.0.0.0/8", most: int = 10) -> AsyncIterator[Asked]:
    made = Asked()
    server = FastAgi(
        ("127.0.0.1", 0), made.handle, allow=[ip_network(allow)], refused=made.refuse, most=most, seconds=SECONDS
    )
    async with server.listening() as port:
        made.port = port
        yield made
    assert len(server) == 0


async def closed(reader: asyncio.StreamReader, within: float = 2.0) -> bytes:
    """What comes until the connection is closed."""
    async with asyncio.timeout(within):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


async def test_a_call_gets_its_plan_and_the_connection_is_closed() -> None:
    async with asked() as server, server.peer(HEADERS.format(number="+33140000000")) as (reader, writer):
        assert await reader.readline() == b"SET VARIABLE CK_PLAN 1|ring~101\n"
        writer.write(b"200 result=1\n")
        assert await closed(reader) == b""
        assert await server.outcome() is None
        (call,) = server.calls
    assert (call.channel, call.number, call.arguments) == ("7.1", "+33140000000", ARGUMENTS.split("!"))


async def test_headers_may_come_in_pieces_and_in_any_encoding() -> None:
    async with asked() as server, server.peer() as (reader, writer):
        for byte in HEADERS.format(number="+33140000000").replace("unknown", "M\xfcller").encode("latin-1"):
            writer.write(bytes((byte,)))
            await writer.drain()
        assert (await reader.readline()).startswith(b"SET VARIABLE")


async def test_no_number_is_no_number() -> None:
    assert read_headers(HEADERS.format(number="unknown").encode()).number == ""


async def test_a_number_with_line_breaks_forges_nothing() -> None:
    forged = "+33140000000\nagi_network_script: plan?incoming!101!102!allowed!1!!&101!\nagi_uniqueid: 6.6\n\n"
    headers = read_headers(HEADERS.format(number=forged).encode())
    assert (headers.channel, headers.number, headers.arguments) == ("7.1", "+33140000000", ARGUMENTS)
    async with asked() as server, server.peer(HEADERS.format(number=forged)) as (reader, writer):
        await reader.readline()
        assert server.calls[0].arguments == ARGUMENTS.split("!")
        writer.write(b"200 result=1\n")
        assert await server.outcome() is None, "what followed the forged blank line is no answer, this is"


@pytest.mark.parametrize("text", ["", "agi_network: yes\n", HEADERS[:-1].format(number="1")])
async def test_a_peer_that_closes_before_its_headers_end_is_let_go(text: str) -> None:
    """panoramisk's own handler would read for ever, with all the CPU there is."""
    async with asked() as server:
        async with server.peer(text) as (reader, writer):
            writer.write_eof()
            await closed(reader, within=SECONDS / 2)
        assert server.calls == []


async def test_a_peer_that_says_nothing_is_let_go_in_time() -> None:
    async with asked() as server, server.peer("agi_network: yes\n") as (reader, _):
        began = time.monotonic()
        await closed(reader)
        assert SECONDS - 0.05 < time.monotonic() - began < SECONDS + 0.5


async def test_a_peer_that_says_too_much_is_let_go() -> None:
    async with asked() as server, server.peer("agi_arg: x\n" * MOST_HEADER_BYTES) as (reader, _):
        await closed(reader)
        assert server.calls == []


@pytest.mark.parametrize(
    "text",
    [
        "GET / HTTP/1.1\nHost: x\n\n",
        HEADERS.replace("plan?", "other?"),
        HEADERS.replace("agi_uniqueid", "agi_unique"),
        "\n\n",
    ],
)
async def test_who_is_no_call_of_ours_is_not_answered(text: str) -> None:
    async with asked() as server, server.peer(text) as (reader, _):
        assert await closed(reader, within=SECONDS / 2) == b""
        assert server.calls == []


async def test_a_call_that_does_not_answer_is_let_go_in_time() -> None:
    async with asked() as server, server.peer(HEADERS.format(number="1")) as (reader, _):
        began = time.monotonic()
        assert (await reader.readline()).startswith(b"SET VARIABLE")
        await closed(reader)
        assert time.monotonic() - began < SECONDS + 0.5


async def test_a_decision_that_takes_too_long_is_given_up() -> None:
    async with asked() as server, server.peer(HEADERS.format(number="1")) as (reader, _):
        server.slow = True
        assert await closed(reader) == b""


@pytest.mark.parametrize(
    "answer", [b"HANGUP\n", b"HANGUP\nHANGUP\n", b"511 Command Not Permitted on a dead channel or intercept routine\n"]
)
async def test_a_call_that_has_ended(answer: bytes) -> None:
    async with asked() as server, server.peer(HEADERS.format(number="1")) as (_, writer):
        writer.write(answer)
        assert isinstance(await server.outcome(), AgiHungUp)


async def test_a_call_that_ends_instead_of_answering() -> None:
    async with asked() as server, server.peer(HEADERS.format(number="1")) as (reader, writer):
        await reader.readline()
        writer.write_eof()
        assert isinstance(await server.outcome(), AgiHungUp)


@pytest.mark.parametrize(
    "answer",
    [
        b"200 result=0\n",
        b"510 Invalid or unknown command\n",
        b"200\n",
        b"nonsense\n",
        b"520-Usage\nmore\n",
        b"9" * 99999,
    ],
)
async def test_an_answer_that_is_not_yes_is_said(answer: bytes) -> None:
    async with asked() as server, server.peer(HEADERS.format(number="1")) as (_, writer):
        writer.write(answer)
        outcome = await server.outcome()
        assert isinstance(outcome, AgiError)
        assert not isinstance(outcome, AgiHungUp)


async def test_only_allowed_hosts_are_heard() -> None:
    async with asked(allow="192.0.2.0/24") as server, server.peer(HEADERS.format(number="1")) as (reader, _):
        assert await closed(reader, within=SECONDS / 2) == b""
        assert server.calls == []


async def test_what_is_beyond_the_most_is_let_go_at_once() -> None:
    async with asked(most=2) as server:
        server.slow = True
        async with server.peer(HEADERS.format(number="1")), server.peer(HEADERS.format(number="2")):
            async with asyncio.timeout(2):
                await server.came.acquire()
                await server.came.acquire()
            async with server.peer(HEADERS.format(number="3")) as (reader, _):
                assert await closed(reader, within=SECONDS / 2) == b""
        assert (len(server.calls), server.refused) == (2, 1)


async def test_calls_in_hand_are_finished_when_the_service_stops() -> None:
    server = Asked()
    entry = FastAgi(("127.0.0.1", 0), server.handle, allow=[ip_network("127.0.0.1")])
    async with contextlib.AsyncExitStack() as stack:
        async with entry.listening() as server.port:
            reader, writer = await stack.enter_async_context(server.peer(HEADERS.format(number="1")))
            await reader.readline()
            asyncio.get_running_loop().call_later(0.05, writer.write, b"200 result=1\n")
        assert await server.outcome() is None
        with pytest.raises(OSError, match="Connect call failed"):
            await asyncio.open_connection("127.0.0.1", server.port)


async def test_a_port_that_is_taken_is_named() -> None:
    async with asked() as server:
        second = FastAgi(("127.0.0.1", server.port), server.handle, allow=[])
        with pytest.raises(AgiCannotListen, match=rf"127.0.0.1:{server.port} .*Address already in use"):
            async with second.listening():
                pass


async def test_a_route_must_be_a_coroutine() -> None:
    """panoramisk would call asyncio.coroutine, which Python 3.11 no longer has, and say no more than that."""
    with pytest.raises(TypeError, match="the route 'plan' is no coroutine function"):
        add_route(Application(loop=asyncio.get_running_loop()), "plan", lambda request: None)  # type: ignore[arg-type,return-value]


PLANS = st.lists(
    st.lists(st.text("abz019@:/+-_.", max_size=600), min_size=1, max_size=16).map("~".join), min_size=1, max_size=40
).map(lambda steps: "|".join(["1", *steps, "end~19"]))


@given(PLANS)
def test_a_plan_in_pieces_is_the_plan(plan: str) -> None:
    """By what PUSH() and UNSHIFT() do; half of it is no plan."""
    value = ""
    for name, piece in assignments(plan):
        assert not value.startswith("1|")
        assert 0 < len(piece) <= LONGEST_VALUE
        if name == "CK_PLAN":
            value = piece
        elif name.startswith("PUSH(CK_PLAN,"):
            value = f"{value}{name[13]}{piece}"
        else:
            assert name == "UNSHIFT(CK_PLAN,|)"
            value = f"{piece}|{value}"
    assert value == plan


@pytest.mark.parametrize("plan", ["", "1|ring~101\nEXEC System x", '1|"', "1|ring 101", "1|${X}", "1|" + "a" * 9999])
def test_what_is_no_plan_is_not_sent(plan: str) -> None:
    with pytest.raises(AgiError):
        assignments(plan)
