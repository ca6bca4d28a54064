"""Who calls, and what the called do: all from the seed."""

import random
from typing import TYPE_CHECKING

from tests.simulation.legs import Reaction

if TYPE_CHECKING:
    from tests.simulation.channel import Channel

_TRUNK_REFUSALS = (  # DIALSTATUS, cause, 603
    ("CONGESTION", 34, False),
    ("CHANUNAVAIL", 38, False),
    ("CHANUNAVAIL", 27, False),
    ("CHANUNAVAIL", 21, False),
    ("CHANUNAVAIL", 21, True),
    ("CHANUNAVAIL", 1, False),
    ("BUSY", 17, False),
    ("CONGESTION", 41, False),
)


class People:
    """The far ends' habits."""

    def __init__(self, chance: random.Random, numbers: tuple[str, ...]) -> None:
        self._chance = chance
        self._numbers = numbers

    def reaction(self, name: str, seconds: float, asked: float) -> Reaction | None:
        """What a phone or an outside number does when it is rung; None if no phone is registered.

        `seconds` are those after which Dial() gives up, `asked` those it is to ring.
        """
        chance = self._chance
        inside = "@" not in name
        if inside and chance.random() < 0.1:
            return None
        rings_after = chance.choice([chance.uniform(0.01, 0.3), chance.uniform(0.01, 0.3), chance.uniform(0.3, 6.0)])
        sign = chance.choice(["180", "180", "180 SDP", "183"])
        what = chance.random()
        if what < 0.3:
            return Reaction(rings_after, sign=sign)
        if what < 0.55:
            return Reaction(rings_after, "answer", chance.uniform(rings_after, max(rings_after, seconds)), sign=sign)
        if what < 0.6:  # just as Dial() gives up
            after = max(rings_after, seconds + chance.uniform(-0.002, 0.002))
            return Reaction(rings_after, "answer", after, sign=sign)
        if what < 0.65:  # just as the service ends the ringing
            after = max(rings_after, rings_after + asked - 0.1 + chance.uniform(-0.002, 0.005))
            return Reaction(rings_after, "answer", after, sign=sign)
        if what < 0.7:  # as soon as it rings
            return Reaction(rings_after, "answer", rings_after, sign=sign)
        if what < 0.75:
            return Reaction(None)  # no sign of life
        after = chance.choice([0.02, rings_after + chance.uniform(0.0, 5.0)])
        rings = rings_after if after > rings_after else None
        if not inside:
            status, cause, declined = chance.choice(_TRUNK_REFUSALS)
            return Reaction(rings, "refuse", after, status, cause, declined, sign)
        status, cause = chance.choice([("BUSY", 17), ("CHANUNAVAIL", 21), ("CHANUNAVAIL", 20), ("CHANUNAVAIL", 58)])
        return Reaction(rings, "refuse", after, status, cause, cause == 21, sign)

    def message_seconds(self) -> float:
        return self._chance.uniform(1.0, 60.0)

    def conversation(self, channel: "Channel") -> tuple[float, str | None]:
        """How long they talk, and where the callee then sends the caller, if anywhere."""
        seconds = self._chance.choice([0.0, 0.5, 20.0, 180.0]) * self._chance.random()
        transfers = channel.passes < 3 and self._chance.random() < 0.08
        return seconds, self._chance.choice(self._numbers) if transfers else None
