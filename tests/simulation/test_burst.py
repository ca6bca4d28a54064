"""Far more calls at once than can be decided, in virtual time: a bounded number in hand, and none is lost."""

import random
from dataclasses import dataclass

from comunik_pbx.calls.interception import MOST_CALLS
from tests.simulation.run import undisturbed
from tests.simulation.scenario import Happening, IncomingCall
from tests.simulation.world import World

CALLS = 1500


@dataclass
class Outcome:
    violation: str
    passes: int
    counts: dict[str, int]
    fallen: dict[str, int]
    undecided: list[int]


def test_a_burst_beyond_capacity() -> None:
    with undisturbed():
        outcome = burst()
    assert not outcome.violation
    assert max(outcome.undecided) == MOST_CALLS, "a bounded number in hand"
    assert outcome.undecided[-1] == 0
    assert outcome.fallen["overload"] > CALLS / 4
    assert outcome.counts["live"] >= MOST_CALLS, outcome.counts
    assert outcome.counts["live"] + outcome.counts["published"] == outcome.passes >= CALLS, outcome.counts


def burst() -> Outcome:
    """So many calls within 0.2 s while every packet takes 2 to 10 ms."""
    chance = random.Random("burst")
    calls = [
        Happening(
            60 + chance.random() / 5,
            IncomingCall(f"10{chance.randint(1, 8)}", "carrier", "+33140000000", "allowed_not_screened", 60.0),
            chance.getrandbits(48),
        )
        for _ in range(CALLS)
    ]
    world = World(1)
    undecided: list[int] = []

    def look() -> None:
        [service] = world.instances.values()
        assert service._interception is not None
        undecided.append(service._interception.undecided)
        if world.loop.time() < 100:  # not 90, when rings end and calls come in again
            world.later(0.01, look)

    world.loop.call_at(59.0, world.health.disturb, 10.0)
    world.loop.call_at(59.0, setattr, world.network, "slow", 20.0)
    world.loop.call_at(69.0, setattr, world.network, "slow", 1.0)
    world.loop.call_at(60.0, look)
    world.run(sorted(calls, key=lambda happening: happening.at))
    [service] = world.instances.values()
    fallen = {why.value: count for why, count in service._figures.fallen.items()}
    return Outcome(world.violation, len(world.truth.passes), world.truth.counts, fallen, undecided)
