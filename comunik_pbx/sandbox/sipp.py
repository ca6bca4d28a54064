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
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from xml.sax.saxutils import quoteattr

from comunik_pbx.sandbox import processes
from comunik_pbx.sandbox.errors import NotHeard, PhoneError
from comunik_pbx.sandbox.layout import CARRIER_PORT
from comunik_pbx.sandbox.sandbox import Sandbox
from comunik_pbx.sandbox.sip_message import SipMessage

POLL_SECONDS = 0.02  # SIPp tells what it does only in its message file
WAIT_SECONDS = 10.0
REGISTER_SECONDS = 10.0
REPEATS_SECONDS = 17.0  # the longest pause of an INVITE that nobody answers is 16 s (Timer A, RFC 3261 17.1.1.2)

SOUND = "sound.ulaw"
SILENCE = bytes([0xFF]) * 8000
"""A second of it, in µ-law: a call's packets cost the same whatever is said."""

_REASONS = {
    180: "Ringing", 181: "Call Is Being Forwarded", 183: "Session Progress", 200: "OK", 302: "Moved Temporarily",
    403: "Forbidden", 404: "Not Found", 408: "Request Timeout", 480: "Temporarily Unavailable", 486: "Busy Here",
    487: "Request Terminated", 488: "Not Acceptable Here", 500: "Server Internal Error", 502: "Bad Gateway",
    503: "Service Unavailable", 600: "Busy Everywhere", 603: "Decline", 604: "Does Not Exist Anywhere",
}  # fmt: skip

_SDP = """v=0
o=sipp 1 1 IN IP4 [media_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 8 0 101
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=sendrecv"""

_SPEAKING_SDP = """v=0
o=sipp 1 1 IN IP4 [media_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [rtpstream_audio_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
a=sendrecv"""
_SPEAK = f'<nop><action><exec rtp_stream="{SOUND},-1,0,PCMU/8000"/></action></nop>'

_FAX_SDP = """v=0
o=sipp 1 2 IN IP4 [media_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=image {port} udptl t38
a=T38FaxVersion:0
a=T38MaxBitRate:14400
a=T38FaxRateManagement:transferredTCF
a=T38FaxMaxDatagram:400
a=T38FaxUdpEC:t38UDPRedundancy"""

Wanted = Callable[[SipMessage], bool]


@dataclass(frozen=True)
class Fax:
    """One side of a call that becomes a fax (T.38): it sends the re-INVITE, or takes it. UDPTL goes to `port`."""

    offers: bool
    port: int


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


def answering(
    script: Sequence[int | float],
    headers: Sequence[str] = (),
    early_media: bool = False,
    fax: Fax | None = None,
) -> str:
    """The scenario of one who is called."""
    remembered = _remember(theirs="From:", ours="To:") if fax and fax.offers else ""
    steps = [f'<recv request="INVITE" crlf="true" rrs="true">{remembered}</recv>']
    final = 0
    for step in script:
        if isinstance(step, float):
            steps.append(f'<pause milliseconds="{round(step * 1000)}"/>')
        else:
            steps.append(_answer(step, headers, sdp=step in (183, 200) or (early_media and step == 180)))
            final = step if step >= 200 else 0
    if final == 200:
        steps += ['<recv request="ACK"/>']
        if fax:
            steps += _becomes_fax(fax, "From: [$ours];tag=[call_number]\nTo: [$theirs]", cseq=1)
        steps += ['<recv request="BYE" timeout="600000"/>', _bare_ok()]
    elif final:
        steps.append('<recv request="ACK"/>')
    elif script:
        steps += [
            '<recv request="CANCEL" timeout="600000"/>',
            _bare_ok(),
            _terminated(),
            '<recv request="ACK"/>',
        ]
    else:
        steps.append('<pause milliseconds="600000"/>')
    return _scenario("answering", steps)


def calling(
    number: str,
    *,
    from_uri: str,
    display: str,
    headers: Sequence[str],
    talk_seconds: float,
    cancel_after: float | None,
    fax: Fax | None = None,
    sound: bool = False,
) -> str:
    """The scenario of one who calls."""
    name = f'"{display}" ' if display else ""
    extra = "".join(f"{header}\n" for header in headers)
    invite = (
        f"INVITE sip:{number}@[remote_ip]:[remote_port] SIP/2.0\n"
        "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=z9hG4bK-[pid]-[call_number]-invite;rport\n"
        f"From: {name}<{from_uri}>;tag=[call_number]\nTo: <sip:{number}@[remote_ip]>\nCall-ID: [call_id]\n"
        "CSeq: 1 INVITE\nContact: <sip:sipp@[local_ip]:[local_port]>\nMax-Forwards: 70\n"
        f"{extra}Content-Type: application/sdp\nContent-Length: [len]\n\n{_SPEAKING_SDP if sound else _SDP}"
    )
    request = (
        "{method} {uri} SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch};rport\n"
        f"From: {name}<{from_uri}>;tag=[call_number]\n{{to}}\nCall-ID: [call_id]\nCSeq: {{cseq}} {{method}}\n"
        "Max-Forwards: 70\nContent-Length: 0"
    )
    uri = f"sip:{number}@[remote_ip]:[remote_port]"
    plain_to = f"To: <sip:{number}@[remote_ip]>"
    same = "z9hG4bK-[pid]-[call_number]-invite"  # CANCEL and the ACK of a refusal belong to the INVITE's transaction
    ack = request.format(method="ACK", uri=uri, branch=same, to="[last_To:]", cseq=1)
    if cancel_after is not None:
        cancel = request.format(method="CANCEL", uri=uri, branch=same, to=plain_to, cseq=1)
        steps = [
            _send(invite),
            '<recv response="100" optional="true"/>',
            '<recv response="183" optional="true" next="1"/>',
            '<recv response="180"/>',
            '<label id="1"/>',
            f'<pause milliseconds="{round(cancel_after * 1000)}"/>',
            _send(cancel),
            '<recv response="180" optional="true"/>',
            '<recv response="183" optional="true"/>',
            '<recv response="200"/>',
            '<recv response="487"/>',
            _send(ack),
        ]
        return _scenario("calling and giving up", steps)
    bye = request.format(method="BYE", uri="[next_url]", branch="[branch]", to="[last_To:]", cseq=2)
    becomes_fax: list[str] = []
    if fax:
        who = f"From: {name}<{from_uri}>;tag=[call_number]\nTo: [$theirs]"
        becomes_fax, bye = _becomes_fax(fax, who, cseq=2), _in_dialog("BYE", who, 3)
    refusals = (302, 400, 403, 404, 408, 410, 480, 484, 486, 487, 488, 500, 501, 502, 503, 504, 600, 603, 604)
    steps = [
        _send(invite),
        *(f'<recv response="{status}" optional="true"/>' for status in (100, 180, 181, 183)),
        *(f'<recv response="{status}" optional="true" next="9"/>' for status in refusals),
        f'<recv response="200" rrs="true" timeout="120000">{_remember(theirs="To:") if fax else ""}</recv>',
        _send(request.format(method="ACK", uri="[next_url]", branch="[branch]", to="[last_To:]", cseq=1)),
        *becomes_fax,
        *([_SPEAK] if sound else []),
        f'<pause milliseconds="{round(talk_seconds * 1000)}"/>',
        bye if fax else _send(bye),
        '<recv response="200" next="10"/>',
        '<label id="9"/>',
        _send(ack),
        '<label id="10"/>',
    ]
    return _scenario("calling", steps)


def _becomes_fax(fax: Fax, who: str, cseq: int) -> list[str]:
    """An answered call becomes a fax: steps of the side that sends the re-INVITE (T.38 Annex D), or takes it."""
    sdp = _FAX_SDP.format(port=fax.port)
    if fax.offers:
        return [
            '<pause milliseconds="300"/>',
            _in_dialog("INVITE", who, cseq, sdp),
            '<recv response="100" optional="true"/>',
            '<recv response="200"/>',
            _in_dialog("ACK", who, cseq),
        ]
    answer = (
        "SIP/2.0 200 OK\n[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]\n"
        f"Contact: <sip:[local_ip]:[local_port]>\nContent-Type: application/sdp\nContent-Length: [len]\n\n{sdp}"
    )
    return ['<recv request="INVITE"/>', _send(answer), '<recv request="ACK"/>']


def _in_dialog(method: str, who: str, cseq: int, sdp: str = "") -> str:
    body = f"Content-Type: application/sdp\nContent-Length: [len]\n\n{sdp}" if sdp else "Content-Length: 0"
    return _send(
        f"{method} [next_url] SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport\n"
        f"{who}\nCall-ID: [call_id]\nCSeq: {cseq} {method}\nContact: <sip:[local_ip]:[local_port]>\n"
        f"Max-Forwards: 70\n{body}"
    )


def _remember(**headers: str) -> str:
    """The action that keeps headers of what is received, for `[$name]`."""
    kept = "".join(
        f'<ereg regexp=".*" search_in="hdr" header="{header}" assign_to="{name}"/>' for name, header in headers.items()
    )
    return f"<action>{kept}</action>"


def _scenario(name: str, steps: list[str]) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8" ?>\n<scenario name='
        + quoteattr(name)
        + ">\n"
        + "\n".join(steps)
        + "\n</scenario>\n"
    )


def _send(text: str) -> str:
    retransmit = ' retrans="500"' if text.startswith(("INVITE", "BYE", "CANCEL", "REGISTER")) else ""
    return f"<send{retransmit}><![CDATA[\n\n{text}\n\n]]></send>"


def _answer(status: int, headers: Sequence[str], *, sdp: bool) -> str:
    extra = "".join(f"{header}\n" for header in headers)
    if not any(header.lower().startswith("contact:") for header in headers):  # of a 302: where to go
        extra = f"Contact: <sip:[local_ip]:[local_port]>\n{extra}"
    body = f"Content-Type: application/sdp\nContent-Length: [len]\n\n{_SDP}" if sdp else "Content-Length: 0"
    return _send(
        f"SIP/2.0 {status} {_REASONS.get(status, 'Whatever')}\n"
        "[last_Via:]\n[last_From:]\n[last_To:];tag=[call_number]\n"
        f"[last_Call-ID:]\n[last_CSeq:]\n{extra}{body}"
    )


def _bare_ok() -> str:
    return _send(
        "SIP/2.0 200 OK\n[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]\nContent-Length: 0"
    )


def _terminated() -> str:
    """487 for the INVITE after its CANCEL: same Via, From, Call-ID and number (RFC 3261 9.2)."""
    return _send(
        "SIP/2.0 487 Request Terminated\n[last_Via:]\n[last_From:]\n[last_To:];tag=[call_number]\n[last_Call-ID:]\n"
        "CSeq: [cseq] INVITE\nContent-Length: 0"
    )


async def register(sandbox: Sandbox, extension: str, port: int, *, expires: int) -> None:
    """Register a phone of this extension at a UDP port of the sandbox's host, for `expires` seconds (0: no more)."""
    addresses = sandbox.layout.addresses
    request = (
        "REGISTER sip:[remote_ip]:[remote_port] SIP/2.0\n"
        "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport\n"
        f"From: <sip:{extension}@[remote_ip]>;tag=[call_number]\nTo: <sip:{extension}@[remote_ip]>\n"
        "Call-ID: [call_id]\nCSeq: {cseq} REGISTER\n"
        f"Contact: <sip:{extension}@[local_ip]:[local_port]>\nExpires: {expires}\nMax-Forwards: 70\n{{authentication}}"
        "Content-Length: 0"
    )
    password = sandbox.passwords.phones[extension]
    steps = [
        _send(request.format(cseq=1, authentication="")),
        '<recv response="100" optional="true"/>',
        '<recv response="401" auth="true"/>',
        _send(request.format(cseq=2, authentication=f"[authentication username={extension} password={password}]\n")),
        '<recv response="100" optional="true"/>',
        '<recv response="200"/>',
    ]
    arguments = [f"{addresses.host}:{addresses.sip}", "-i", addresses.host, "-p", str(port), "-m", "1"]
    async with _running(sandbox, _scenario("register", steps), arguments, f"registration of {extension}") as sipp:
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
