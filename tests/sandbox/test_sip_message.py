"""SIP messages as call stories read them, and SIPp's message file."""

from comunik_pbx.sandbox.sip_message import SipMessage
from comunik_pbx.sandbox.sipp import parse_messages

DASHES = 47 * "-"
INVITE = (
    'INVITE sip:+33612345678@127.0.0.20:5060 SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nf: "Alice" <sip:101@x>;tag=1\r\n'
    "i: abc\r\nCSeq: 7 INVITE\r\nDiversion: <sip:102@x>;reason=no-answer\r\n"
    "Diversion: <sip:103@x>;\r\n reason=unconditional\r\n"
    "Reason: Q.850;cause=16\r\n\r\nv=0\r\n"
)


def test_request() -> None:
    message = SipMessage(1.0, False, INVITE)
    assert (message.method, message.status, message.uri_user) == ("INVITE", None, "+33612345678")
    assert (message.call_id, message.for_method, message.user_of("From")) == ("abc", "INVITE", "101")
    assert message.all("diversion") == ["<sip:102@x>;reason=no-answer", "<sip:103@x>; reason=unconditional"]
    assert (message.cause, message.body) == (16, "v=0\r\n")
    assert message.header("Privacy") is None


def test_response() -> None:
    message = SipMessage(1.0, True, "SIP/2.0 486 Busy Here\r\nCSeq: 1 INVITE\r\n\r\n")
    assert (message.method, message.status, message.reason, message.for_method) == (None, 486, "Busy Here", "INVITE")


def test_messages_of_both_generations_of_sipp() -> None:
    body = "SIP/2.0 180 Ringing\nCall-ID: abc\nCSeq: 1 INVITE\n\n"
    log = (
        f"{DASHES} 2026-01-01T10:00:00.250000Z\nUDP message sent [9] bytes:\n\n{body}"
        f"\n{DASHES} 2026-01-01\t10:00:00.500000\nUDP message received (9 bytes):\n\n{body}"
    )
    sent, received = parse_messages(log)
    assert (sent.sent, received.sent, sent.status, received.call_id) == (True, False, 180, "abc")
