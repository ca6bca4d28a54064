"""The simulated Asterisk says what the real one said in the same scenes (`capture`)."""

import asyncio

import msgspec
import pytest

from comunik_pbx.asterisk.ami import AmiClient
from tests.simulation.asterisk import AMI_PORT, ARI_PORT
from tests.simulation.capture import CAPTURED, CUSTOMER
from tests.simulation.channel import Channel
from tests.simulation.legs import Reaction
from tests.simulation.loop import Process
from tests.simulation.people import People
from tests.simulation.run import undisturbed
from tests.simulation.scenario import IncomingCall
from tests.simulation.scenes import SCENES, Heard, play
from tests.simulation.world import World

REAL: dict[str, Heard] = msgspec.json.decode(CAPTURED.read_bytes())


class Told(People):
    """Phone 101 and the mobile do as they are told."""

    def __init__(self) -> None:
        self.reactions: dict[str, Reaction] = {}

    def reaction(self, name: str, seconds: float, asked: float) -> Reaction | None:
        return self.reactions.get(name)

    def message_seconds(self) -> float:
        return 60.0

    def conversation(self, channel: Channel) -> tuple[float, str | None]:
        return 60.0, None


class SimulatedStage:
    """The same stage in virtual time."""

    url, ari_user, ari_password = f"http://127.0.0.1:{ARI_PORT}/ari", "user", "secret"

    def __init__(self, world: World) -> None:
        self.world = world
        self.ami = AmiClient("127.0.0.1", AMI_PORT, "user", "secret")
        self._people = Told()
        world.people = self._people
        world.default_plans["111"] = "1|ring~111~111~6~30~next~~~~~10~0|end~19"
        self._channels: list[Channel] = []

    async def reacts(self, kind: str) -> None:
        reaction = {
            "answer": Reaction(0.01, "answer", 0.02),
            "busy": Reaction(0.01, "refuse", 0.02, "BUSY", 17),
            "nothing": Reaction(0.01),
        }[kind]
        self._people.reactions = {"101": reaction, "PJSIP/+33612345678@carrier": reaction}

    async def dial(self, called: str) -> None:
        incoming = IncomingCall(called, "carrier", CUSTOMER, "allowed_not_screened", 60.0)
        self._channels.append(self.world.asterisk.call(incoming))

    async def phone_dials(self, called: str) -> None:
        self.world.asterisk.call(IncomingCall(called, "101", "101", "allowed_not_screened", 60.0))

    async def connected(self) -> None:
        while not self.world.truth.of(self._channels[-1]).reached:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.01)

    async def ringing(self) -> None:
        while not self._channels[-1].progress.leg.ringing:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.01)

    async def hang_up(self) -> None:
        for channel in self._channels:
            channel.hangup()
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("name", SCENES)
def test_as_the_real_one(name: str) -> None:
    with undisturbed():
        assert simulated(name) == REAL[name]


def simulated(name: str) -> Heard:
    world = World(7)
    try:
        playing = Process(world.loop, "scene").start(play(SCENES[name], SimulatedStage(world)))
        return world.loop.run_until_complete(playing)
    finally:
        world.bury()
