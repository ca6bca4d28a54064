"""What SIPp is told to do: its scenarios (XML), one for who is called, who calls, and who registers."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

SOUND = "sound.ulaw"
SILENCE = bytes([0xFF]) * 8000
"""A second of it, in µ-law: a call's packets cost the same whatever is said."""

_REASONS = {
    180: "Ringing", 181: "Call Is Being Forwarded", 183: "Session Progress", 200: "OK", 302: "Moved Temporarily",
    403: "Forbidden", 404: "Not Found", 408: "Request Timeout", 480: "Temporarily Unavailable", 486: "Busy Here",
    487: "Request Terminated", 488: "Not Acceptable Here", 500: "Server Internal Error", 502: "Bad Gateway",
    503: "Service Unavailable", 600: "Busy Everywhere", 603: "Decline", 604: "Does Not Exist Anywhere",
}  # fmt: skip

_SESSION = """v=0
o=sipp 1 1 IN IP4 [media_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
"""
_SDP = f"""{_SESSION}m=audio [media_port] RTP/AVP 8 0 101
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=sendrecv"""
_SPEAKING_SDP = f"""{_SESSION}m=audio [rtpstream_audio_port] RTP/AVP 0
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


@dataclass(frozen=True)
class Fax:
    """One side of a call that becomes a fax (T.38): it sends the re-INVITE, or takes it. UDPTL goes to `port`."""

    offers: bool
    port: int


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


def registering(extension: str, password: str, expires: int) -> str:
    """The scenario of a phone that registers for `expires` seconds."""
    request = (
        "REGISTER sip:[remote_ip]:[remote_port] SIP/2.0\n"
        "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport\n"
        f"From: <sip:{extension}@[remote_ip]>;tag=[call_number]\nTo: <sip:{extension}@[remote_ip]>\n"
        "Call-ID: [call_id]\nCSeq: {cseq} REGISTER\n"
        f"Contact: <sip:{extension}@[local_ip]:[local_port]>\nExpires: {expires}\nMax-Forwards: 70\n{{authentication}}"
        "Content-Length: 0"
    )
    steps = [
        _send(request.format(cseq=1, authentication="")),
        '<recv response="100" optional="true"/>',
        '<recv response="401" auth="true"/>',
        _send(request.format(cseq=2, authentication=f"[authentication username={extension} password={password}]\n")),
        '<recv response="100" optional="true"/>',
        '<recv response="200"/>',
    ]
    return _scenario("register", steps)


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
