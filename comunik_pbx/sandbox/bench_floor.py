"""What asking any ARI application about a call costs: `python -m comunik_pbx.sandbox.bench_floor`.

Beside plain `Dial()`, in the same run: the same call that enters `Stasis()` first, of an application that does nothing
but let it go on, the shortest that can be written with aiohttp, once by HTTP and once by REST over its websocket (which
newer Asterisks know); and a call through comunik-pbx. The difference is what the decision, the guard, exact rings and
records cost.
"""

import asyncio
import statistics
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import msgspec

from comunik_pbx.sandbox.bench import LIVE, PLAIN, BenchAddresses, prepare
from comunik_pbx.sandbox.bench_calls import DIALPLAN, PHONES, Burst, Variant, burst, cpu_seconds
from comunik_pbx.sandbox.company import ARI_USER
from comunik_pbx.sandbox.errors import SandboxError
from comunik_pbx.sandbox.layout import Layout
from comunik_pbx.sandbox.sandbox import Sandbox, running

ROUNDS, CALLS, PER_SECOND = 6, 300, 50.0
BARE = Variant("Stasis() and a bare application", tuple(f"8{extension}" for extension in PHONES))
BARE_SOCKET = Variant("the same by its websocket alone", BARE.numbers)
BARE_DIALPLAN = """
exten => _81XX,1,Stasis(bare)
 same => n,Dial(${PJSIP_DIAL_CONTACTS(${EXTEN:1})},30)
 same => n,Hangup(${HANGUPCAUSE})
"""


async def application(url: str, user: str, password: str, *, by_socket: bool) -> None:
    """The bare application, for ever."""
    headers = {"Authorization": aiohttp.encode_basic_auth(user, password)}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def go_on(channel: str) -> None:
            async with session.post(f"{url}/channels/{channel}/continue") as response:
                await response.read()

        async with session.ws_connect(f"{url}/events?app=bare") as socket, asyncio.TaskGroup() as group:
            print("ready", flush=True)
            async for message in socket:
                event = msgspec.json.decode(message.data)
                if event["type"] != "StasisStart":
                    continue
                channel = event["channel"]["id"]
                if by_socket:
                    asked = {"type": "RESTRequest", "method": "POST", "uri": f"channels/{channel}/continue"}
                    await socket.send_str(msgspec.json.encode(asked).decode())
                else:
                    group.create_task(go_on(channel))


@asynccontextmanager
async def bare(sandbox: Sandbox, how: str) -> AsyncIterator[int]:
    """The bare application as a process: its pid."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "comunik_pbx.sandbox.bench_floor", how),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        if process.stdin is not None:
            process.stdin.write(" ".join((sandbox.ari_url, ARI_USER, sandbox.passwords.ari)).encode())
            process.stdin.close()
        async with asyncio.timeout(20):
            if process.stdout is None or not await process.stdout.readline():
                raise SandboxError("the bare application did not start")
        yield process.pid
    finally:
        process.terminate()
        await process.wait()


async def _main() -> None:
    layout = Layout.from_environment()
    own = Layout(layout.home / "bench", layout.root, BenchAddresses(layout.addresses.offset))
    own.home.mkdir(parents=True, exist_ok=True)
    asterisk: dict[Variant, list[float]] = defaultdict(list)
    application_ms: dict[Variant, list[float]] = defaultdict(list)

    def noted(variant: Variant, made: Burst, its_ms: float) -> None:
        if made.lost:
            raise SandboxError(f"{variant.name}: {made.lost} of {made.calls} calls were lost")
        asterisk[variant].append(made.asterisk_ms)
        application_ms[variant].append(its_ms)

    async with running(own, print, extra_dialplan=DIALPLAN + BARE_DIALPLAN, fresh=True) as sandbox:
        await prepare(sandbox)
        for _ in range(ROUNDS):
            made = await burst(sandbox, LIVE, calls=CALLS, per_second=PER_SECOND)
            noted(LIVE, made, made.service_ms)
            await sandbox.stop_service()
            noted(PLAIN, await burst(sandbox, PLAIN, calls=CALLS, per_second=PER_SECOND), 0.0)
            for variant, how in ((BARE, "http"), (BARE_SOCKET, "socket")):
                async with bare(sandbox, how) as pid:
                    before = cpu_seconds(pid)
                    made = await burst(sandbox, variant, calls=CALLS, per_second=PER_SECOND)
                    noted(variant, made, (cpu_seconds(pid) - before) * 1000 / CALLS)
            await sandbox.start_service()
    print(f"CPU per call, ms, medians of {ROUNDS} rounds of {CALLS} calls at {PER_SECOND:g} a second; ratio by rounds")
    for variant in (PLAIN, BARE, BARE_SOCKET, LIVE):
        rounds = [sum(one) for one in zip(asterisk[variant], application_ms[variant], strict=True)]
        ratio = statistics.median(one / plain for one, plain in zip(rounds, asterisk[PLAIN], strict=True))
        of_asterisk, its = statistics.median(asterisk[variant]), statistics.median(application_ms[variant])
        print(
            f"  {variant.name:34} {statistics.median(rounds):5.2f}  Asterisk {of_asterisk:5.2f}, program {its:5.2f},"
            f" ratio {ratio:4.2f}"
        )


if __name__ == "__main__":
    try:
        if sys.argv[1:]:
            asyncio.run(application(*sys.stdin.read().split(), by_socket=sys.argv[1] == "socket"))
        else:
            asyncio.run(_main())
    except SandboxError as error:
        sys.exit(str(error))
