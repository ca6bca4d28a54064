"""A process of SIP phones on baresip, told what to do over stdin and telling what happens over stdout.

baresip allows one SIP stack per process and ties it to one event loop; a process of its own leaves the tests
free to have a loop each, and a crash of native code ends the phones, not the tests. `phones` is its only user.

One JSON object a line. Requests `{"id": 1, "do": "dial", …}` are answered `{"id": 1, …}` or `{"id": 1, "error": "…"}`;
everything else is an event: `{"event": "incoming" | "established" | "closed" | "dtmf" | "sip" | "heard", …}`.
Calls and accounts are named by baresip's handles (integers). End of stdin ends the process.
"""

import asyncio
import json
import logging
import socket
import sys
import time
from array import array
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from baresip import Account, Call, Config, Runtime, UserAgent
from baresip.errors import AudioNotActive, AudioRestarted, BaresipError
from baresip.events import Event, StackEvent

from comunik_pbx.sandbox import tones

PACE_SECONDS = 0.06
AHEAD_SECONDS = 0.24  # how much sound is queued for sending
CLOSE_SECONDS = 2.0
TRACE_SECONDS = 0.03

HOST = "127.0.0.1"


def config(sip_port: int) -> Config:
    """Settings of the SIP stack: on loopback, UDP, any number of calls.

    Two phones may register for one extension, so each gets a contact of its own.
    """
    return Config(
        net_interface=HOST,
        sip_trace=True,
        native_log_level="warning",
        max_concurrent_calls=None,
        extra_config_text=f"sip_listen {HOST}:{sip_port}\nsip_transports udp\n"
        "sip_cuser_random yes\nrtp_ports 10000-14998\n",
    )


def free_port() -> int:
    """A UDP port nobody has at the moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


class SipTrace(logging.Handler):
    """Hands every SIP message sent or received to `tell` as an event."""

    def __init__(self, tell: Callable[[dict[str, Any]], None], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(logging.DEBUG)
        self._tell = tell
        self._loop = loop

    def emit(self, record: logging.LogRecord) -> None:
        """Called on baresip's log thread."""
        head, _, message = record.getMessage().partition("\n")
        words = head.split()
        if len(words) < 5 or words[0] not in ("TX", "RX"):
            return
        event = {"event": "sip", "at": record.created, "sent": words[0] == "TX", "message": message}
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._tell, event)


class Softphone:
    """The accounts and calls of this process."""

    def __init__(self) -> None:
        self._runtime = Runtime()
        self._accounts: dict[int, UserAgent] = {}
        self._hertz: dict[int, float] = {}
        self._said: dict[int, float] = {}
        self._calls: dict[int, Call] = {}
        self._sounds: dict[int, asyncio.Task[None]] = {}
        self._call_ids: dict[int, str | None] = {}  # of calls being dialled: `dial` does not return it

    async def run(self) -> None:
        """Serve requests until stdin ends."""
        loop = asyncio.get_running_loop()
        trace = logging.getLogger("baresip.native.sip")
        trace.setLevel(logging.DEBUG)
        trace.propagate = False
        trace.addHandler(SipTrace(self._tell, loop))
        sip_port = await self._start_stack()
        self._runtime.subscribe(self._on_event)
        lines: asyncio.StreamReader = asyncio.StreamReader(limit=2**20)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        self._tell({"event": "ready", "sip_port": sip_port})
        requests: set[asyncio.Task[None]] = set()
        while line := await lines.readline():
            task = asyncio.create_task(self._serve(json.loads(line)))
            requests.add(task)
            task.add_done_callback(requests.discard)
        await self._close()

    async def _start_stack(self) -> int:
        """Start baresip on a free port, another one if somebody was faster; returns the port."""
        for attempts_left in (2, 1, 0):
            sip_port = free_port()
            try:
                await self._runtime.start(config(sip_port))
            except BaresipError:
                if not attempts_left:
                    raise
                self._runtime = Runtime()
            else:
                break
        return sip_port

    async def _serve(self, request: dict[str, Any]) -> None:
        do: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]] = getattr(self, f"_do_{request['do']}")
        try:
            answer = await do(request)
        except (BaresipError, ValueError, KeyError) as error:
            answer = {"error": str(error) or type(error).__name__}
        self._tell({"id": request["id"], **answer})

    async def _do_account(self, request: dict[str, Any]) -> dict[str, Any]:
        """An account: `user`, `domain`, `password`, `hertz`; `register` or not, `catchall` for a carrier."""
        account = Account(
            user=request["user"],
            domain=request["domain"],
            password=request.get("password", ""),
            reg_interval=300 if request.get("register") else 0,
            audio_codecs=tuple(request.get("codecs", ("pcma", "pcmu"))),
            extra_params=("catchall=yes",) if request.get("catchall") else (),
        )
        agent = await UserAgent.create(self._runtime, account)
        self._accounts[agent.handle] = agent
        self._hertz[agent.handle] = request["hertz"]
        agent.on_incoming(self._on_incoming)
        if request.get("register"):
            await agent.register()
        return {"account": agent.handle}

    async def _do_unregister(self, request: dict[str, Any]) -> dict[str, Any]:
        await self._accounts[request["account"]].unregister()
        return {}

    async def _do_dial(self, request: dict[str, Any]) -> dict[str, Any]:
        call = await self._accounts[request["account"]].dial(request["uri"], headers=request.get("headers"))
        self._adopt(call, request["account"])
        return {"call": call.handle, "call_id": self._call_ids.pop(call.handle, call.call_id)}

    async def _do_answer(self, request: dict[str, Any]) -> dict[str, Any]:
        await self._calls[request["call"]].answer()
        return {}

    async def _do_reject(self, request: dict[str, Any]) -> dict[str, Any]:
        await self._calls[request["call"]].reject()
        return {}

    async def _do_hangup(self, request: dict[str, Any]) -> dict[str, Any]:
        await self._calls[request["call"]].hangup()
        return {}

    async def _do_hold(self, request: dict[str, Any]) -> dict[str, Any]:
        await self._calls[request["call"]].hold()
        return {}

    async def _do_resume(self, request: dict[str, Any]) -> dict[str, Any]:
        await self._calls[request["call"]].resume()
        return {}

    async def _do_press(self, request: dict[str, Any]) -> dict[str, Any]:
        await self._calls[request["call"]].send_dtmf(request["digits"])
        return {}

    async def _do_transfer(self, request: dict[str, Any]) -> dict[str, Any]:
        await self._calls[request["call"]].transfer(request["uri"])
        return {}

    async def _do_hand_over(self, request: dict[str, Any]) -> dict[str, Any]:
        await self._calls[request["call"]].attended_transfer(self._calls[request["to"]])
        return {}

    async def _do_say(self, request: dict[str, Any]) -> dict[str, Any]:
        """Say another tone into a call than its account's; 0 Hz is silence."""
        self._said[request["call"]] = request["hertz"]
        return {}

    def _on_incoming(self, call: Call) -> None:
        account = call._ua_handle
        self._adopt(call, account)
        self._tell({"event": "incoming", "account": account, "call": call.handle, "call_id": call.call_id})

    def _adopt(self, call: Call, account: int) -> None:
        self._calls[call.handle] = call
        self._sounds[call.handle] = asyncio.create_task(self._sound(call, account))

    def _on_event(self, event: StackEvent) -> None:
        names = {
            Event.CALL_ESTABLISHED: "established",
            Event.CALL_CLOSED: "closed",
            Event.CALL_DTMF_START: "dtmf",
        }
        if event.event in names:
            told = {"event": names[event.event], "call": event.call, "text": event.text, "at": time.time()}
            # The trace comes by another thread: let the CANCEL, BYE or refusal be told before the end it caused.
            delay = TRACE_SECONDS if event.event is Event.CALL_CLOSED else 0.0
            asyncio.get_running_loop().call_later(delay, self._tell, told)
        elif event.event is Event.CALL_OUTGOING:
            self._call_ids[event.call] = event.call_id
        if event.event is Event.CALL_CLOSED:
            self._calls.pop(event.call, None)
            self._said.pop(event.call, None)
            if sound := self._sounds.pop(event.call, None):
                sound.cancel()

    async def _sound(self, call: Call, account: int) -> None:
        """Say the account's tone into the call and tell what comes back, window by window, until it ends."""
        sent = 0
        window = array("h")
        while True:
            await asyncio.sleep(PACE_SECONDS)
            try:
                info = call.audio.info()
                if info.tx_ready:
                    rate = info.tx_sample_rate
                    wanted = int(AHEAD_SECONDS * rate) - info.tx_buffered // 2
                    if wanted > 0 and (hertz := self._said.get(call.handle, self._hertz[account])):
                        sent += call.audio.write(tones.tone(hertz, rate, sent, wanted)) // 2
                if info.rx_ready:
                    size = int(tones.WINDOW_SECONDS * info.rx_sample_rate)
                    window.frombytes(call.audio.read(8 * size))
                    while len(window) >= size:
                        heard = tones.measure(window[:size], info.rx_sample_rate)
                        del window[:size]
                        self._tell(
                            {
                                "event": "heard",
                                "call": call.handle,
                                "kind": heard.kind,
                                "level": round(heard.level, 1),
                                "hertz": round(heard.hertz, 1),
                            }
                        )
            except AudioNotActive:
                continue
            except AudioRestarted:
                sent = 0
                del window[:]

    def _tell(self, message: dict[str, Any]) -> None:
        message.setdefault("at", time.time())
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()

    async def _close(self) -> None:
        for call in list(self._calls.values()):
            with suppress(BaresipError):
                await call.hangup()
        agents = [agent for agent in self._accounts.values() if agent._registered]
        leaving = [asyncio.create_task(agent.unregister(timeout=CLOSE_SECONDS)) for agent in agents]
        if leaving:
            await asyncio.wait(leaving, timeout=CLOSE_SECONDS + 0.5)
            for task in leaving:
                with suppress(BaresipError, asyncio.InvalidStateError):
                    task.exception()
        for sound in self._sounds.values():
            sound.cancel()
        await self._runtime.close()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    asyncio.run(Softphone().run())
