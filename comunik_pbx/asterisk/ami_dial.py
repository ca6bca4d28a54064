"""AMI's news of legs towards phones: the events DialBegin, DialState and DialEnd of our ring steps, and no others.

An ARI subscription to the caller's channel would bring the same, and with it every variable set on the channel and
every priority it executes; AMI makes its events anyway (what they cost: docs/telephony.md).
"""

from collections.abc import Mapping
from enum import Enum

import msgspec
from panoramisk.message import Message

from comunik_pbx.asterisk.ami_lines import text

RING_CONTEXT = "comunik-step-ring"
"""Where the dialplan dials phones (dialplan/execute.conf)."""

FORWARD_CONTEXT = "comunik-step-forward"
"""Where it dials trunks, of which we hear only if we ask for them."""

FILTERS = (
    "^Event: (UserEvent|FullyBooted|Reload|Shutdown)",
    f"^Event: Dial(Begin|State|End).*Context: {RING_CONTEXT}",
)
"""What AMI lets through (action Filter: regular expressions, one of which must match the whole event)."""

OF_TRUNKS = f"^Event: Dial(Begin|State|End).*Context: {FORWARD_CONTEXT}"
"""One more of them."""

DIAL_EVENTS = ("DialBegin", "DialState", "DialEnd")


class LegNews(Enum):
    """What has become of a leg."""

    BEGUN = "begun"  # its INVITE is on its way
    RINGING = "ringing"  # 180, with or without SDP
    PROGRESS = "progress"  # 183: something is heard, and the phone has not said that it rings
    ANSWERED = "answered"
    OVER = "over"  # refused, given up, or answered elsewhere


class LegEvent(msgspec.Struct, frozen=True):
    """News of `leg`, dialled by `call` (both UNIQUEID) in the ring step of `extension`.

    Or by a trunk: then `outside` is true, and `dialled` what was dialled, without `PJSIP/`, if the leg has BEGUN.
    """

    call: str
    extension: str
    leg: str
    news: LegNews
    outside: bool = False
    dialled: str = ""


def leg_event(message: Message) -> LegEvent | None:
    """The news in one of the `DIAL_EVENTS`; None if it is none for us."""
    context = text(message, "context")
    if context not in (RING_CONTEXT, FORWARD_CONTEXT):
        return None
    news = _news(text(message, "event"), text(message, "dialstatus"), text(message, "destchannelstatedesc"))
    call, leg = text(message, "uniqueid"), text(message, "destuniqueid")
    if news is None or not call or not leg:
        return None
    if context == FORWARD_CONTEXT:
        return LegEvent(call, "", leg, news, outside=True, dialled=text(message, "dialstring"))
    return LegEvent(call, text(message, "exten"), leg, news)


def _news(event: str, status: str, leg_state: str) -> LegNews | None:
    match event:
        case "DialBegin":
            return LegNews.BEGUN
        case "DialEnd":
            return LegNews.ANSWERED if status == "ANSWER" else LegNews.OVER
    # A 180 with SDP is told as PROGRESS, of a leg whose state is Ringing.
    return _STATES.get("RINGING" if leg_state == "Ringing" else status)


_STATES: Mapping[str, LegNews] = {"RINGING": LegNews.RINGING, "PROGRESS": LegNews.PROGRESS}
