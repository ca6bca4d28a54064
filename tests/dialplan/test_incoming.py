"""Who calls, the guard around the service, the plans without one, and callers who come in twice."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from comunik_pbx.asterisk.plan_encoding import encode
from comunik_pbx.forwarding.steps import End, OnBusy, Ring
from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.company import ARI_USER
from comunik_pbx.sandbox.phones import Phones
from comunik_pbx.sandbox.sandbox import Sandbox
from tests.dialplan.conftest import Publish
from tests.dialplan.records import Events
from tests.pbx import PBX

pytestmark = PBX

RING = Ring("101", ("101",), 1, 3.0, OnBusy.NEXT)
ANOTHERS = Ring("102", ("102",), 1, 3.0, OnBusy.NEXT)


HANDOVER, TAG = "127", "123456789012"


class FakeService:
    """Registers the application and does only what a test tells it."""

    def __init__(self, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse, url: str) -> None:
        self._session, self._socket, self._url = session, socket, url

    async def arrival(self) -> tuple[str, list[str]]:
        """The id and the Stasis arguments of the next call."""
        async with asyncio.timeout(5):
            async for message in self._socket:
                event = json.loads(message.data)
                if event["type"] == "StasisStart":
                    return event["channel"]["id"], event["args"]
        raise AssertionError("the socket was closed")

    async def set_plan(self, plan: str, *, tag: str = TAG) -> int:
        query = {"variable": f"CK_HANDOVER_{HANDOVER}", "value": f"{tag}!{plan}"}
        async with self._session.post(f"{self._url}/asterisk/variable", params=query) as response:
            return response.status

    async def go_on(self, channel: str, *, passes: int = 1, at_once: bool = False) -> int:
        place = f"*{HANDOVER}{TAG}t3.9:^10" if at_once else f"{HANDOVER}{TAG}{passes}"
        query = {"context": "comunik-execute", "extension": place, "priority": "1"}
        async with self._session.post(f"{self._url}/channels/{channel}/continue", params=query) as response:
            return response.status


@asynccontextmanager
async def fake_service(pbx: Sandbox) -> AsyncIterator[FakeService]:
    headers = {"Authorization": aiohttp.encode_basic_auth(ARI_USER, pbx.passwords.ari)}
    async with (
        aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=5)) as session,
        session.ws_connect(f"{pbx.ari_url}/events?app=comunik-pbx") as socket,
    ):
        yield FakeService(session, socket, pbx.ari_url)


async def test_the_service_is_told_who_calls_and_its_plan_is_carried_out(
    pbx: Sandbox, publish: Publish, events: Events
) -> None:
    await publish("101", End(31))
    async with (
        fake_service(pbx) as service,
        sipp.phone(pbx, "101", [180, 200]),
        sipp.caller(pbx, "101", from_uri="sip:101@sandbox.example") as caller,
    ):
        channel, arguments = await service.arrival()
        assert arguments[:3] == ["incoming", "101", "carrier"]  # by endpoint, whatever the caller claims to be
        assert await service.set_plan(encode((RING,))) == 204
        assert await service.go_on(channel) == 204
        assert (await caller.final()).status == 200
        record = await events.record("101")
    assert (record["Decided"], record["Plan"], record["Endpoint"]) == ("", encode((RING,)), "carrier")


async def test_a_plan_meant_for_another_pass_of_the_caller_is_not_carried_out(
    pbx: Sandbox, publish: Publish, events: Events
) -> None:
    """The service's word about the call before a transfer may come late, while the transferred caller waits."""
    await publish("101", End(31))
    async with fake_service(pbx) as service, sipp.caller(pbx, "101") as caller:
        channel, _ = await service.arrival()
        assert await service.set_plan(encode((End(17),))) == 204
        assert await service.go_on(channel, passes=2) == 204
        await caller.final()
        record = await events.record("101")
    assert (record["Decided"], record["Plan"]) == ("published", encode((End(31),)))


async def test_a_service_that_hangs_costs_a_second_and_a_half(pbx: Sandbox, publish: Publish, events: Events) -> None:
    await publish("101", RING)
    async with (
        fake_service(pbx) as service,
        sipp.phone(pbx, "101", [180, 0.5, 200]) as phone,
        sipp.caller(pbx, "101") as caller,
    ):
        channel, _ = await service.arrival()
        rung = await phone.received("INVITE")
        assert rung.at - caller.messages[0].at == pytest.approx(1.5, abs=0.15)
        # It wakes up too late, and must not disturb the plan that is being carried out.
        assert await service.set_plan(encode((End(17),))) == 204
        assert await service.go_on(channel) == 409
        assert (await caller.final()).status == 200
        assert (await events.record("101"))["Decided"] == "published"


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_plan_that_is_not_where_it_was_said_to_be_is_asked_for_once_more(
    pbx: Sandbox, publish: Publish, events: Events, at_once: bool
) -> None:
    """The variable holds another plan by now, or an admin has cleared the globals (clearglobalvars=yes, a reload)."""
    await publish("101", End(31))
    async with (
        fake_service(pbx) as service,
        sipp.phone(pbx, "101", [180, 200]),
        sipp.caller(pbx, "101") as caller,
    ):
        channel, arguments = await service.arrival()
        assert await service.set_plan(encode((ANOTHERS,)), tag="987654321098") == 204
        assert await service.go_on(channel, at_once=at_once) == 204
        assert await service.arrival() == (channel, arguments)
        assert await service.set_plan(encode((RING,))) == 204
        assert await service.go_on(channel, at_once=at_once) == 204
        assert (await caller.final()).status == 200
        record = await events.record("101")
    assert (record["Decided"], record["Plan"], record.story) == ("", encode((RING,)), [(1, "ANSWER", 16)])


async def test_a_plan_that_is_not_there_when_asked_again_either_is_not_waited_for(
    pbx: Sandbox, publish: Publish, events: Events
) -> None:
    await publish("101", RING)
    async with (
        fake_service(pbx) as service,
        sipp.phone(pbx, "101", [180, 200]),
        sipp.caller(pbx, "101") as caller,
    ):
        assert await service.set_plan(encode((ANOTHERS,)), tag="987654321098") == 204
        channel, _ = await service.arrival()
        assert await service.go_on(channel) == 204
        assert (await service.arrival())[0] == channel
        assert await service.go_on(channel) == 204
        assert (await caller.final()).status == 200
        assert (await events.record("101"))["Decided"] == "published"


async def test_without_a_service_nothing_is_lost(pbx: Sandbox, publish: Publish, events: Events) -> None:
    await publish("101", RING)
    async with sipp.phone(pbx, "101", [180, 200]) as phone, sipp.caller(pbx, "101") as caller:
        rung = await phone.received("INVITE")
        assert rung.at - caller.messages[0].at < 0.1
        await caller.final()
        assert (await events.record("101"))["Status"] == "answered"


async def test_caller_gives_up_before_anything_is_decided(pbx: Sandbox, events: Events) -> None:
    async with fake_service(pbx) as service, sipp.caller(pbx, "101", trunk="carrier") as caller:
        await service.arrival()
        await pbx.console("channel request hangup all")
        await caller.final()
        record = await events.record("101")
    assert (record["Status"], record["Steps"]) == ("abandoned", "")


@pytest.mark.parametrize("plan", ["2|ring~101", "", "nonsense"])
async def test_what_is_no_plan_is_not_carried_out(pbx: Sandbox, publish: Publish, events: Events, plan: str) -> None:
    await publish("999", plan or "-")
    async with sipp.caller(pbx, "999") as caller:
        assert (await caller.final()).status == 404
    record = await events.record("999")
    assert (record["Decided"], record["Plan"]) == ("default", "1|end~1")


async def test_published_plans_are_kept_apart_by_origin(
    pbx: Sandbox, publish: Publish, events: Events, phones: Phones
) -> None:
    await publish("101", End(17))
    await publish("101", End(19), origin="internal")
    await pbx.console("database put comunik-plan/endpoint 102 102")
    bruno = await phones.register("102")
    assert (await (await bruno.dial("101")).refused()).status == 480
    async with sipp.caller(pbx, "101", from_uri="sip:102@sandbox.example") as caller:
        assert (await caller.final()).status == 486
    await pbx.console("database del comunik-plan/endpoint 102")


async def test_two_phones_that_send_each_others_calls_back(pbx: Sandbox, publish: Publish, events: Events) -> None:
    await publish("101", RING, End(19))
    await publish("102", Ring("102", ("102",), 1, 3.0), End(19))
    async with (
        sipp.phone(pbx, "101", [302], headers=["Contact: <sip:102@127.0.0.1>"]) as alice,
        sipp.phone(pbx, "102", [302], headers=["Contact: <sip:101@127.0.0.1>"]) as bruno,
        sipp.caller(pbx, "101") as caller,
    ):
        assert (await caller.final()).status == 480
        assert len(alice.invites) + len(bruno.invites) <= 6


async def test_a_transferred_caller_comes_in_again(
    pbx: Sandbox, publish: Publish, events: Events, phones: Phones
) -> None:
    await publish("101", RING)
    await publish("103", Ring("103", ("103",), 1, 3.0))
    alice, carol = await phones.register("101"), await phones.register("103")
    mobile = (await phones.carrier()).number("+33612345678")
    call = await mobile.dial("101")
    at_alice = await alice.rings()
    await at_alice.answer()
    await call.answered()
    await at_alice.hears(mobile)  # only who is connected can be transferred: Asterisk says 400 to others
    await at_alice.transfer("103")
    at_carol = await carol.rings()
    assert at_carol.diversion is None
    await at_carol.answer()
    await call.hears(carol)
    await call.hangup()
    first, second = await events.record("101"), await events.record("103")
    assert (first["Pass"], second["Pass"]) == ("1", "2")
    assert first["Call"] == second["Call"]
    assert first["Status"] == second["Status"] == "answered"
    assert first["Endpoint"] == second["Endpoint"] == "carrier"


async def test_no_key_leads_out_of_the_greeting(pbx: Sandbox, publish: Publish, events: Events, phones: Phones) -> None:
    await publish("101", "1|voicemail~101@default~unavailable~101~0")
    mobile = (await phones.carrier()).number("+33612345678")
    call = await mobile.dial("101")
    await call.answered()
    await call.hears_speech()
    said = len(pbx.asterisk.log_lines())
    await call.press("*0")
    await call.hears_speech()
    await call.hangup()
    assert (await events.record("101"))["Status"] == "voicemail"
    assert not any("VoiceMailMain" in line for line in pbx.asterisk.log_lines()[said:])
