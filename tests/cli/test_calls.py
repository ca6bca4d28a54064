"""`calls` prints the records, the newest last."""

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from comunik_pbx.store import CallRow, Store
from tests.cli.conftest import Run

STARTED = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)


def row(number: int, **changes: object) -> CallRow:
    values: dict[str, object] = {
        "id": f"17.{number}",
        "started_at": STARTED + timedelta(minutes=number),
        "ended_at": STARTED + timedelta(minutes=number, seconds=30),
        "caller": "+33140000000",
        "called": "+33170000101",
        "extension": "101",
        "origin": "external",
        "decided": "live",
        "plan": [
            {"kind": "ring", "extension": "101", "rings": 3},
            {"kind": "forward", "to": "+33612345678", "trunk": "carrier"},
            {"kind": "voicemail", "mailbox": "101@default"},
        ],
        "outcome": [{"index": 1, "status": "ANSWER", "answered_by": "PJSIP/carrier-0000000a"}],
        "status": "answered",
        "cause": 16,
    }
    return CallRow(**{**values, **changes})  # type: ignore[arg-type]


def put(main: Path, *rows: CallRow) -> None:
    async def put_all() -> None:
        async with await Store.open(f"sqlite:///{main.parent}/comunik.db") as store:
            await store.put_calls(rows)

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(put_all())


def test_no_calls(run: Run) -> None:
    assert run("calls").good == "no calls yet"
    assert json.loads(run("calls", "--json").good) == []


def test_newest_last(run: Run, main: Path) -> None:
    put(main, row(1), row(2, extension="102", called="102", status="ended", cause=19, outcome=[]))
    lines = run("calls").good.splitlines()
    assert len(lines) == 3
    assert "+33170000101 (101)" in lines[1]
    assert "ring 101 ×3 → +33612345678 by carrier → voicemail 101@default" in lines[1]
    assert "answered by PJSIP/carrier-0000000a" in lines[1]
    assert "ended, cause 19" in lines[2]
    assert [record["id"] for record in json.loads(run("calls", "--json").good)] == ["17.1", "17.2"]
    assert [record["id"] for record in json.loads(run("calls", "--json", "-e", "101").good)] == ["17.1"]
    assert [record["id"] for record in json.loads(run("calls", "--json", "--limit", "1").good)] == ["17.2"]


def test_follow_prints_each_call_as_it_ends(main: Path) -> None:
    put(main, row(1))
    command = [sys.executable, "-m", "comunik_pbx.cli", "calls", "--follow", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ, text=True
    ) as following:
        assert following.stdout is not None
        assert following.stderr is not None
        assert json.loads(following.stdout.readline())["id"] == "17.1"
        put(main, row(2, ended_at=None, status=None))
        put(main, row(3))
        while not select.select([following.stdout], [], [], 0.2)[0]:  # it may not have been listening yet
            put(main, row(3))
        assert json.loads(following.stdout.readline())["id"] == "17.3"
        following.send_signal(signal.SIGINT)
        assert following.wait(10) == 0
        assert following.stderr.read() == ""
