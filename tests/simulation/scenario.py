"""What happens in one run, decided by its seed alone: calls, changes of rules, faults, each at its moment."""

import random

import msgspec

from tests.simulation.company import DIRECTORY, NUMBERS, OUTSIDE
from tests.simulation.faults import FAULTS

HOUR = 3600.0


class IncomingCall(msgspec.Struct, frozen=True):
    """A call. The caller hangs up after `patience` seconds if nobody else has by then.

    `diverted` is who diverted it before it came here, as the dialplan has it: `&` and a number, for each. `linked` is
    its linkedid if it is not its own UNIQUEID: of a Local channel, such as a queue rings its members by.
    """

    called: str
    endpoint: str
    number: str
    presentation: str
    patience: float
    diverted: str = ""
    linked: str = ""


class RuleChange(msgspec.Struct, frozen=True):
    """Somebody changes a rule."""


class FaultComes(msgspec.Struct, frozen=True):
    """Something goes wrong; see `faults`."""

    name: str


class Happening(msgspec.Struct, frozen=True):
    """`seed` decides what is still open about it, so that leaving out others does not change it."""

    at: float
    what: IncomingCall | RuleChange | FaultComes
    seed: int


def scenario(seed: int, hours: float) -> list[Happening]:
    """Calls come in clusters, and so do faults, most of them amid calls: a quiet hour proves little.

    Some 24 calls an hour in two hours; four times the hours have twice the calls.
    """
    chance = random.Random(f"scenario {seed}")
    found: list[Happening] = []
    calm = chance.random() < 0.1

    def happens(at: float, what: IncomingCall | RuleChange | FaultComes) -> None:
        found.append(Happening(at, what, chance.getrandbits(48)))

    clusters = max(1, round(8 * (hours / 2) ** 0.5))
    for _ in range(clusters):
        middle = chance.uniform(30.0, hours * HOUR)
        dense = chance.choice([0.005, 0.05, 1.0, 10.0])
        for _ in range(chance.randint(1, 11)):
            at = middle + dense * chance.expovariate(1.0)
            happens(at, call := _call(chance))
            if chance.random() < 0.1:  # a queue rings two members at the same time
                member = msgspec.structs.replace(call, linked=f"queue-{len(found)}", endpoint="carrier", diverted="")
                for called in chance.sample(NUMBERS, 2):
                    happens(at, msgspec.structs.replace(member, called=called))
            if chance.random() < 0.15:
                happens(at - chance.choice([0.001, 0.05, 0.2]) * chance.random(), RuleChange())
        if not calm and chance.random() < 0.6:
            for _ in range(chance.choice([1, 1, 2, 3])):
                name = chance.choice(list(FAULTS))
                happens(middle + chance.choice([-0.3, 0.0, 0.5, 3.0]) + dense * chance.random(), FaultComes(name))
    for _ in range(chance.randint(0, 8)):
        happens(chance.uniform(0.0, hours * HOUR), RuleChange())
    if chance.random() < 0.2:  # and for ten minutes the next call comes before the minute is over
        at = max(0.0, chance.choice(found).at - 60.0)
        for _ in range(20):
            happens(at := at + chance.uniform(10.0, 50.0), _call(chance))
    return sorted(found, key=lambda happening: happening.at)


def _call(chance: random.Random) -> IncomingCall:
    called = chance.choice(NUMBERS)
    if chance.random() < 0.3 and DIRECTORY.extensions[called].did:
        called = DIRECTORY.extensions[called].did[0]
    elif chance.random() < 0.03:
        called = "199"
    if chance.random() < 0.4:
        endpoint = chance.choice(list(DIRECTORY.by_endpoint))
        number = DIRECTORY.by_endpoint[endpoint]
    else:  # from outside, sometimes with a forged number of ours
        endpoint = chance.choice(["carrier", ""])
        number = chance.choice([*OUTSIDE, "0612345678", "101", "", "anonymous"])
    presentation = "prohib_not_screened" if chance.random() < 0.1 else "allowed_not_screened"
    patience = chance.choice(
        [
            chance.uniform(30.0, 300.0),
            chance.uniform(30.0, 300.0),
            chance.uniform(0.0, 40.0),
            chance.uniform(0.0, 3.0),
            chance.uniform(0.0, 0.01),  # while it is being decided
            chance.uniform(1.495, 1.51),  # as the guard's time runs out
        ]
    )
    came_back = endpoint == "carrier" and chance.random() < 0.1
    diverted = "&+33170000" + chance.choice(NUMBERS[:6]) if came_back else ""
    return IncomingCall(called, endpoint, number, presentation, patience, diverted)
