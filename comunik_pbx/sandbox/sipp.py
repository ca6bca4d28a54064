"""SIPp for what a softphone cannot do: exact SIP answers, silence, forged headers, many calls.

    async with sipp.switch(sandbox, "carrier", [180, 0.5, 603]) as carrier:   # the trunk's far end
        ...
        invite = await carrier.received("INVITE")
        cancel = await carrier.received("CANCEL")
        cancel.at - invite.at

    async with sipp.phone(sandbox, "101", [180, 603]):                        # registered, declines every call
    async with sipp.caller(sandbox, "+33170000101", from_uri="sip:101@…", headers=[…]) as caller:
        assert (await caller.final()).status == 480

What a `script` says is done with each INVITE, in order: an int sends that status, a float waits that many seconds.
`[]` never answers anything. If the script ends before a final answer, the CANCEL is waited for (200, 487).
After 200 the caller's BYE is waited for; audio is echoed. `messages` are all SIP messages with their times.
"""

import asyncio
import re
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from comunik_pbx.sandbox import processes
from comunik_pbx.sandbox.errors import NotHeard, PhoneError
from comunik_pbx.sandbox.layout import CARRIER_PORT
from comunik_pbx.sandbox.sandbox import Sandbox
from comunik_pbx.sandbox.sip_message import SipMessage
from comunik_pbx.sandbox.sipp_scenarios import SILENCE, SOUND, Fax, answering, calling, registering

POLL_SECONDS = 0.02  # SIPp tells what it does only in its message file
WAIT_SECONDS = 10.0
REGISTER_SECONDS = 10.0
REPEATS_SECONDS = 17.0  # the longest pause of an INVITE that nobody answers is 16 s (Timer A, RFC 3261 17.1.1.2)

Wanted = Callable[[SipMessage], bool]


class Sipp:
    """One running SIPp. `messages` is what went over the wire so far, with microseconds."""

    def __init__(self, process: asyncio.subprocess.Process, directory: Path, who: str) -> None:
        self._process = process
        self._directory = directory
        self._who = who

    @property
    def messages(self) -> list[SipMessage]:
        """Every SIP message sent or received so far, in order."""
        try:
            return list(parse_messages((self._directory / "messages.log").read_text(errors="replace")))
        except FileNotFoundError:
            return []

    @property
    def invites(self) -> list[SipMessage]:
        """The INVITEs received, repetitions (the same branch) left out."""
        seen: dict[str | None, SipMessage] = {}
        for message in self.messages:
            if message.method == "INVITE" and not message.sent:
                seen.setdefault(message.header("Via"), message)
        return list(seen.values())

    async def received(self, what: str | int, within: float = WAIT_SECONDS) -> SipMessage:
        """The first request with this method or response with this status, received by now or within `within`."""
        return await self._wait(lambda m: not m.sent and what in (m.method, m.status), str(what), within)

    async def received_body(self, text: str, within: float = WAIT_SECONDS) -> SipMessage:
        """The first message received with `text` in its body, such as `m=image`."""
        return await self._wait(lambda m: not m.sent and text in m.body, f"a message with {text}", within)

    async def final(self, within: float = WAIT_SECONDS) -> SipMessage:
        """The final answer (200 or higher) to the INVITE a caller sent."""
        return await self._wait(
            lambda m: not m.sent and m.for_method == "INVITE" and (m.status or 0) >= 200,
            "a final answer",
            within,
        )

    @property
    def statuses(self) -> list[int]:
        """The answers a caller got to its INVITE, without 100 and repetitions in a row."""
        seen: list[int] = []
        for message in self.messages:
            if message.sent or message.for_method != "INVITE" or message.status in (None, 100, *seen[-1:]):
                continue
            seen.append(message.status or 0)
        return seen

    async def finished(self, within: float = 60.0) -> int:
        """Wait until SIPp has made or taken all its calls; its exit status (0 all right, 1 some call failed)."""
        try:
            return await asyncio.wait_for(self._process.wait(), within)
        except TimeoutError:
            raise NotHeard(f"{self._who}: SIPp still has calls after {within:g} s") from None

    async def _wait(self, wanted: Wanted, what: str, within: float) -> SipMessage:
        async def find() -> SipMessage:
            while True:
                ended = self._process.returncode
                if found := next((m for m in self.messages if wanted(m)), None):
                    return found
                if ended is not None:
                    raise PhoneError(f"{self._who}: SIPp ended with status {ended} before {what}: {self._errors()}")
                await asyncio.sleep(POLL_SECONDS)

        try:
            return await asyncio.wait_for(find(), within)
        except TimeoutError:
            said = [m.start_line for m in self.messages]
            raise NotHeard(f"{self._who}: {what} did not come within {within:g} s; messages: {said}") from None

    def _errors(self) -> str:
        path = self._directory / "errors.log"
        text = path.read_text(errors="replace") if path.exists() else ""
        return " ".join(text.split())[:400] or "it said nothing"


def parse_messages(log: str) -> list[SipMessage]:
    """The messages in a file SIPp wrote with -trace_msg."""
    found: list[SipMessage] = []
    parts = re.split(r"^-{20,} (\d{4}-\S+(?:[ \t]+\S+)?)[ \t]*$", log, flags=re.MULTILINE)
    for stamp, text in zip(parts[1::2], parts[2::2], strict=True):
        match = re.match(r"\s*UDP message (sent|received)[^\n]*:\s*\n\s*\n(.*)", text, re.DOTALL)
        if match:
            at = datetime.fromisoformat(" ".join(stamp.split()[:2])).timestamp()
            found.append(SipMessage(at, match[1] == "sent", match[2]))
    return found


@asynccontextmanager
async def switch(
    sandbox: Sandbox, trunk: str, script: Sequence[int | float], *, headers: Sequence[str] = (), fax: Fax | None = None
) -> AsyncIterator[Sipp]:
    """The far end of a trunk: does `script` with every INVITE the PBX sends there. `headers` go into answers."""
    address = sandbox.layout.addresses.carriers[trunk]
    async with station(sandbox, address, CARRIER_PORT, script, headers=headers, who=trunk, fax=fax) as sipp:
        yield sipp


@asynccontextmanager
async def dead(sandbox: Sandbox, trunk: str) -> AsyncIterator[None]:
    """A trunk with nobody at its far end, for one INVITE.

    Asterisk repeats that INVITE for 32 s (Timer B, RFC 3261 17.1.1.2), into whatever is tested next; so at the end
    its next repetition is awaited and refused.
    """
    yield
    async with switch(sandbox, trunk, [503]) as late:
        await late.received("ACK", REPEATS_SECONDS)


@asynccontextmanager
async def silent(sandbox: Sandbox, trunk: str) -> AsyncIterator[Sipp]:
    """The far end of a trunk that takes one INVITE and never answers it; at the end as `dead`."""
    async with dead(sandbox, trunk), switch(sandbox, trunk, []) as sipp:
        yield sipp


@asynccontextmanager
async def station(
    sandbox: Sandbox,
    address: str,
    port: int,
    script: Sequence[int | float],
    *,
    headers: Sequence[str] = (),
    who: str = "SIPp",
    early_media: bool = False,
    fax: Fax | None = None,
) -> AsyncIterator[Sipp]:
    """Whoever is called at this address and UDP port: does `script` with every INVITE."""
    processes.require_free(address, port, socket.SOCK_DGRAM, f"SIPp as {who}")
    scenario = answering(script, headers, early_media, fax)
    async with _running(sandbox, scenario, ["-i", address, "-p", str(port)], who) as sipp:
        yield sipp


@asynccontextmanager
async def phone(
    sandbox: Sandbox,
    extension: str,
    script: Sequence[int | float],
    *,
    headers: Sequence[str] = (),
    early_media: bool = False,
    fax: Fax | None = None,
) -> AsyncIterator[Sipp]:
    """A phone registered for `extension` that does `script` with every call. `[302]` needs a Contact in `headers`.

    With `early_media` its 180 has SDP, as its 183 always has.
    """
    port = _free_port(sandbox.layout.addresses.host)
    await register(sandbox, extension, port, expires=120)
    try:
        host = sandbox.layout.addresses.host
        who = f"phone {extension}"
        async with station(
            sandbox, host, port, script, headers=headers, who=who, early_media=early_media, fax=fax
        ) as sipp:
            yield sipp
    finally:
        await register(sandbox, extension, port, expires=0)


@asynccontextmanager
async def caller(
    sandbox: Sandbox,
    number: str,
    *,
    trunk: str | None = "carrier",
    from_uri: str | None = None,
    display: str = "",
    headers: Sequence[str] = (),
    talk_seconds: float = 0.5,
    cancel_after: float | None = None,
    calls: int = 1,
    per_second: float = 10.0,
    fields: Path | None = None,
    fax: Fax | None = None,
    sound: bool = False,
) -> AsyncIterator[Sipp]:
    """Calls `number` from a trunk's address (None: from an address the PBX does not know).

    `headers` are whole lines such as `Privacy: id`. Hangs up `talk_seconds` after the answer, or sends CANCEL
    `cancel_after` seconds after the first 180 or 183. With `calls` more than 1, `per_second` of them start.
    With `sound` it speaks while it talks: 50 packets a second of G.711, which whoever answers echoes.
    `fields` is a file of SIPp's (`-inf`): `[field0]` in `number` and `from_uri` is the first column of the next line.
    """
    addresses = sandbox.layout.addresses
    address = addresses.carriers[trunk] if trunk else f"127.0.{addresses.offset}.99"
    scenario = calling(
        number,
        from_uri=from_uri or f"sip:+33140000000@{address}",
        display=display,
        headers=headers,
        talk_seconds=talk_seconds,
        cancel_after=cancel_after,
        fax=fax,
        sound=sound,
    )
    port = str(_free_port(address))
    arguments = [
        f"{addresses.host}:{addresses.sip}",
        *(
            "-i",
            address,
            "-p",
            port,
            "-m",
            str(calls),
            "-r",
            str(per_second),
            "-l",
            str(max(calls, 1)),
            "-timer_resol",
            "1",
        ),
        *(("-inf", str(fields)) if fields else ()),
    ]
    async with _running(sandbox, scenario, arguments, f"caller of {number}") as sipp:
        yield sipp


async def register(sandbox: Sandbox, extension: str, port: int, *, expires: int) -> None:
    """Register a phone of this extension at a UDP port of the sandbox's host, for `expires` seconds (0: no more)."""
    addresses = sandbox.layout.addresses
    scenario = registering(extension, sandbox.passwords.phones[extension], expires)
    arguments = [f"{addresses.host}:{addresses.sip}", "-i", addresses.host, "-p", str(port), "-m", "1"]
    async with _running(sandbox, scenario, arguments, f"registration of {extension}") as sipp:
        if await sipp.finished(REGISTER_SECONDS):
            raise PhoneError(f"SIPp could not register {extension}: {sipp._errors()}")


@asynccontextmanager
async def _running(sandbox: Sandbox, scenario: str, arguments: list[str], who: str) -> AsyncIterator[Sipp]:
    with tempfile.TemporaryDirectory(prefix="sipp-") as name:
        directory = Path(name)
        (directory / "scenario.xml").write_text(scenario)
        (directory / SOUND).write_bytes(SILENCE)
        command: list[str | Path] = [
            *sandbox.sipp.command,
            *(
                "-sf",
                directory / "scenario.xml",
                "-nostdin",
                "-rtp_echo",
                "-mi",
                sandbox.layout.addresses.host,
            ),
            *("-mp", str(_free_port(sandbox.layout.addresses.host))),
            *("-trace_msg", "-message_file", directory / "messages.log"),
            *("-trace_err", "-error_file", directory / "errors.log"),
            *arguments,
        ]
        with (directory / "out").open("wb") as output:
            process = await processes.start(command, stdout=output.fileno(), stderr=output.fileno(), cwd=directory)
        sipp = Sipp(process, directory, who)
        try:
            await _listening(process, arguments)
            yield sipp
        finally:
            process.kill() if process.returncode is None else None
            await process.wait()


async def _listening(process: asyncio.subprocess.Process, arguments: list[str]) -> None:
    """Wait until SIPp has its port (it says so nowhere)."""
    address, port = arguments[arguments.index("-i") + 1], int(arguments[arguments.index("-p") + 1])
    async with asyncio.timeout(WAIT_SECONDS):
        while process.returncode is None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                try:
                    probe.bind((address, port))
                except OSError:
                    return
            await asyncio.sleep(POLL_SECONDS)


def _free_port(address: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port
