"""What ARI may send: events and answers, whole, spoiled, or made to be executed."""

import asyncio
import contextlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NoReturn

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from comunik_pbx.asterisk.ari import AriClient
from comunik_pbx.asterisk.ari_events import Event, Unreadable, read_event
from comunik_pbx.asterisk.ari_pipeline import Response, _Connection
from comunik_pbx.asterisk.errors import AriError
from comunik_pbx.asterisk.plan_encoding import decode
from comunik_pbx.call_rows import call_row, forwarded_today
from comunik_pbx.calls.call_ends import record_end, reported
from comunik_pbx.calls.exact_rings import ExactRings, _Watched
from comunik_pbx.calls.handover import EXECUTOR
from comunik_pbx.calls.interception import Interception
from comunik_pbx.calls.records import CallRecord, Records
from comunik_pbx.calls.ring_watch import RingWatch
from comunik_pbx.calls.snapshot import Snapshot
from comunik_pbx.forwarding.rules import Rules
from comunik_pbx.forwarding.steps import End, Ring
from comunik_pbx.store.rows import UNREADABLE, checked
from tests.forwarding.company import any_rules, directory
from tests.fuzz.mutations import ARI_EVENTS, ARI_HTTP, FUZZ, cuts, hostile, pieces, spoiled, spoiled_json

STASIS_START = [event for event in ARI_EVENTS if b'"StasisStart"' in event]
ENDED = [event for event in STASIS_START if b'"args":["ended"' in event]
INCOMING = [event for event in STASIS_START if event not in ENDED]
REQUEST = re.compile(
    rb"POST /ari/"
    rb"(asterisk/variable|channels/[A-Za-z0-9_.~%-]+/continue(\?context=[a-z-]+&extension=(?:\d{15}\d+|\*\d{15}t[\d.]+%3A%5E[\d.]+)&priority=1)?)"
    rb" HTTP/1\.1\r\nHost: [\w.:]+\r\nAuthorization: Basic [\w=]+\r\n"
    rb"(?:Content-Type: application/json\r\n)?Content-Length: (\d+)\r\n\r\n(.*)",
    re.DOTALL,
)
ASKED = re.compile(r"/(channels|endpoints/PJSIP)/[A-Za-z0-9_.~%-]+(/variable\?variable=[\w.~%-]+|\?reason=no_answer)?")
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

    async def listen(told: Callable[[Event], None]) -> NoReturn:
        for message in messages:
            if (event := read_event(message)) is not None:
                told(event)
        over.set()
        while True:
            await asyncio.Event().wait()

    async with AriClient("http://127.0.0.1:8088/ari", "comunik", "sesame") as ari:
        ari._pipeline.send = (recording := Recording()).send  # type: ignore[method-assign]
        ari.listen = listen  # type: ignore[method-assign]
        records = Records(sink, lambda: snapshot)

        def ended(report: str) -> None:
            record_end(reported(report), records)

        interception = Interception(ari, lambda: snapshot, records, on_end=ended, clock=lambda: datetime.now(UTC))
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


def stored(record: CallRecord) -> None:
    """The store takes it, or says that it cannot be kept; limits per day are counted from it."""
    row = call_row(record)
    try:
        checked(row)
    except UNREADABLE:
        assert record.ended_at, "what we decide can always be kept"
        return
    forwarded_today([row])


entered = spoiled_json(INCOMING)


@FUZZ
@given(
    st.lists(st.one_of(entered, entered, spoiled(STASIS_START), spoiled_json(ENDED)), min_size=1, max_size=4),
    any_rules(),
)
def test_no_event_smuggles_anything_into_a_request_or_a_plan(messages: list[bytes], rules: Rules) -> None:
    sent, records = asyncio.run(intercepted(messages, rules))
    for request in sent:
        found = REQUEST.fullmatch(request)
        assert found, request
        body = found[4]
        assert int(found[3]) == len(body), "one request, no more"
        if body:
            handed_over = msgspec.json.decode(body)
            assert re.fullmatch(r"CK_HANDOVER_\d{3}", handed_over["variable"])
            assert re.match(r"\d{12}!", handed_over["value"])
            carried_out = handed_over["value"].rpartition("!")[2]
            assert CARRIED_OUT.fullmatch(carried_out)
            assert decode(carried_out)
        elif found[2]:
            assert f"context={EXECUTOR}&".encode() in found[2]
    for record in records:
        stored(record)


def test_unspoiled_calls_are_decided_and_end() -> None:
    sent, records = asyncio.run(intercepted(INCOMING, {}))
    assert len([request for request in sent if b"/continue?" in request]) == len(INCOMING)
    assert len([request for request in sent if b"/asterisk/variable" in request]) == 1, "all have the same plan"
    assert len(records) == len(INCOMING)
    sent, records = asyncio.run(intercepted(ENDED, {}))
    assert sent == []
    assert {record.status for record in records} == {"answered", "voicemail", "abandoned"}


fields = st.one_of(hostile, st.sampled_from(["", "live", "dial", "ANSWER", "0", "1", "2", "99", "400", "7.1"]))


@FUZZ
@given(
    st.one_of(hostile, st.lists(fields, min_size=10, max_size=10).map("|".join)),
    st.one_of(hostile, st.sampled_from(["7.1|Ringing", "7.1|Down", "8.1|Ringing", "7.1|Up"])),
    st.one_of(spoiled_json([b'{"state":"online","channel_ids":["7.2","7.3"]}']), st.binary(max_size=50)),
    st.booleans(),
)
@example("live|1|1|dial||1|9999|1||7.1", "7.1|Ringing", b'{"channel_ids":["7.2","../7.3?reason=x"]}', False)
@example("live|1|1|dial||1|" + "9" * 5000 + "|1||7.1", "7.1|Ringing", b"{}", False)
def test_nothing_a_channel_says_ends_the_watch_or_smuggles_anything(
    caller: str, leg: str, endpoint: bytes, at_legs: bool
) -> None:
    async def looked() -> list[str]:
        asked = []
        async with AriClient("http://127.0.0.1:8088/ari", "comunik", "sesame") as ari:

            async def answers(*operations: tuple[str, str, bytes]) -> list[bytes]:
                [(_, path, _)] = operations
                asked.append(path)
                if path.startswith("/endpoints"):
                    return [endpoint]
                value = caller if path.startswith("/channels/7.1/") else leg
                return [msgspec.json.encode({"value": value.encode("utf-8", "replace").decode()})]

            ari.pipeline = answers  # type: ignore[method-assign]
            rings = ExactRings(ari, lambda call, passes: True)
            await rings._look(_Watched("7.1", 1, RingWatch((Ring("101", ("101",), 1, 5.0), End(19)))), at_legs)
        return asked

    for path in asyncio.run(looked()):
        assert ASKED.fullmatch(path), path


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
            for asked in (
                *(ari.channels.list(), ari.channels.get("1.1"), ari.channels.evaluated("1.1", "EVAL(1)")),
                *(ari.endpoints.channels("101"), ari.asterisk.info(), ari.applications.get("x")),
            ):
                with contextlib.suppress(AriError):
                    await asked

    asyncio.run(listed())
