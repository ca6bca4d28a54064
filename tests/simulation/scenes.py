"""Short scenes played on the real Asterisk and on the simulated one, which must both say the same.

A scene is played on a `Stage`: someone calls from outside, phone 101 does something, and a stand-in for the service
says what ARI told it and what AstDB kept. `python -m tests.simulation.capture` plays them on the real one.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp
import msgspec

from comunik_pbx.asterisk.ami import AmiClient
from comunik_pbx.calls.call_ends import reported
from comunik_pbx.calls.exact_rings import CALLER, LEG

APP = "comunik-pbx"
HEARD = ("StasisStart", "StasisEnd", "ApplicationReplaced")
KEPT = "comunik-ended"
TAG = "123456789012"

Heard = dict[str, list[str]]
"""What was heard, by connection: `ari`, `rest`, `kept`. The order between them is not decided."""


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

    async def phone_dials(self, called: str) -> None:
        """Phone 101 calls."""

    async def connected(self) -> None:
        """Somebody has answered the customer."""

    async def ringing(self) -> None:
        """The customer hears that it rings."""

    async def hang_up(self) -> None:
        """The customer hangs up."""


class Service:
    """A stand-in for the service: listens, and does what the scene says."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.heard: Heard = {"ari": [], "rest": [], "kept": []}
        self.channel = ""
        self.legs: list[str] = []
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._exits = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Service":
        auth = {"Authorization": aiohttp.encode_basic_auth(self.stage.ari_user, self.stage.ari_password)}
        self._session = await self._exits.enter_async_context(aiohttp.ClientSession(headers=auth))
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
            match event.get("args", []):
                case ["ended", *report]:
                    args = f"ended {_told(','.join(report))}"
                case incoming:
                    args = " ".join(incoming)
            self.heard["ari"].append(f"{event['type']} {args}".rstrip())
            self._events.put_nowait(event)

    async def until(self, kind: str) -> None:
        """Wait for an event of the application."""
        async with asyncio.timeout(10):
            while True:
                event = await self._events.get()
                if "channel" in event:
                    self.channel = event["channel"]["id"]
                if event["type"] == kind:
                    return

    async def ended(self, calls: int = 1) -> None:
        """Wait until AstDB keeps the ends of so many calls, and take them."""
        tree: dict[str, str] = {}
        async with asyncio.timeout(20):
            while len(tree) < calls:
                await asyncio.sleep(0.02)
                tree = await self.stage.ami.db_get_tree(KEPT)
        kept = [f"{re.sub('[^/]+/([0-9]+)$', 'C', key)} {_told(report)}" for key, report in tree.items()]
        self.heard["kept"] += sorted(kept)
        await self.stage.ami.db_write(KEPT, [(key.removeprefix(f"/{KEPT}/"), None) for key in tree])

    async def rest(self, method: str, path: str, body: bytes | None = None) -> Any:
        """Ask for something; what came of it is noted."""
        json = {"Content-Type": "application/json"}
        async with self._session.request(method, self.stage.url + path, data=body, headers=json) as response:
            said = msgspec.json.decode(await response.read() or b"{}")
        words = said.get("message", "") if response.status >= 400 and isinstance(said, dict) else ""
        self.heard["rest"].append(f"{method} {self._named(path.partition('?')[0])} {response.status} {words}".rstrip())
        return said

    def _named(self, text: str) -> str:
        """Channels by what they are: C the newest caller's, L1 and so on the legs, K any other."""
        for one, name in ((self.channel, "C"), *((leg, f"L{i}") for i, leg in enumerate(self.legs, 1))):
            text = text.replace(one, name) if one else text
        return re.sub(r"([a-z0-9]+-)?[0-9]{9,}\.[0-9]+", "K", text)

    async def hand_over(self, plan: str, tag: str = TAG, *, at_once: bool = False) -> None:
        """Give a waiting call its plan, as the service does."""
        value = msgspec.json.encode({"variable": "CK_HANDOVER_005", "value": f"{tag}!{plan}"})
        await self.rest("POST", "/asterisk/variable", value)
        place = f"*005{TAG}t1.9:^60" if at_once else f"005{TAG}1"
        await self.go_on(f"?context=comunik-execute&extension={place}&priority=1")

    async def go_on(self, where: str = "") -> None:
        await self.rest("POST", f"/channels/{self.channel}/continue{where}")

    async def look(self, text: str, channel: str = "") -> list[str]:
        """What the caller's channel, or another, says as the service asks it: times as whether there are any."""
        channel = channel or self.channel
        said = await self.rest("GET", f"/channels/{channel}/variable?variable={quote(text)}")
        values: list[str] = said.get("value", "").split("|")
        shown = "|".join("…" if value and 5 <= place <= 7 else value for place, value in enumerate(values))
        shown = re.sub(r"~\d+", "", shown)
        self.heard["rest"].append(self._named(shown))
        return values

    async def leg(self) -> str:
        """The newest leg to phone 101, once there is one."""
        async with asyncio.timeout(10):
            while not (new := [leg for leg in await self.channels("101") if leg not in self.legs]):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        self.legs += new
        return self.legs[-1]

    async def channels(self, phone: str) -> list[str]:
        """The channels to and from a phone, asked without a note."""
        async with self._session.get(f"{self.stage.url}/endpoints/PJSIP/{phone}") as response:
            channels: list[str] = msgspec.json.decode(await response.read())["channel_ids"]
        return channels


def _told(report: str) -> str:
    """A call's end, without what is another each time."""
    headers = reported(report)
    steps = []
    for step in filter(None, headers["steps"].split("|")):
        index, status, cause, _, peer, _ = step.split("~")
        steps.append(f"{index}~{status}~{cause}~{re.sub('-[0-9a-f]+$', '', peer)}")
    index, doing, _, status, rang, answered, peer, _ = (*headers["now"].split("~"), *[""] * 8)[:8]
    now = [index, doing]
    if doing == "dial":
        now += [status, *(time and "…" for time in (rang, answered)), re.sub("-[0-9a-f]+$", "", peer)]
    names = ("pass", "called", "endpoint", "callernum", "callerpres", "decided", "plan", "status", "cause")
    return " ".join(
        [f"{name}={headers[name]}" for name in names] + ["now=" + "~".join(now), "steps=" + "|".join(steps)]
    )


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


async def at_once(service: Service, stage: Stage) -> None:
    """The plan begins with the ringing of one phone."""
    await stage.reacts("busy")
    await service.listen()
    await stage.dial("101")
    await service.until("StasisStart")
    await service.hand_over(RING, at_once=True)
    await service.ended()


async def anothers_plan_at_once(service: Service, stage: Stage) -> None:
    await service.listen()
    await stage.dial(NOBODY)
    await service.until("StasisStart")
    await service.hand_over(RING, tag="987654321098", at_once=True)
    await service.ended()


async def rings_ended(service: Service, stage: Stage) -> None:
    """The service looks at the caller's channel and at the ringing leg, and ends it: the plan goes on."""
    await stage.reacts("nothing")
    await service.listen()
    await stage.dial("101")
    await service.until("StasisStart")
    await service.look(CALLER)
    await service.hand_over(RING.replace("~1~2~", "~1~20~"))
    leg = await service.leg()
    await stage.ringing()
    *_, linked = await service.look(CALLER)
    its, _ = await service.look(LEG, leg)
    service.heard["rest"].append(f"of this call: {its == linked}")
    await service.rest("DELETE", f"/channels/{leg}?reason=no_answer")
    await service.ended()


async def leg_answered(service: Service, stage: Stage) -> None:
    """The leg of whoever has answered is Up, and there no more once he has hung up."""
    await stage.reacts("answer")
    await service.listen()
    await stage.dial("101")
    await service.until("StasisStart")
    await service.hand_over(RING)
    leg = await service.leg()
    await stage.connected()
    await service.look(CALLER)
    await service.look(LEG, leg)
    await stage.hang_up()
    await service.ended()
    await asyncio.sleep(0.3)
    await service.look(CALLER)
    await service.look(LEG, leg)
    await service.rest("DELETE", f"/channels/{leg}?reason=no_answer")
    service.heard["rest"].append(f"channels of phone 101: {await service.channels('101')}")


async def two_calls_to_one_phone(service: Service, stage: Stage) -> None:
    """The phone has two legs and a call of its own: linkedid tells which are whose."""
    await stage.reacts("nothing")
    await service.listen()
    linked = {}
    for call in ("first", "second"):
        await stage.dial("101")
        await service.until("StasisStart")
        await service.hand_over(RING.replace("~1~2~", "~1~20~"))
        await service.leg()
        await stage.ringing()
        await service.until("StasisEnd")
        linked[service.channel] = call
    await stage.phone_dials("199")
    await service.until("StasisStart")
    linked[service.channel] = "its own"
    for channel in sorted(await service.channels("101"), key=lambda one: int(one.rpartition(".")[2])):
        its, *_ = await service.look(LEG, channel)
        service.heard["rest"].append(linked[its.partition("&")[0]])
    await service.hand_over("1|end~1")
    await service.ended()
    await stage.hang_up()
    await service.ended(2)


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
    await service.hand_over(RING, tag="987654321098")
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
        at_once,
        anothers_plan_at_once,
        rings_ended,
        leg_answered,
        two_calls_to_one_phone,
        service_late,
        given_back,
        anothers_plan,
        no_plan_at_all,
        no_service,
        replaced,
        unknown_number,
        nobodys_channel,
    )
}


async def play(scene: Scene, stage: Stage) -> Heard:
    """Play a scene: what was heard."""
    async with Service(stage) as service:
        await scene(service, stage)
        await asyncio.sleep(0.3)
    return service.heard
