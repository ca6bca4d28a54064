"""Short scenes played on the real Asterisk and on the simulated one, which must both say the same.

A scene is played on a `Stage`: someone calls from outside, phone 101 does something, and a stand-in for the service
says what ARI and AMI told it. `python -m tests.simulation.capture` plays them on the real one.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from typing import Any, Protocol

import aiohttp
import msgspec

from comunik_pbx.asterisk.ami import AmiClient, UserEvent
from comunik_pbx.asterisk.ami_dial import LegEvent, LegNews

APP = "comunik-pbx"
HEARD = ("StasisStart", "StasisEnd", "ApplicationReplaced")

Heard = dict[str, list[str]]
"""What was heard, by connection: `ari`, `rest`, `ami`. The order between them is not decided."""


class Stage(Protocol):
    """The people of a scene. Phone 101 and the mobile `+33612345678` are told beforehand how they react."""

    url: str
    ari_user: str
    ari_password: str
    ami: AmiClient

    async def reacts(self, kind: str) -> None:
        """Phone 101 (and the mobile) will `answer`, be `busy`, or do `nothing`; before, 101 is not registered."""

    async def dial(self, called: str) -> None:
        """The customer calls by the carrier."""

    async def connected(self) -> None:
        """Somebody has answered him."""

    async def ringing(self) -> None:
        """He hears that it rings."""

    async def hang_up(self) -> None:
        """He hangs up."""


class Service:
    """A stand-in for the service: listens, and does what the scene says."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.heard: Heard = {"ari": [], "rest": [], "ami": []}
        self.channel = self.leg = ""
        self.leg_rings = asyncio.Event()
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._ends: asyncio.Queue[None] = asyncio.Queue()
        self._exits = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Service":
        auth = {"Authorization": aiohttp.encode_basic_auth(self.stage.ari_user, self.stage.ari_password)}
        self._session = await self._exits.enter_async_context(aiohttp.ClientSession(headers=auth))
        self._tasks.append(asyncio.create_task(self._listen_ami()))
        await self._ends.get()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._exits.aclose()

    async def listen(self) -> None:
        """Connect as the application, again too."""
        socket = await self._session.ws_connect(f"{self.stage.url}/events?app={APP}")
        self._exits.push_async_callback(socket.close)
        allowed = msgspec.json.encode({"allowed": [{"type": kind} for kind in HEARD]})
        await self.rest("PUT", f"/applications/{APP}/eventFilter", allowed)
        self._tasks.append(asyncio.create_task(self._listen(socket)))

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            event = msgspec.json.decode(message.data)
            args = " ".join(event.get("args", []))
            self.heard["ari"].append(f"{event['type']} {args}".rstrip())
            self._events.put_nowait(event)

    async def _listen_ami(self) -> None:
        async with aclosing(self.stage.ami.events()) as events:
            async for event in events:
                if isinstance(event, UserEvent):
                    self.heard["ami"].append(_told(event))
                    self._ends.put_nowait(None)
                elif isinstance(event, LegEvent):
                    self.leg = event.leg
                    self.heard["ami"].append(f"leg to {event.extension} {event.news.value}")
                    if event.news is LegNews.RINGING:
                        self.leg_rings.set()
                elif type(event).__name__ == "FullyBooted":
                    self._ends.put_nowait(None)

    async def until(self, kind: str) -> None:
        """Wait for an event of the application."""
        async with asyncio.timeout(10):
            while True:
                event = await self._events.get()
                if "channel" in event:
                    self.channel = event["channel"]["id"]
                if event["type"] == kind:
                    return

    async def ended(self) -> None:
        """Wait for a call's end."""
        async with asyncio.timeout(20):
            await self._ends.get()

    async def rest(self, method: str, path: str, body: bytes | None = None) -> Any:
        """Ask for something; what came of it is noted."""
        json = {"Content-Type": "application/json"}
        async with self._session.request(method, self.stage.url + path, data=body, headers=json) as response:
            said = msgspec.json.decode(await response.read() or b"{}")
        words = said.get("message", "") if response.status >= 400 and isinstance(said, dict) else ""
        where = path.partition("?")[0]
        for one, name in ((self.channel, "C"), (self.leg, "L")):
            where = where.replace(one, name) if one else where
        self.heard["rest"].append(f"{method} {where} {response.status} {words}".rstrip())
        return said

    async def hand_over(self, plan: str, whose: str = "") -> None:
        """Give a waiting call its plan, as the service does."""
        value = msgspec.json.encode({"variable": "CK_HANDOVER_5", "value": f"{whose or self.channel}/1!{plan}"})
        await self.rest("POST", "/asterisk/variable", value)
        await self.go_on("?context=comunik-execute&extension=5&priority=1")

    async def go_on(self, where: str = "") -> None:
        await self.rest("POST", f"/channels/{self.channel}/continue{where}")


def _told(event: UserEvent) -> str:
    """A call's end, without what is another each time."""
    headers = event.headers
    steps = []
    for step in filter(None, headers["steps"].split("|")):
        index, status, cause, _, peer, _ = step.split("~")
        steps.append(f"{index}~{status}~{cause}~{re.sub('-[0-9a-f]+$', '', peer)}")
    names = ("pass", "called", "endpoint", "callernum", "callerpres", "decided", "plan", "status", "cause")
    return " ".join([f"{name}={headers[name]}" for name in names] + ["steps=" + "|".join(steps)])


RING = "1|ring~101~101~1~2~next~~~~|end~19"
FORWARD = "1|forward~PJSIP/+33612345678@carrier~5~5~0~101~101~unconditional~1~+33612345678~carrier~original~~0|end~19"
MAILBOX = "1|ring~101~101~1~1~next~~~~|voicemail~101@default~unavailable~101~1"
NOBODY = "111"
"""An extension without phone and mailbox."""


async def answered(service: Service, stage: Stage) -> None:
    await stage.reacts("answer")
    await service.listen()
    await stage.dial("101")
    await service.until("StasisStart")
    await service.hand_over(RING)
    await stage.connected()
    await stage.hang_up()
    await service.ended()


async def busy(service: Service, stage: Stage) -> None:
    await stage.reacts("busy")
    await service.listen()
    await stage.dial("101")
    await service.until("StasisStart")
    await service.hand_over(RING)
    await service.ended()


async def nobody_answers(service: Service, stage: Stage) -> None:
    await stage.reacts("nothing")
    await service.listen()
    await stage.dial("101")
    await service.until("StasisStart")
    await service.hand_over(RING)
    await service.ended()


async def not_registered(service: Service, stage: Stage) -> None:
    await service.listen()
    await stage.dial("101")
    await service.until("StasisStart")
    await service.hand_over(RING)
    await service.ended()


async def voicemail(service: Service, stage: Stage) -> None:
    await stage.reacts("nothing")
    await service.listen()
    await stage.dial("101")
    await service.until("StasisStart")
    await service.hand_over(MAILBOX)
    await stage.connected()
    await stage.hang_up()
    await service.ended()


async def mobile_busy(service: Service, stage: Stage) -> None:
    await stage.reacts("busy")
    await service.listen()
    await stage.dial("101")
    await service.until("StasisStart")
    await service.hand_over(FORWARD)
    await service.ended()


async def abandoned_while_ringing(service: Service, stage: Stage) -> None:
    await stage.reacts("nothing")
    await service.listen()
    await stage.dial("101")
    await service.until("StasisStart")
    await service.hand_over(RING)
    await stage.ringing()
    await stage.hang_up()
    await service.ended()


async def abandoned_in_stasis(service: Service, stage: Stage) -> None:
    """He hangs up before the plan comes: 404."""
    await service.listen()
    await stage.dial("101")
    await service.until("StasisStart")
    await stage.hang_up()
    await service.until("StasisEnd")
    await service.ended()
    await asyncio.sleep(0.3)
    await service.hand_over(RING)


async def rings_ended(service: Service, stage: Stage) -> None:
    """The service looks at the ringing leg, and ends it: the plan goes on."""
    await stage.reacts("nothing")
    await service.listen()
    await stage.dial("101")
    await service.until("StasisStart")
    await service.hand_over(RING.replace("~1~2~", "~1~20~"))
    await asyncio.wait_for(service.leg_rings.wait(), 10)
    service.heard["rest"].append((await service.rest("GET", f"/channels/{service.leg}"))["state"])
    await service.rest("DELETE", f"/channels/{service.leg}?reason=no_answer")
    await service.ended()


async def leg_answered(service: Service, stage: Stage) -> None:
    """The leg of whoever has answered is Up, and there no more once he has hung up."""
    await stage.reacts("answer")
    await service.listen()
    await stage.dial("101")
    await service.until("StasisStart")
    await service.hand_over(RING)
    await stage.connected()
    service.heard["rest"].append((await service.rest("GET", f"/channels/{service.leg}"))["state"])
    await stage.hang_up()
    await service.ended()
    await asyncio.sleep(0.3)
    await service.rest("GET", f"/channels/{service.leg}")
    await service.rest("DELETE", f"/channels/{service.leg}?reason=no_answer")


async def service_late(service: Service, stage: Stage) -> None:
    """The guard is quicker: 409, since the call goes on ringing."""
    await stage.reacts("nothing")
    await service.listen()
    await stage.dial("101")
    await service.until("StasisStart")
    await service.until("StasisEnd")
    await service.hand_over(RING)
    await stage.ringing()
    await stage.hang_up()
    await service.ended()


async def given_back(service: Service, stage: Stage) -> None:
    """`continue` without a plan."""
    await service.listen()
    await stage.dial(NOBODY)
    await service.until("StasisStart")
    await service.go_on()
    await service.ended()


async def anothers_plan(service: Service, stage: Stage) -> None:
    """The hand-over variable holds another call's plan."""
    await service.listen()
    await stage.dial(NOBODY)
    await service.until("StasisStart")
    await service.hand_over(RING, whose="1700000000.1")
    await service.ended()


async def no_plan_at_all(service: Service, stage: Stage) -> None:
    """What is handed over is of no format that the dialplan knows."""
    await service.listen()
    await stage.dial(NOBODY)
    await service.until("StasisStart")
    await service.hand_over("2|dance")
    await service.ended()


async def no_service(service: Service, stage: Stage) -> None:
    await stage.dial(NOBODY)
    await service.ended()


async def replaced(service: Service, stage: Stage) -> None:
    """A second connection of the application."""
    await service.listen()
    await service.listen()
    await service.until("ApplicationReplaced")
    await stage.dial(NOBODY)
    await service.until("StasisStart")
    await service.go_on()
    await service.ended()


async def unknown_number(service: Service, stage: Stage) -> None:
    await service.listen()
    await stage.dial("199")
    await service.until("StasisStart")
    await service.hand_over("1|end~1")
    await service.ended()


async def nobodys_channel(service: Service, stage: Stage) -> None:
    """What ARI says to operations on what is not there."""
    service.channel = "1700000000.1"
    await service.go_on()
    await service.rest("DELETE", f"/channels/{service.channel}")
    await service.rest("PUT", "/applications/nobody/eventFilter", b'{"allowed": []}')


async def kept_end(service: Service, stage: Stage) -> None:
    """AstDB keeps the end of each call."""
    await service.listen()
    await stage.dial("199")
    await service.until("StasisStart")
    await service.hand_over("1|end~1")
    await service.ended()
    tree = await stage.ami.db_get_tree("comunik-ended")
    kept = tree[f"/comunik-ended/{service.channel[-5:]}/1"]
    fields = [re.sub(r"(Call|Ended): .*", r"\1: …", field) for field in kept.split(",")]
    service.heard["ami"].append(",".join(fields))
    await stage.ami.db_write("comunik-ended", [(key.removeprefix("/comunik-ended/"), None) for key in tree])
    service.heard["ami"].append(f"left: {await stage.ami.db_get_tree('comunik-ended')}")


Scene = Callable[[Service, Stage], Awaitable[None]]

SCENES: dict[str, Scene] = {
    scene.__name__: scene
    for scene in (
        answered,
        busy,
        nobody_answers,
        not_registered,
        voicemail,
        mobile_busy,
        abandoned_while_ringing,
        abandoned_in_stasis,
        rings_ended,
        leg_answered,
        service_late,
        given_back,
        anothers_plan,
        no_plan_at_all,
        no_service,
        replaced,
        unknown_number,
        nobodys_channel,
        kept_end,
    )
}


async def play(scene: Scene, stage: Stage) -> Heard:
    """Play a scene: what was heard."""
    async with Service(stage) as service:
        await scene(service, stage)
        await asyncio.sleep(0.1)
    return service.heard
