"""What goes wrong: each fault by its name, with how long it lasts and how long until all must be well again."""

import random
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.asterisk import AMI_PORT, ARI_PORT
from tests.simulation.health import UNNOTICED_SECONDS

if TYPE_CHECKING:
    from tests.simulation.world import World

Fault = Callable[["World", random.Random], None]


def service_killed(world: "World", chance: random.Random) -> None:
    """SIGKILL; the supervisor starts another."""
    world.health.disturb()
    world.kill_service()


def service_stopped(world: "World", chance: random.Random) -> None:
    """SIGTERM, as for an upgrade; the supervisor starts another."""
    world.health.disturb()
    world.signal_service(signal.SIGTERM)


def service_reloads(world: "World", chance: random.Random) -> None:
    """SIGHUP: nothing may be disturbed by it."""
    world.signal_service(signal.SIGHUP)


def service_frozen(world: "World", chance: random.Random) -> None:
    """SIGSTOP, or an event loop that is blocked; then it goes on."""
    seconds = chance.choice([0.2, 1.0, 1.6, 5.0, 40.0]) * chance.uniform(0.5, 1.5)
    world.health.disturb(seconds)
    process = world.service
    if process is not None:
        process.freeze()
        world.later(seconds, process.thaw)


def second_service(world: "World", chance: random.Random) -> None:
    """A new version is started beside the old one, which must go."""
    world.health.disturb()
    world.start_service()


def asterisk_killed(world: "World", chance: random.Random) -> None:
    """SIGKILL; it is started again after a while, without its calls."""
    seconds = chance.uniform(0.1, 6.0)
    world.health.disturb(seconds)
    world.asterisk.kill()
    world.later(seconds, world.start_asterisk)


def asterisk_stopped(world: "World", chance: random.Random) -> None:
    """`core restart now`: connections are closed in order."""
    seconds = chance.uniform(0.5, 6.0)
    world.health.disturb(seconds)
    world.asterisk.stop()
    world.later(seconds, world.start_asterisk)


def asterisk_frozen(world: "World", chance: random.Random) -> None:
    """SIGSTOP to Asterisk."""
    seconds = chance.choice([0.5, 3.0, 40.0]) * chance.uniform(0.5, 1.5)
    world.health.disturb(seconds)
    process = world.asterisk.process
    process.freeze()
    world.later(seconds, process.thaw)


def _cut(port: int, error: Exception | None) -> Fault:
    def cut(world: "World", chance: random.Random) -> None:
        world.health.disturb()
        for transport in world.network.on_port(port):
            transport.cut(error)

    return cut


def _cut_silently(port: int) -> Fault:
    def cut(world: "World", chance: random.Random) -> None:
        world.health.disturb(recovery=UNNOTICED_SECONDS * world.patience)
        for transport in world.network.on_port(port):
            transport.cut_silently()

    return cut


def _unreachable(port: int) -> Fault:
    def unreachable(world: "World", chance: random.Random) -> None:
        seconds = chance.uniform(1.0, 30.0)
        world.health.disturb(seconds, recovery=UNNOTICED_SECONDS * world.patience)
        world.network.partition.add(port)
        for transport in world.network.on_port(port):
            transport.cut_silently()
        world.later(seconds, world.network.partition.discard, port)

    return unreachable


def rest_fails(world: "World", chance: random.Random) -> None:
    """ARI answers commands with an error."""
    seconds, asterisk = chance.uniform(0.5, 10.0), world.asterisk
    world.health.disturb(seconds)
    asterisk.rest_fails = chance.choice([500, 503, 412, 400])
    world.later(seconds, setattr, asterisk, "rest_fails", None)


def rest_hangs(world: "World", chance: random.Random) -> None:
    """ARI takes requests and never answers them."""
    seconds, asterisk = chance.uniform(0.5, 10.0), world.asterisk
    world.health.disturb(seconds)
    asterisk.rest_hangs = True
    world.later(seconds, setattr, asterisk, "rest_hangs", False)


def ami_hangs(world: "World", chance: random.Random) -> None:
    """AMI takes actions and never answers them."""
    seconds, asterisk = chance.uniform(0.5, 40.0), world.asterisk
    world.health.disturb(seconds, recovery=UNNOTICED_SECONDS * world.patience)
    asterisk.ami_hangs = True
    world.later(seconds, setattr, asterisk, "ami_hangs", False)


def network_slow(world: "World", chance: random.Random) -> None:
    """Every packet takes up to a second and more."""
    seconds = chance.uniform(1.0, 20.0)
    world.health.disturb(seconds)
    world.network.slow = chance.choice([10.0, 300.0, 3000.0])
    world.later(seconds, setattr, world.network, "slow", 1.0)


def disk_full(world: "World", chance: random.Random) -> None:
    """The store takes no writes."""
    seconds = chance.uniform(1.0, 60.0)
    world.health.disturb(seconds)
    world.disk.full_until = max(world.disk.full_until, world.loop.time() + seconds)


def disk_slow(world: "World", chance: random.Random) -> None:
    """The store takes its time."""
    seconds = chance.uniform(1.0, 60.0)
    world.health.disturb(seconds)
    world.disk.slow = chance.choice([50.0, 1000.0])
    world.later(seconds, setattr, world.disk, "slow", 1.0)


def astdb_wiped(world: "World", chance: random.Random) -> None:
    """`database deltree`, or an old copy put back."""
    world.health.wipe(world.check_seconds)
    if chance.random() < 0.5:
        world.database.clear()
    else:
        for key in list(world.database):
            if chance.random() < 0.5:
                del world.database[key]
        world.database.pop("/comunik-plan/mark/service", None)


_RESET = ConnectionResetError(104, "Connection reset by peer")

FAULTS: dict[str, Fault] = {
    "service killed": service_killed,
    "service stopped": service_stopped,
    "service reloads": service_reloads,
    "service frozen": service_frozen,
    "second service": second_service,
    "asterisk killed": asterisk_killed,
    "asterisk stopped": asterisk_stopped,
    "asterisk frozen": asterisk_frozen,
    "ari closed": _cut(ARI_PORT, None),
    "ari reset": _cut(ARI_PORT, _RESET),
    "ari cut silently": _cut_silently(ARI_PORT),
    "ari unreachable": _unreachable(ARI_PORT),
    "ami closed": _cut(AMI_PORT, None),
    "ami reset": _cut(AMI_PORT, _RESET),
    "ami cut silently": _cut_silently(AMI_PORT),
    "ami unreachable": _unreachable(AMI_PORT),
    "rest fails": rest_fails,
    "rest hangs": rest_hangs,
    "ami hangs": ami_hangs,
    "network slow": network_slow,
    "disk full": disk_full,
    "disk slow": disk_slow,
    "astdb wiped": astdb_wiped,
}
