"""The simulated Asterisk: channels, their variables, the application of ARI, AMI; it can be killed and hang.

One object is one run of Asterisk: a restart makes another, which has only AstDB in common with it.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec

from comunik_pbx.needed import ALWAYS, CONFIRMATION, PROMPTS, VOICEMAIL
from tests.simulation.ami_server import AmiConnection
from tests.simulation.ari_server import AriConnection, Request
from tests.simulation.channel import Channel
from tests.simulation.dialplan import Dialplan
from tests.simulation.legs import Rung
from tests.simulation.loop import Process
from tests.simulation.network import Listener

if TYPE_CHECKING:
    from tests.simulation.scenario import IncomingCall
    from tests.simulation.world import World

ARI_PORT, AMI_PORT = 8088, 5038
VERSION = "22.10.1"
MODULES = [need.modules[0] for need in (*ALWAYS, VOICEMAIL, CONFIRMATION, PROMPTS)]

Answer = tuple[int, Any]


class Asterisk:
    """One run. `rest_fails` answers commands with that status, `rest_hangs` not at all; `ami_hangs` likewise."""

    def __init__(self, world: "World", serial: int) -> None:
        self.world = world
        self.process = Process(world.loop, f"asterisk {serial}")
        self.channels: dict[str, Channel] = {}
        self.legs: dict[str, Rung] = {}
        self.variables: dict[str, str] = {}
        self.managers: dict[AmiConnection, None] = {}
        self.sockets: dict[str, AriConnection] = {}  # by application: the one that gets its events
        self.booted = False
        self.rest_fails: int | None = None
        self.rest_hangs = False
        self.ami_hangs = False
        self.dialplan = Dialplan(self)
        self._made = 0
        self._told_until = 0.0
        self._began = int(world.loop.wall())
        world.network.listeners[ARI_PORT] = Listener(self.process, lambda: AriConnection(self))
        world.network.listeners[AMI_PORT] = Listener(self.process, lambda: AmiConnection(self))
        self.process.later(world.chance.uniform(0.0, 2.0) if serial else 0.0, self._boot)

    def _boot(self) -> None:
        self.booted = True
        self.world.note("asterisk", "booted")

    def takes(self) -> float:
        """Seconds that one of its threads needs until it gets to do what it is asked."""
        chance = self.world.chance
        spread = 0.97 * chance.random() if self.world.brisk else chance.random()
        return 0.00005 + 0.0005 * spread if spread < 0.98 else 0.2 * chance.random()

    # Calls

    def call(self, incoming: "IncomingCall") -> Channel:
        """A call comes in: its channel, which starts to execute the dialplan."""
        channel = Channel(self, self.channel_id(), incoming)
        self.channels[channel.id] = channel
        self.process.start(self.dialplan.run(channel))
        return channel

    def reached(self, channel: Channel, how: str, who: str) -> None:
        """Somebody answers: a queue ends the calls to its other members."""
        self.world.truth.reached(channel, how, who)
        for other in list(self.channels.values()):
            if other is not channel and other.linked == channel.linked:
                other.hangup()

    def channel_id(self) -> str:
        """UNIQUEID: Asterisk numbers all channels from its start."""
        self._made += 1
        return f"{int(self.world.loop.wall())}.{self._made}"

    # The application

    def socket_opened(self, socket: AriConnection) -> None:
        assert socket.app is not None
        before = self.sockets.get(socket.app)
        self.sockets[socket.app] = socket
        self.world.note("ari", "socket opened", socket.client)
        if before is not None:
            before.event({"type": "ApplicationReplaced", "application": socket.app, **self._stamp()})

    def socket_lost(self, socket: AriConnection) -> None:
        if socket.app is not None and self.sockets.get(socket.app) is socket:
            del self.sockets[socket.app]
            self.world.note("ari", "socket lost", socket.client)

    def event(
        self, app: str, kind: str, channel: Channel, delivered: Callable[[Process], None] | None = None, **fields: Any
    ) -> None:
        """An event of a channel to the application, if somebody is connected to it: in the order in which they happen.

        `delivered` is called with the client's process when it has it.
        """
        now = self.world.loop.time()
        self._told_until = max(self._told_until, now + self.takes() / 10)
        event = {"type": kind, **fields, **self._stamp(), "channel": channel.json(), "application": app}
        self.process.later(self._told_until - now, self._event, app, event, delivered)

    def _event(self, app: str, event: dict[str, Any], delivered: Callable[[Process], None] | None) -> None:
        if (socket := self.sockets.get(app)) is not None:
            client = socket.transport.peer.process
            socket.event(event, None if delivered is None else lambda: delivered(client))

    def _stamp(self) -> dict[str, Any]:
        return {"timestamp": f"{self.world.loop.wall():.3f}", "asterisk_id": "00:00:00:00:00:01"}

    # REST (rest-api/api-docs)

    def rest(self, request: Request, connection: AriConnection) -> Answer | None:
        """Carry out a request: status and JSON body; None if it never answers."""
        if self.rest_hangs:
            return None
        if not self.booted:
            return 503, None
        status, body = self._rest(request, connection)
        if self.rest_fails is not None and (request.method in ("POST", "DELETE") or "variable" in request.parts):
            status, body = self.rest_fails, {"message": "Allocation failed"}
        if request.method != "GET":
            self.world.note("rest", connection.client, request.method, "/".join(request.parts), status)
        return status, body

    def _rest(self, request: Request, connection: AriConnection) -> Answer:
        match request.method, request.parts:
            case "GET", ["asterisk", "info"]:
                return 200, {"system": {"version": VERSION, "entity_id": ""}}
            case "GET", ["asterisk", "modules"]:
                return 200, [{"name": f"{name}.so", "status": "Running"} for name in MODULES]
            case "GET", ["events"]:
                return 101, None
            case "PUT", ["applications", app, "eventFilter"]:
                if (socket := self.sockets.get(app)) is None:
                    return 404, {"message": "Application not found"}
                socket.allowed = frozenset(kind["type"] for kind in msgspec.json.decode(request.body)["allowed"])
                return 200, {"name": app}
            case "GET", ["channels"]:
                calls = [channel.json() for channel in self.channels.values()]
                return 200, calls + [leg.json() for leg in self.legs.values()]
            case "GET", ["endpoints", "PJSIP", name]:
                standing: list[Channel | Rung] = [*self.channels.values(), *self.legs.values()]
                ids = [one.id for one in standing if one.name == name]
                return 200, {"technology": "PJSIP", "resource": name, "state": "online", "channel_ids": ids}
            case "GET", ["channels", channel_id, "variable"]:
                return self._variable(channel_id, request.query["variable"], connection)
            case "POST", ["asterisk", "variable"]:
                if self.rest_fails is None:
                    wanted = msgspec.json.decode(request.body)
                    self.variables[wanted["variable"]] = wanted["value"]
                return 204, None
            case "POST", ["channels", channel_id, "continue"]:
                return self._continue(channel_id, request, connection)
            case "DELETE", ["channels", channel_id]:
                return self._hangup(channel_id, connection)
        raise AssertionError(f"the simulated Asterisk does not know {request.method} {request.parts}")

    def _continue(self, channel_id: str, request: Request, connection: AriConnection) -> Answer:
        channel = self.channels.get(channel_id)
        if channel is None:
            return 404, {"message": "Channel not found"}
        self.world.truth.continued(channel, connection.transport.peer.process)
        if not channel.in_stasis:
            return 409, {"message": "Channel not in Stasis application"}
        if self.rest_fails is None:
            where = request.query.get("extension", ""), request.query.get("context", "")
            self.process.later(self.takes(), channel.continued, *map(unquote, where))
        return 204, None

    def _variable(self, channel_id: str, asked: str, connection: AriConnection) -> Answer:
        """The only function that is asked: EVAL(), of a text with variables in it."""
        channel: Channel | Rung | None = self.legs.get(channel_id) or self.channels.get(channel_id)
        if channel is None:
            return 404, {"message": "Provided channel was not found"}
        if isinstance(channel, Rung) and channel.state != "Up":
            channel.looked[connection.client] = self.world.loop.time()
        text = asked.removeprefix("EVAL(").removesuffix(")")
        return 200, {"value": re.sub(r"\$\{([^}]*)\}", lambda name: channel.variable(name[1]), text)}

    def _hangup(self, channel_id: str, connection: AriConnection) -> Answer:
        if self.rest_fails is not None:
            return 0, None
        if (leg := self.legs.get(channel_id)) is not None:
            self.world.truth.leg_ended_by_us(leg, connection.client)
            leg.hangup()
            return 204, None
        channel = self.channels.get(channel_id)
        if channel is None:
            return 404, {"message": "Channel not found"}
        self.world.truth.ended_by_us(channel, connection.client)
        channel.hangup()
        return 204, None

    def stop(self) -> None:
        """`core stop now`: connections are closed in order, then it is gone with all its calls."""
        for socket in list(self.sockets.values()):
            socket.close(1000)
        for manager in list(self.managers):
            manager.transport.close()
        self.kill()

    def kill(self) -> None:
        self.process.kill()
        for port in (ARI_PORT, AMI_PORT):
            if self.world.network.listeners.get(port) is not None:
                del self.world.network.listeners[port]
        for channel in list(self.channels.values()):
            self.world.truth.died(channel)

    def idle(self) -> bool:
        return not self.channels
