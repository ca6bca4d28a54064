"""Capture what a real Asterisk sends, byte for byte, for the mutations of `tests/fuzz`.

python -m tests.fuzz.capture        # writes tests/fuzz/captured/
"""

import asyncio
import base64
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import aiohttp
import msgspec

from comunik_pbx.calls.exact_rings import CALLER, LEG
from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.company import AMI_USER, ARI_USER
from comunik_pbx.sandbox.layout import Layout
from comunik_pbx.sandbox.sandbox import Sandbox, running

CAPTURED = Path(__file__).parent / "captured"
TAG = "123456789012"
PLAN = "1|ring~101~101~1~2~next~~~~|voicemail~101@default~unavailable~101~1|end~19"


async def capture(sandbox: Sandbox) -> tuple[list[str], bytes, bytes]:
    """Events of ARI as text, all that AMI says, and all that ARI's HTTP server answers: of three calls."""
    addresses, basic = sandbox.layout.addresses, aiohttp.encode_basic_auth(ARI_USER, sandbox.passwords.ari)
    host, answers, said, events = addresses.host, bytearray(), bytearray(), []

    async def ask(writer: asyncio.StreamWriter, method: str, path: str, body: bytes = b"") -> None:
        kind = "Content-Type: application/json\r\n" if body else ""
        head = f"{method} /ari{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {basic}\r\n{kind}"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()

    async def keep(reader: asyncio.StreamReader, into: bytearray) -> None:
        while data := await reader.read(65536):
            into += data

    async def decide(socket: aiohttp.ClientWebSocketResponse, rest: asyncio.StreamWriter) -> None:
        async for message in socket:
            events.append(message.data)
            event = msgspec.json.decode(message.data)
            if event["type"] == "StasisStart" and event["args"][0] == "incoming":
                channel, passes = event["channel"]["id"], event["args"][4]
                value = {"variable": "CK_HANDOVER_000", "value": f"{TAG}!{PLAN}"}
                await ask(rest, "GET", f"/channels/{channel}")
                await ask(rest, "POST", "/asterisk/variable", msgspec.json.encode(value))
                for function in (CALLER, LEG):
                    await ask(rest, "GET", f"/channels/{channel}/variable?variable={quote(function, safe='')}")
                await ask(rest, "GET", "/endpoints/PJSIP/carrier")
                await ask(
                    rest,
                    "POST",
                    f"/channels/{channel}/continue?context=comunik-execute&extension=000{TAG}{passes}&priority=1",
                )
            elif event["type"] == "StasisEnd":
                await ask(rest, "POST", f"/channels/{event['channel']['id']}/continue")
                await ask(rest, "GET", "/channels/none")

    ami_reader, ami = await asyncio.open_connection(host, addresses.ami)
    rest_reader, rest = await asyncio.open_connection(host, addresses.ari)
    login = f"Action: Login\r\nActionID: 1\r\nUsername: {AMI_USER}\r\nSecret: {sandbox.passwords.ami}\r\n"
    ami.write(f"{login}Events: off\r\n\r\n".encode())
    url = f"{sandbox.ari_url}/events?app=comunik-pbx&subscribeAll=true"
    async with (
        aiohttp.ClientSession(headers={"Authorization": basic}) as session,
        session.ws_connect(url) as socket,
        asyncio.TaskGroup() as group,
    ):
        tasks = [
            group.create_task(keep(ami_reader, said)),
            group.create_task(keep(rest_reader, answers)),
            group.create_task(decide(socket, rest)),
        ]
        await ask(rest, "GET", "/asterisk/ping")
        async with sipp.phone(sandbox, "101", [180, 0.2, 200]), sipp.caller(sandbox, "101") as answered:
            await answered.finished()
        async with sipp.caller(sandbox, "+33170000101", headers=["Privacy: id"], display="Jérôme") as unregistered:
            with suppress(Exception):
                await unregistered.finished(3)
        async with sipp.phone(sandbox, "101", [180]), sipp.caller(sandbox, "101", cancel_after=0.2) as gives_up:
            await gives_up.finished()
        await ask(rest, "GET", "/channels")
        ami.write(b"Action: DBPut\r\nActionID: 8\r\nFamily: comunik-plan\r\nKey: did/1\r\nVal: 101\r\n\r\n")
        ami.write(b"Action: DBGetTree\r\nActionID: 9\r\nFamily: comunik-ended\r\n\r\n")
        ami.write(b"Action: DBDel\r\nActionID: 10\r\nFamily: comunik-ended\r\nKey: none\r\n\r\n")
        ami.write(b"Action: DBGetTree\r\nActionID: 11\r\nFamily: none\r\n\r\n")
        ami.write(b"Action: Originate\r\nActionID: 12\r\n\r\n")
        await asyncio.sleep(1)
        for task in tasks:
            task.cancel()
    ami.close()
    rest.close()
    secret = base64.b64encode(f"{ARI_USER}:{sandbox.passwords.ari}".encode())
    assert secret not in answers
    return events, bytes(said), bytes(answers)


async def main() -> None:
    layout = Layout.from_environment().for_tests()
    async with running(layout, print, service=False, fresh=True) as sandbox:
        events, said, answers = await capture(sandbox)
    CAPTURED.mkdir(exist_ok=True)
    kinds: dict[str, list[str]] = {}
    for event in events:
        kinds.setdefault(msgspec.json.decode(event)["type"], []).append(event)
    few = [event for kind, several in kinds.items() for event in (several if kind == "StasisStart" else several[:3])]
    (CAPTURED / "ari_events.jsonl").write_text("\n".join(few) + "\n")
    (CAPTURED / "ami.bin").write_bytes(said)
    (CAPTURED / "ari_http.bin").write_bytes(answers)
    print({kind: len(several) for kind, several in kinds.items()}, len(said), len(answers))


if __name__ == "__main__":
    asyncio.run(main())
