"""Dial(): legs to phones and outside numbers, what the far ends do, and what Asterisk notes of it."""

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from tests.simulation.channel import Channel


class Reaction(msgspec.Struct, frozen=True):
    """What a far end does: rings after `rings_after` (None: it gives no sign of life), does `kind` after `seconds`.

    `kind` is answer, refuse (with `status`, `cause`, `declined` for 603), or nothing. `sign` is how it says that it
    rings: `180`, `180 SDP`, `183`.
    """

    rings_after: float | None
    kind: str = "nothing"
    seconds: float = 0.0
    status: str = ""
    cause: int = 0
    declined: bool = False
    sign: str = "180"


ENDED = Reaction(None, "refuse", status="NOANSWER", cause=19)
"""What Dial() sees of a leg that ARI has hung up with the reason no_answer."""


class Rung:
    """A leg of a ring step: a channel of its own.

    `asked` is how long it is to ring, in seconds; `looked` when whom ARI last told that it was not answered.
    """

    def __init__(self, caller: "Channel", extension: str, name: str, asked: float, mark: object) -> None:
        self.asterisk = asterisk = caller.asterisk
        self.id = asterisk.channel_id()
        self.caller = caller
        self.extension = extension
        self.name = name
        self.asked = asked
        self.state = "Down"
        self.ended_by_us = False
        self.looked: dict[str, float] = {}
        self._mark = mark
        asterisk.legs[self.id] = self
        self._note("begun")

    def rings(self, sign: str) -> None:
        if self.state == "Down" and sign != "183":
            self.state = "Ringing"
        self._note(sign)

    def answers(self) -> None:
        self.state = "Up"
        self._note("answered")

    def over(self) -> None:
        """Refused, given up, or answered elsewhere."""
        if self.asterisk.legs.pop(self.id, None) is not None and self.state != "Up":
            self._note("over")

    def hangup(self) -> None:
        """ARI ends it: what comes from the phone now is not heard any more."""
        if self.ended_by_us:
            return
        self.ended_by_us = True
        self.caller.post("refuse" if self.state != "Up" else "gone", (self._mark, self.name, ENDED))

    def variable(self, name: str) -> str:
        """The value of one of the functions that the service asks for."""
        match name:
            case "CHANNEL(linkedid)":
                return self.caller.linked
            case "CHANNEL(state)":
                return self.state
            case "CK_SEEN" | "CK_CALLED":  # inherited
                return self.caller.variable(name)
        raise AssertionError(f"the simulated Asterisk does not know ${{{name}}} of a leg")

    def json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": f"{self.name}-0000000a",
            "state": self.state,
            "caller": {"name": "", "number": self.extension},
            "connected": {"name": "", "number": self.caller.incoming.number},
            "dialplan": {"context": "from-phones", "exten": "", "priority": 1, "app_name": "AppDial", "app_data": ""},
        }

    def _note(self, what: str) -> None:
        self.asterisk.world.note("leg", self.caller.id, self.id, self.name, what, self.state)


class Outcome(msgspec.Struct, frozen=True):
    """How Dial() ended: DIALSTATUS, HANGUPCAUSE. `transferred` is where the callee sent the caller."""

    status: str
    cause: int
    ring_ms: int = 0
    declined: bool = False
    transferred: str | None = None


DIAL = ("DIALSTATUS", "RINGTIME_MS", "PROGRESSTIME_MS")
"""What Dial() notes on the caller's channel; it forgets what was there as it begins."""

FarEnds = list[tuple[str, Reaction]]


def far_ends(channel: "Channel", names: list[str], seconds: float, asked: float = 0.0) -> FarEnds:
    """Those that can be rung for so long, with what they will do; `asked` is how long phones are to ring."""
    people = channel.asterisk.world.people
    return [(name, reaction) for name in names if (reaction := people.reaction(name, seconds, asked)) is not None]


async def dial(
    channel: "Channel",
    legs: FarEnds,
    seconds: float,
    progress_seconds: float | None = None,
    extension: str | None = None,
    asked: float = 0.0,
) -> Outcome:
    """Ring all at once; gives the outcome, after the conversation if there was one. Raises HungUp.

    The legs are channels of their own if they are those of a ring step, to `extension`, which is to ring for `asked`
    seconds.
    """
    process = channel.asterisk.process
    channel.variables.update(dict.fromkeys(DIAL, ""))
    channel.inbox.clear()
    mark = object()  # tells this Dial()'s news from those of an earlier one
    for name, reaction in legs:
        if reaction.rings_after is not None:
            process.later(reaction.rings_after, channel.post, "rings", (mark, name, reaction))
        if reaction.kind != "nothing":
            process.later(reaction.seconds, channel.post, reaction.kind, (mark, name, reaction))
    rung = {}
    if extension is not None:
        rung = {name: Rung(channel, extension, name, asked, mark) for name, _ in legs}
    try:
        outcome = await _wait(channel, legs, rung, mark, seconds, progress_seconds)
    finally:
        for one in rung.values():
            one.over()
    channel.variables["DIALSTATUS"] = outcome.status
    return outcome


async def _wait(
    channel: "Channel",
    legs: FarEnds,
    rung: dict[str, Rung],
    mark: object,
    seconds: float,
    progress_seconds: float | None,
) -> Outcome:
    """Until somebody answers, all have refused, or the time is over."""
    clock, leg = channel.asterisk.world.loop.time, channel.progress.leg
    began = clock()
    ends = began + seconds
    no_life = began + progress_seconds if progress_seconds is not None else ends
    refused: list[Reaction] = []
    while True:
        until = ends if leg.lives is not None else min(ends, no_life)
        told = await channel.told(max(0.0, until - clock()))
        ring_ms = int(1000 * (clock() - leg.rang)) if leg.rang is not None else 0
        if told is None:
            if leg.lives is None and until < ends:
                return Outcome("CHANUNAVAIL", 34 if not rung else 20)
            return Outcome("NOANSWER", 19, ring_ms)
        what, (about, name, reaction) = told
        one = rung.get(name)
        if about is not mark or (one is not None and one.ended_by_us and reaction is not ENDED):
            continue
        if what == "rings":
            leg.shows_life(clock(), name, reaction.sign)
            first = "RINGTIME_MS" if reaction.sign == "180" else "PROGRESSTIME_MS"
            channel.variables[first] = channel.variables[first] or str(int(1000 * (clock() - began)))
            if one is not None:
                one.rings(reaction.sign)
        elif what == "refuse":
            refused.append(reaction)
            if reaction is not ENDED and len(refused) < len(legs):
                leg.ringing.pop(name, None)
            if one is not None:
                one.over()
            if len(refused) == len(legs):
                said = next((r for r in refused if r.status in ("NOANSWER", "BUSY")), refused[-1])
                return Outcome(said.status, said.cause, ring_ms, said.declined)
        else:
            for other in rung.values():
                if other is not one:
                    other.over()
            if one is not None:
                one.answers()
            return await _talk(channel, name)


async def _talk(channel: "Channel", name: str) -> Outcome:
    """The conversation, until the callee hangs up or transfers the caller; HungUp is raised if the caller does."""
    world = channel.asterisk.world
    leg = channel.progress.leg
    leg.answered = world.loop.time()
    leg.peer = f"PJSIP/{name}-0000000a"
    channel.variables["DIALSTATUS"] = "ANSWER"
    channel.asterisk.reached(channel, "answered", name)
    seconds, transferred = world.people.conversation(channel)
    ends = world.loop.time() + seconds
    told: Any = ("", None)
    while told is not None and told[0] != "gone":
        told = await channel.told(max(0.0, ends - world.loop.time()))
    return Outcome("ANSWER", 16, transferred=transferred)
