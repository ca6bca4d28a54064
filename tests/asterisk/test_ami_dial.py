"""What AMI tells of legs, as Asterisk 22.10 sends it."""

import re

import pytest
from panoramisk.message import Message

from comunik_pbx.asterisk.ami_dial import FILTERS, LegEvent, LegNews, leg_event


def dial(event: str, status: str = "", leg_state: str = "Down", context: str = "comunik-step-ring") -> str:
    return (
        f"Event: {event}\r\nPrivilege: call,all\r\nChannel: PJSIP/carrier-00000000\r\nChannelStateDesc: Ring\r\n"
        f"Context: {context}\r\nExten: 101\r\nUniqueid: box-7.0\r\nDestChannel: PJSIP/101-00000001\r\n"
        f"DestChannelStateDesc: {leg_state}\r\nDestContext: from-phones\r\nDestExten: \r\nDestUniqueid: box-7.1\r\n"
        f"DialStatus: {status}\r\n"
    )


@pytest.mark.parametrize(
    ("text", "news"),
    [
        (dial("DialBegin"), LegNews.BEGUN),
        (dial("DialState", "RINGING", "Ringing"), LegNews.RINGING),
        (dial("DialState", "RINGING"), LegNews.RINGING),
        (dial("DialState", "PROGRESS", "Ringing"), LegNews.RINGING),  # a 180 with SDP
        (dial("DialState", "PROGRESS"), LegNews.PROGRESS),
        (dial("DialState", "PROCEEDING"), None),
        (dial("DialEnd", "ANSWER", "Up"), LegNews.ANSWERED),
        (dial("DialEnd", "NOANSWER", "Ringing"), LegNews.OVER),
        (dial("DialEnd", "CANCEL", "Ringing"), LegNews.OVER),
        (dial("DialBegin", context="from-phones"), None),
    ],
)
def test_an_event_read(text: str, news: LegNews | None) -> None:
    expected = None if news is None else LegEvent("box-7.0", "101", "box-7.1", news)
    assert leg_event(Message.from_line(text)) == expected


def test_a_leg_by_a_trunk() -> None:
    text = dial("DialBegin", context="comunik-step-forward") + "DialString: +33612345678@carrier\r\n"
    dialled = "+33612345678@carrier"
    expected = LegEvent("box-7.0", "", "box-7.1", LegNews.BEGUN, outside=True, dialled=dialled)
    assert leg_event(Message.from_line(text)) == expected


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        (dial("DialBegin"), True),
        (dial("DialState", "RINGING"), True),
        (dial("DialEnd", "ANSWER"), True),
        (dial("DialBegin", context="from-phones"), False),
        ("Event: UserEvent\r\nUserEvent: ComunikCall\r\n", True),
        ("Event: Reload\r\nModule: All\r\n", True),
        ("Event: Newstate\r\nContext: comunik-step-ring\r\n", False),
        ("Event: Newchannel\r\nCallerIDName: Event: UserEvent\r\n", False),
    ],
)
def test_what_asterisk_sends_us(text: str, passes: bool) -> None:
    """The filters are POSIX regular expressions, whose dot matches the end of a line too."""
    assert any(re.search(pattern, text, re.DOTALL) for pattern in FILTERS) is passes
