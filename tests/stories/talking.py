"""Two people on the telephone."""

from comunik_pbx.sandbox.phones import IncomingCall, OutgoingCall


async def talk(caller: OutgoingCall, callee: IncomingCall) -> None:
    """The callee answers, and each hears the other, nobody else."""
    await callee.answer()
    await caller.answered()
    await caller.hears(callee.line)
    await callee.hears(caller.line)
    assert caller.statuses[-1] == 200


async def talk_and_part(caller: OutgoingCall, callee: IncomingCall) -> None:
    """The same, then the caller hangs up."""
    await talk(caller, callee)
    await caller.hangup()
    ending = await callee.ended()
    assert (ending.by_far_end, ending.cause) == (True, 16)
