"""Nothing the sandbox starts outlives it."""

import asyncio
import os
import signal
import sys

from comunik_pbx.sandbox.processes import stop
from comunik_pbx.sandbox.softphone_process import Event, SoftphoneProcess

PARENT = """
import asyncio
from comunik_pbx.sandbox import processes
async def main():
    child = await processes.start(["sleep", "60"])
    print(child.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_a_child_dies_with_a_parent_that_is_killed() -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    child = int(await asyncio.wait_for(parent.stdout.readline(), 20))
    descriptor = os.pidfd_open(child)
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, gone.set)
    parent.kill()
    await parent.wait()
    await asyncio.wait_for(gone.wait(), 5)
    asyncio.get_running_loop().remove_reader(descriptor)
    os.close(descriptor)


async def test_one_that_ignores_sigterm_is_killed() -> None:
    script = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    await asyncio.wait_for(process.stdout.readline(), 20)
    await stop(process, seconds=0.2)
    assert process.returncode == -signal.SIGKILL


async def test_dead_phones_are_told() -> None:
    deaths: list[str] = []
    events: list[Event] = []
    softphone = await SoftphoneProcess.start(events.append, deaths.append)
    softphone._process.kill()
    await asyncio.wait_for(softphone._reader, 5)
    assert deaths == ["the process of the SIP phones ended with status -9"]
    await softphone.close()
