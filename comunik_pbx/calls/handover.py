"""Handing a call its plan: in a global variable of Asterisk, which is set only if it does not hold that plan yet.

    plan → the variable that holds it: `TAG!plan` → continue at comunik-execute, <variable><TAG><pass>
        or, if a phone is to ring, at *<variable><TAG>t<time of Dial()>

Most calls to an extension have the same plan, so that for most of them one command is enough. The dialplan carries out
what it finds only if the tag is the one it was told, so that a variable that is used again, or was cleared, misleads
nobody: such a call asks once more.
"""

import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator

from comunik_pbx.asterisk.ari import AriClient
from comunik_pbx.asterisk.errors import AriError
from comunik_pbx.calls.deciding import Decided

VARIABLE = "CK_HANDOVER_{:03}"

VARIABLES = 128
"""How many there are, for the plans handed over last. Asterisk looks through all its globals for each variable that a
channel has not set, so they are not many."""

TAGS = 10**12
"""A tag has twelve digits, and is a plan's own: another service, before or after this one, begins elsewhere."""

EXECUTOR = "comunik-execute"

RING_AT_ONCE = "*"
"""Before the variable's number: the plan begins with the ringing of one phone, which the dialplan does at once. After
the tag comes the time of `Dial()`; it is the caller's first pass."""


class Handover:
    """Hands plans over to one Asterisk, and remembers which it has."""

    def __init__(self, ari: AriClient, *, variables: int = VARIABLES) -> None:
        self._ari = ari
        self._free = deque(range(variables))  # used in turn: a call may be about to read the one that was freed last
        self._held: OrderedDict[str, tuple[int, str]] = OrderedDict()  # by plan: variable and tag; the latest used last
        self._tags = _tags()

    def forget(self) -> None:
        """Asterisk may be another, or somebody has cleared its globals."""
        self._free.extend(variable for variable, _ in self._held.values())
        self._held.clear()

    def begin(self, channel: str, decided: Decided, told: Callable[[AriError | None], None]) -> bool:
        """As `give`, without a task, if Asterisk has the plan already and is connected: `told` gets the error, if any.

        Else False, and nothing is done.
        """
        if (held := self._held.get(decided.encoded)) is None:
            return False
        self._held.move_to_end(decided.encoded)
        place = _place(held, decided)
        return self._ari.channels.begin_continue(channel, told, context=EXECUTOR, extension=place, priority=1)

    async def give(self, channel: str, decided: Decided) -> None:
        """Let a channel that waits in Stasis go on with its plan. Raises AriError, ChannelGone, ChannelNotInStasis."""
        plan = decided.encoded
        if (held := self._held.get(plan)) is not None:
            self._held.move_to_end(plan)
            await self._ari.channels.continue_(channel, context=EXECUTOR, extension=_place(held, decided), priority=1)
            return
        variable = self._free.popleft() if self._free else self._held.popitem(last=False)[1][0]
        held = variable, next(self._tags)
        try:
            await self._ari.channels.continue_with(
                channel,
                VARIABLE.format(variable),
                f"{held[1]}!{plan}",
                context=EXECUTOR,
                extension=_place(held, decided),
                priority=1,
            )
        except BaseException:
            self._free.append(variable)  # whether it was set is not known: it will be set before it is relied upon
            raise
        if plan in self._held:  # two calls at the same moment
            self._free.append(variable)
        else:
            self._held[plan] = held


def _place(held: tuple[int, str], decided: Decided) -> str:
    """The extension of comunik-execute that means this plan."""
    if decided.at_once:
        return f"{RING_AT_ONCE}{held[0]:03}{held[1]}t{decided.at_once}"
    return f"{held[0]:03}{held[1]}{decided.passes}"


def _tags() -> Iterator[str]:
    tag = secrets.randbelow(TAGS)
    while True:
        yield f"{tag:012}"
        tag = (tag + 1) % TAGS
