"""What ARI may send: events and answers, whole, spoiled, or made to be executed."""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from comunik_pbx.asterisk.ari import AriClient
from comunik_pbx.asterisk.ari_events import Event, Unreadable, read_event
from comunik_pbx.asterisk.ari_pipeline import Response, _Connection
from comunik_pbx.asterisk.errors import AriError
from comunik_pbx.asterisk.plan_encoding import decode
from comunik_pbx.calls.interception import EXECUTOR, Interception
from comunik_pbx.calls.records import CallRecord, Records
from comunik_pbx.calls.snapshot import Snapshot
from comunik_pbx.forwarding.rules import Rules
from comunik_pbx.service import call_row
from comunik_pbx.store.rows import checked
from tests.forwarding.company import any_rules, directory
from tests.fuzz.mutations import ARI_EVENTS, ARI_HTTP, FUZZ, cuts, pieces, spoiled, spoiled_json

STASIS_START = [event for event in ARI_EVENTS if b'"StasisStart"' in event]
REQUEST = re.compile(
    rb"POST /ari/(asterisk/variable|channels/[A-Za-z0-9_.~%-]+/continue(\?context=[a-z-]+&extension=\d+&priority=1)?)"
    rb" HTTP/1\.1\r\nHost: [\w.:]+\r\nAuthorization: Basic [\w=]+\r\n"
    rb"(?:Content-Type: application/json\r\n)?Content-Length: (\d+)\r\n\r\n(.*)",
    re.DOTALL,
)
CARRIED_OUT = re.compile(r"[A-Za-z0-9_.@:/+&~|-]*")


@FUZZ
@given(st.one_of(spoiled(ARI_EVENTS), spoiled_json(ARI_EVENTS), st.binary(max_size=200)))
@example(b"[" * 100_000)
@example(b'{"type": "StasisStart", "x": ' + b"[" * 100_000)
def test_no_event_breaks_the_stream(message: bytes) -> None:
    for text in (message, message.decode("utf-8", "replace")):
        event = read_event(text)
        assert event is None or isinstance(event, msgspec.Struct)
        if isinstance(event, Unreadable):
            assert event.why


class Recording:
    """In place of the pipeline: keeps what would go over the wire."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    async def send(self, *requests: bytes) -> list[Response]:
        self.sent += requests
        return [Response(204, b"")] * len(requests)


class Sink:
    def __init__(self) -> None:
        self.records: list[CallRecord] = []

    def put(self, record: CallRecord) -> None:
        self.records.append(record)


async def intercepted(messages: list[bytes], rules: Rules) -> tuple[list[bytes], list[CallRecord]]:
    """What the interception sends to Asterisk and records of these events."""
    sink, snapshot = Sink(), Snapshot(directory(), rules)
    over = asyncio.Event()

    async def events() -> AsyncGenerator[Event, None]:
        for message in messages:
            if (event := read_event(message)) is not None:
                yield event
        over.set()
        await asyncio.Event().wait()

    async with AriClient("http://127.0.0.1:8088/ari", "comunik", "sesame") as ari:
        ari._pipeline.send = (recording := Recording()).send  # type: ignore[method-assign]
        ari.events = events  # type: ignore[method-assign]
        records = Records(sink, lambda: snapshot)
        interception = Interception(ari, lambda: snapshot, records, clock=lambda: datetime.now(UTC))
        running = asyncio.create_task(interception.run(grace_seconds=2.0))
        async with asyncio.timeout(10):
            waiting = asyncio.create_task(over.wait())
            await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
            running.cancel()
            [outcome] = await asyncio.gather(running, return_exceptions=True)
            waiting.cancel()
        assert isinstance(outcome, asyncio.CancelledError | AriError), "it ended by itself"
        assert not interception.undecided
    return recording.sent, sink.records


entered = spoiled_json(STASIS_START)


@FUZZ
@given(st.lists(st.one_of(entered, entered, spoiled(STASIS_START)), min_size=1, max_size=4), any_rules())
def test_no_event_smuggles_anything_into_a_request_or_a_plan(messages: list[bytes], rules: Rules) -> None:
    sent, records = asyncio.run(intercepted(messages, rules))
    for request in sent:
        found = REQUEST.fullmatch(request)
        assert found, request
        body = found[4]
        assert int(found[3]) == len(body), "one request, no more"
        if body:
            handed_over = msgspec.json.decode(body)
            assert re.fullmatch(r"CK_HANDOVER_\d+", handed_over["variable"])
            carried_out = handed_over["value"].rpartition("!")[2]
            assert CARRIED_OUT.fullmatch(carried_out)
            assert decode(carried_out)
        elif found[2]:
            assert f"context={EXECUTOR}&".encode() in found[2]
    for record in records:
        checked(call_row(record))


def test_unspoiled_calls_are_decided() -> None:
    sent, records = asyncio.run(intercepted(STASIS_START, {}))
    assert len(sent) == 2 * len(STASIS_START)
    assert len(records) == len(STASIS_START)


class Transport(asyncio.Transport):
    """Goes nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def write(self, data: Any) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True


@FUZZ
@given(st.one_of(spoiled([ARI_HTTP]), st.binary(max_size=300)), cuts, st.integers(0, 20))
@example(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", [], 1)
@example(b"HTTP/1.1 200 OK\r\nX: " + b"9" * 5_000_000, [1, 2, 3], 1)
def test_no_answer_breaks_a_connection_without_telling_who_waits(data: bytes, at: list[int], waiting: int) -> None:
    async def answered() -> None:
        standing: dict[_Connection, None] = {}
        connection, transport = _Connection(standing), Transport()
        connection.connection_made(transport)
        asking = [asyncio.create_task(connection.send((b"x",))) for _ in range(waiting)]
        await asyncio.sleep(0)
        for piece in pieces(data, at):
            if not transport.aborted:
                connection.data_received(piece)
        connection.connection_lost(None)
        async with asyncio.timeout(5):
            outcomes = await asyncio.gather(*asking, return_exceptions=True)
        assert all(isinstance(one, list | ConnectionError) for one in outcomes), outcomes
        assert not standing

    asyncio.run(answered())


@FUZZ
@given(st.one_of(spoiled([b"[%s]" % b",".join(STASIS_START)]), spoiled_json(STASIS_START), st.binary(max_size=50)))
def test_no_list_of_channels_raises_anything_but_an_error_of_ari(body: bytes) -> None:
    async def listed() -> None:
        async with AriClient("http://127.0.0.1:8088/ari", "comunik", "sesame") as ari:

            async def answers(*_: Any) -> Any:
                return body

            async def answers_all(*_: Any) -> Any:
                return [body]

            ari.request, ari.pipeline = answers, answers_all  # type: ignore[method-assign,assignment]
            for asked in (ari.channels.list(), ari.channels.get("1.1"), ari.asterisk.info(), ari.applications.get("x")):
                with contextlib.suppress(AriError):
                    await asked

    asyncio.run(listed())
