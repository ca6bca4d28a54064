"""Dial(): legs to phones and outside numbers, and what the far ends do."""

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from tests.simulation.channel import Channel


class Reaction(msgspec.Struct, frozen=True):
    """What a far end does: rings after `rings_after` (None: it gives no sign of life), does `kind` after `seconds`.

    `kind` is answer, refuse (with `status`, `cause`, `declined` for 603), or nothing.
    """

    rings_after: float | None
    kind: str = "nothing"
    seconds: float = 0.0
    status: str = ""
    cause: int = 0
    declined: bool = False


class Outcome(msgspec.Struct, frozen=True):
    """How Dial() ended: DIALSTATUS, HANGUPCAUSE. `transferred` is where the callee sent the caller."""

    status: str
    cause: int
    ring_ms: int = 0
    declined: bool = False
    transferred: str | None = None


async def dial(
    channel: "Channel", far_ends: list[str], seconds: float, progress_seconds: float | None = None
) -> Outcome:
    """Ring all at once; gives the outcome, after the conversation if there was one. Raises HungUp."""
    world = channel.asterisk.world
    process, clock = channel.asterisk.process, world.loop.time
    leg = channel.progress.leg
    legs = [(name, reaction) for name in far_ends if (reaction := world.people.reaction(name, seconds)) is not None]
    if not legs:
        return Outcome("CHANUNAVAIL", 20)
    channel.inbox.clear()
    mark = object()  # tells this Dial()'s news from those of an earlier one
    for name, reaction in legs:
        if reaction.rings_after is not None:
            process.later(reaction.rings_after, channel.post, "rings", (mark, name, reaction))
        if reaction.kind != "nothing":
            process.later(reaction.seconds, channel.post, reaction.kind, (mark, name, reaction))
    ends = clock() + seconds
    no_life = clock() + progress_seconds if progress_seconds is not None else ends
    refused: list[Reaction] = []
    while True:
        until = ends if leg.rang is not None else min(ends, no_life)
        told = await channel.told(max(0.0, until - clock()))
        ring_ms = int(1000 * (clock() - leg.rang)) if leg.rang is not None else 0
        if told is None:
            if leg.rang is None and until < ends:
                return Outcome("CHANUNAVAIL", 34 if "@" in far_ends[0] else 20)
            return Outcome("NOANSWER", 19, ring_ms)
        what, (about, name, reaction) = told
        if about is not mark:
            continue
        if what == "rings":
            leg.rang = leg.rang or clock()
        elif what == "refuse":
            refused.append(reaction)
            if len(refused) == len(legs):
                busy = next((r for r in refused if r.status == "BUSY"), refused[-1])
                return Outcome(busy.status, busy.cause, ring_ms, busy.declined)
        else:
            return await _talk(channel, name)


async def _talk(channel: "Channel", name: str) -> Outcome:
    """The conversation, until the callee hangs up or transfers the caller; HungUp is raised if the caller does."""
    world = channel.asterisk.world
    leg = channel.progress.leg
    leg.answered = world.loop.time()
    leg.peer = f"PJSIP/{name}-0000000a"
    world.truth.reached(channel, "answered", name)
    seconds, transferred = world.people.conversation(channel)
    told: Any = ("", None)
    while told is not None:
        told = await channel.told(seconds)
    return Outcome("ANSWER", 16, transferred=transferred)
