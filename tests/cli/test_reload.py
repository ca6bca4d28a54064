"""`reload` finds the running service by the store, sends SIGHUP, and waits for the outcome."""

import asyncio
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from comunik_pbx.store import Service, Store
from comunik_pbx.store.rows import process_mark
from tests.cli.conftest import Run

# A service as `reload` knows it: a row in the store, changed on SIGHUP.
SERVICE = """
    import asyncio, os, signal, sys
    from datetime import UTC, datetime
    import msgspec
    from comunik_pbx.store import Service, Store
    from comunik_pbx.store.rows import process_mark

    async def serve(url, config, outcome):
        hangup = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hangup.set)
        async with await Store.open(url) as store:
            now = datetime.now(UTC)
            pid = os.getpid()
            me = Service(pid=pid, process=process_mark(pid), started_at=now, config=config, loaded_at=now)
            await store.put_service(me)
            print("ready", flush=True)
            await hangup.wait()
            if outcome == "die":
                return
            if outcome == "hang":
                await asyncio.sleep(60)
            loaded = msgspec.structs.replace(me, loaded_at=datetime.now(UTC), load_outcome=outcome)
            await store.put_service(loaded)
            await asyncio.sleep(60)

    asyncio.run(serve(*sys.argv[1:]))
"""


@pytest.fixture
def service(main: Path, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A running service; the parameter is what its next load will say."""
    url = f"sqlite:///{main.parent}/comunik.db"
    arguments = [sys.executable, "-c", textwrap.dedent(SERVICE), url, str(main), request.param]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


@pytest.mark.parametrize("service", [""], indirect=True)
def test_reloaded(run: Run, main: Path, service: subprocess.Popen[str]) -> None:
    assert run("reload").good == f"reloaded: process {service.pid} now works with {main}"


@pytest.mark.parametrize("service", ["comunik.toml: no"], indirect=True)
def test_the_service_s_refusal_is_reported(run: Run, service: subprocess.Popen[str]) -> None:
    expected = "the service refused its configuration and goes on with the one before:\ncomunik.toml: no"
    assert run("reload").refusal == expected


@pytest.mark.parametrize("service", ["die"], indirect=True)
def test_the_service_ends(run: Run, service: subprocess.Popen[str]) -> None:
    assert run("reload", "--timeout", "1").refusal == f"the service (process {service.pid}) ended; see its log"


@pytest.mark.parametrize("service", ["hang"], indirect=True)
def test_no_answer(run: Run, service: subprocess.Popen[str]) -> None:
    expected = f"the service (process {service.pid}) has not answered in 0.5 s; see its log"
    assert run("reload", "--timeout", "0.5").refusal == expected


@pytest.mark.parametrize("service", [""], indirect=True)
def test_a_bad_file_is_reported_and_the_service_left_alone(
    run: Run, main: Path, service: subprocess.Popen[str]
) -> None:
    main.write_text(main.read_text().replace("language", "langage"))
    assert run("reload").refusal == f"{main}: langage: unknown key; right: did you mean language?"
    assert service.poll() is None


@pytest.mark.parametrize("service", [""], indirect=True)
def test_another_configuration_s_service(run: Run, main: Path, service: subprocess.Popen[str]) -> None:
    other = main.with_name("other.toml")
    other.write_text(main.read_text())
    reason = run("reload", "--config", str(other)).refusal
    assert reason.startswith(f"the running service (process {service.pid}) uses {main}, not {other}; right: ")


def test_no_service(run: Run, main: Path) -> None:
    reason = f"no service runs with {main}; start it with `comunik-pbx run` (or systemctl start comunik-pbx)"
    assert run("reload").refusal == reason
    now = datetime.now(UTC)
    # A process with that pid lives, but it is another: it must not be sent SIGHUP, which would end it.
    gone = Service(pid=os.getpid(), process="another boot/1", started_at=now, config=str(main), loaded_at=now)
    assert process_mark(os.getpid()) != gone.process

    async def put() -> None:
        async with await Store.open(f"sqlite:///{main.parent}/comunik.db") as store:
            await store.put_service(gone)

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(put())
    assert run("reload").refusal == reason
