"""What AMI may send: lines whole and spoiled, ends of calls that no dialplan of ours wrote."""

import asyncio
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from comunik_pbx.asterisk.ami import _Connection, _Protocol
from comunik_pbx.asterisk.ami_database import Answers
from comunik_pbx.asterisk.ami_lines import LONGEST_LINE, safe
from comunik_pbx.asterisk.errors import AmiError, UnsafeValue
from comunik_pbx.calls.call_ends import record_end, reported
from comunik_pbx.calls.records import Records
from comunik_pbx.calls.snapshot import Snapshot
from tests.forwarding.company import directory
from tests.fuzz.mutations import AMI, FUZZ, cuts, hostile, pieces, spoiled
from tests.fuzz.test_ari import Sink, Transport, stored

MESSAGES = [message + b"\r\n\r\n" for message in AMI.split(b"\r\n\r\n") if message]
REPORTS = [
    value.encode() for message in MESSAGES if b"DBGetTreeResponse" in message
    for value in [message.partition(b"Val: ")[2].strip().decode()]
]  # fmt: skip
ENDS = [reported(report.decode()) for report in REPORTS]


def made_connection() -> tuple[_Connection, Any]:
    """A connection as `open` makes one, to nowhere."""
    connection = _Connection("nowhere:5038", 0.01)
    protocol, transport = _Protocol(), Transport()
    made: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    protocol.connection_made(transport)
    made.set_result((transport, protocol))
    connection.connection_made(made)
    assert connection.pinger is not None
    connection.pinger.cancel()
    return connection, protocol


@FUZZ
@given(
    st.one_of(
        st.lists(st.one_of(spoiled(MESSAGES), st.sampled_from(MESSAGES)), max_size=6).map(b"".join), spoiled([AMI])
    ),
    cuts,
)
@example(b"Event: UserEvent\r\nUserEvent: ComunikCall\r\nCall: \xff\xfe\r\nCall: 2\r\n\r\n", [3])
@example(b"Response: Follows\r\n\r\n\r\n\r\nEvent\r\n\r\nEvent: \r\n\r\n: x\r\n\r\n", [])
@example(b"Event: UserEvent\r\nUserEvent: a\r\nUserEvent: b\r\nEvent: x\r\nActionID: 1\r\nActionID: 2\r\n\r\n", [])
def test_no_line_breaks_the_connection_without_telling_who_waits(data: bytes, at: list[int]) -> None:
    async def read() -> None:
        connection, protocol = made_connection()
        asked = [
            asyncio.create_task(connection.action("Ping", {})),
            asyncio.create_task(connection.db_get_tree("comunik-ended")),
            asyncio.create_task(connection.db_write("comunik-plan", [("a", "1"), ("b", None)])),
        ]
        await asyncio.sleep(0)
        ids = [key.encode() for key in connection.responses]
        for piece in pieces(data.replace(b"ActionID: 1", b"ActionID: " + ids[0]), at):
            protocol.data_received(piece)
        async with asyncio.timeout(5):
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert all(not isinstance(one, BaseException) or isinstance(one, AmiError) for one in outcomes), outcomes
        connection.close()
        with pytest.raises(AmiError):
            await connection.action("Ping", {})

    asyncio.run(read())


@FUZZ
@given(
    st.sampled_from(ENDS),
    st.dictionaries(
        st.sampled_from(sorted(ENDS[0])),
        st.one_of(hostile, spoiled([b"1~ANSWER~16~200~PJSIP/101-1~500", b"live", b"1795526077.0"]).map(repr)),
        min_size=1,
    ),
)
def test_no_end_of_a_call_breaks_the_records(end: dict[str, str], changes: dict[str, str]) -> None:
    sink, snapshot = Sink(), Snapshot(directory(), {})
    records = Records(sink, lambda: snapshot)
    for _ in range(2):
        assert record_end(end | changes, records) in (True, False)
    for record in sink.records:
        stored(record)


@FUZZ
@given(st.one_of(spoiled(REPORTS), st.binary(max_size=60)))
def test_no_kept_end_breaks_the_collecting(report: bytes) -> None:
    snapshot = Snapshot(directory(), {})
    headers = reported(report.decode("latin-1"))
    if record_end(headers, Records(sink := Sink(), lambda: snapshot)):
        assert headers["call"]
    for record in sink.records:
        stored(record)


@FUZZ
@given(hostile, hostile)
def test_no_value_smuggles_a_header_or_an_action_into_ami(key: str, value: str) -> None:
    async def frames() -> bytes:
        return Answers([(key, value), (key, None)]).frames("comunik-plan")

    try:
        safe(key, value)
        sent = asyncio.run(frames())
    except (UnsafeValue, UnicodeEncodeError):
        return
    put, delete, rest = sent.split(b"\r\n\r\n")
    assert rest == b""
    assert [line.partition(b":")[0] for line in put.split(b"\r\n")] == [
        b"Action",
        b"ActionID",
        b"Family",
        b"Key",
        b"Val",
    ]
    assert [line.partition(b":")[0] for line in delete.split(b"\r\n")] == [b"Action", b"ActionID", b"Family", b"Key"]
    assert all(len(line) <= LONGEST_LINE + 2 for line in sent.split(b"\r\n"))


def test_the_captured_calls_are_read() -> None:
    assert len(REPORTS) >= 3
    sink, snapshot = Sink(), Snapshot(directory(), {})
    records = Records(sink, lambda: snapshot)
    for report in REPORTS:
        assert record_end(reported(report.decode()), records)
    assert {record.status for record in sink.records} >= {"answered", "abandoned"}
