"""The AMI adapter: each thing that panoramisk leaves out has its test here."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

import pytest
import structlog.testing

from comunik_pbx.asterisk.ami import (
    AmiClient,
    AmiConnected,
    AmiDisconnected,
    AmiEvent,
    FullyBooted,
    Reloaded,
    UserEvent,
)
from comunik_pbx.asterisk.errors import AmiActionFailed, AmiRefused, AmiTimeout, AmiUnreachable, UnsafeValue

from .fake_ami import FakeAmi


@pytest.fixture
async def ami() -> AsyncIterator[FakeAmi]:
    async with FakeAmi() as fake:
        yield fake


async def following(events: AsyncGenerator[AmiEvent, None]) -> AmiEvent:
    async with asyncio.timeout(5):
        return await anext(events)


@contextlib.asynccontextmanager
async def logged_in(client: AmiClient) -> AsyncIterator[AsyncGenerator[AmiEvent, None]]:
    async with contextlib.aclosing(client.events()) as events:
        assert await following(events) == AmiConnected()
        assert await following(events) == FullyBooted()
        yield events


async def test_a_wrong_secret_is_said(ami: FakeAmi) -> None:
    with pytest.raises(AmiRefused, match=r"ami_user and its secret against manager\.conf"):
        await ami.client(secret="guess").check()


async def test_nobody_there() -> None:
    with pytest.raises(AmiUnreachable, match=r"Connection refused.*manager\.conf"):
        await AmiClient("127.0.0.1", 1, "u", "s").check()


async def test_check_of_a_frozen_asterisk_ends(ami: FakeAmi) -> None:
    ami.frozen = True
    with pytest.raises(AmiTimeout, match="hung"):
        await ami.client(action_seconds=0.05).check()


async def test_only_the_events_we_read_are_asked_for(ami: FakeAmi) -> None:
    await ami.client().check()
    assert ami.actions[0]["Events"] == "system,user"


async def test_an_action_without_an_answer_times_out_and_the_connection_lives(ami: FakeAmi) -> None:
    ami.silent.add("DBPut")
    client = ami.client(action_seconds=0.05)
    async with logged_in(client):
        with pytest.raises(AmiTimeout, match="DBPut"):
            await client.db_put("f", "k", "v")
        await client.action("Ping")


async def test_an_action_under_way_fails_at_once_when_the_connection_is_lost(ami: FakeAmi) -> None:
    ami.silent.add("DBPut")
    client = ami.client(action_seconds=60)
    async with logged_in(client) as events:
        ami.came.clear()
        put = asyncio.create_task(client.db_put("f", "k", "v"))
        await ami.came.wait()
        ami.hang_up()
        with pytest.raises(AmiUnreachable):
            async with asyncio.timeout(2):
                await put
        assert isinstance(await following(events), AmiDisconnected)


async def test_after_a_loss_nothing_claims_to_be_connected_until_logged_in_again(ami: FakeAmi) -> None:
    client = ami.client()
    assert not client.connected
    async with logged_in(client) as events:
        assert client.connected
        ami.hang_up()
        lost = await following(events)
        assert isinstance(lost, AmiDisconnected)
        assert isinstance(lost.error, AmiUnreachable)
        assert not client.connected
        with pytest.raises(AmiUnreachable):
            await client.db_put("f", "k", "v")
        assert await following(events) == AmiConnected()
        await client.db_put("f", "k", "v")
    assert not client.connected


async def test_an_action_lost_with_its_connection_is_not_sent_by_itself_later(ami: FakeAmi) -> None:
    ami.silent.add("DBPut")
    client = ami.client(action_seconds=0.05)
    async with logged_in(client) as events:
        with pytest.raises(AmiTimeout):
            await client.db_put("f", "k", "v")
        ami.hang_up()
        assert isinstance(await following(events), AmiDisconnected)
        assert await following(events) == AmiConnected()
        assert await following(events) == FullyBooted()
        await client.action("Ping")
    assert ami.names() == ["Login", "DBPut", "Login", "Ping"]


async def test_a_frozen_asterisk_is_noticed_in_silence(ami: FakeAmi) -> None:
    client = ami.client(ping_seconds=0.05, action_seconds=0.1)
    async with logged_in(client) as events:
        ami.frozen = True
        lost = await following(events)
        assert isinstance(lost, AmiDisconnected)
        assert isinstance(lost.error, AmiTimeout)
        ami.frozen = False
        async with asyncio.timeout(5):
            while await anext(events) != AmiConnected():
                pass


async def test_what_comes_while_a_ping_goes_unanswered_is_read(ami: FakeAmi) -> None:
    client = ami.client(ping_seconds=0.05, action_seconds=0.3)
    async with logged_in(client) as events:
        ami.silent.add("Ping")
        lost = asyncio.ensure_future(following(events))
        while "Ping" not in ami.names():
            ami.came.clear()
            await ami.came.wait()
        await asyncio.sleep(0)
        await ami.send(b"Event: UserEvent\r\nUserEvent: ComunikCall\r\nCall: 7.1\r\n\r\n")
        told = await lost
        assert isinstance(told, UserEvent)
        assert isinstance(await following(events), AmiDisconnected)


async def test_silence_that_answers_pings_is_no_loss(ami: FakeAmi) -> None:
    client = ami.client(ping_seconds=0.01)
    async with logged_in(client) as events:
        waiting = asyncio.ensure_future(anext(events))
        while ami.names().count("Ping") < 3:
            ami.came.clear()
            await ami.came.wait()
        assert not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_a_secret_changed_meanwhile_is_said_and_tried_again(ami: FakeAmi) -> None:
    client = ami.client()
    async with logged_in(client) as events:
        ami.secret = "changed"
        ami.hang_up()
        assert isinstance(await following(events), AmiDisconnected)
        refused = await following(events)
        assert isinstance(refused, AmiDisconnected)
        assert isinstance(refused.error, AmiRefused)
        ami.secret = "sesame"
        async with asyncio.timeout(5):
            while await anext(events) != AmiConnected():
                pass


@pytest.mark.parametrize("bad", ["x\r\nAction: Command", "x\ny", "x\ry", "x\0y"])
async def test_no_value_smuggles_in_another_header(ami: FakeAmi, bad: str) -> None:
    client = ami.client()
    async with logged_in(client):
        for family, key, value in ((bad, "k", "v"), ("f", bad, "v"), ("f", "k", bad)):
            with pytest.raises(UnsafeValue):
                await client.db_put(family, key, value)
        with pytest.raises(UnsafeValue):
            await client.action("DBPut", **{bad: "v"})
        with pytest.raises(UnsafeValue):
            await client.action(bad)
        await client.action("Ping")
    assert ami.names() == ["Login", "Ping"]


async def test_successfully_queued_does_not_kill_the_connection(ami: FakeAmi) -> None:
    ami.replies["PlayDTMF"] = lambda a: (
        f"Response: Success\r\nActionID: {a['ActionID']}\r\nMessage: DTMF successfully queued\r\n\r\n"
    )
    client = ami.client()
    async with logged_in(client):
        response = await client.action("PlayDTMF", Digit="1")
        assert response.message == "DTMF successfully queued"
        assert client.connected


async def test_an_error_is_raised_in_asterisks_words(ami: FakeAmi) -> None:
    ami.replies["DBPut"] = ami.replies["DBDel"] = lambda a: (
        f"Response: Error\r\nActionID: {a['ActionID']}\r\nMessage: Permission denied\r\n\r\n"
    )
    client = ami.client()
    async with logged_in(client):
        with pytest.raises(AmiActionFailed, match="Permission denied"):
            await client.db_put("f", "k", "v")
        assert await client.db_del("f", "k") is False


def tree(action: dict[str, str]) -> str:
    marked = f"ActionID: {action['ActionID']}\r\n"
    entries = "".join(f"Event: DBGetTreeResponse\r\n{marked}Key: /plan/{n}\r\nVal: été|{n}\r\n\r\n" for n in range(3))
    start = f"Response: Success\r\n{marked}EventList: start\r\nMessage: Result will follow\r\n\r\n"
    return f"{start}{entries}Event: DBGetTreeComplete\r\n{marked}EventList: Complete\r\nListItems: 3\r\n\r\n"


async def test_a_whole_family_is_read(ami: FakeAmi) -> None:
    ami.replies["DBGetTree"] = tree
    client = ami.client()
    async with logged_in(client):
        assert await client.db_get_tree("plan") == {f"/plan/{n}": f"été|{n}" for n in range(3)}
        ami.replies["DBGetTree"] = lambda a: f"Response: Error\r\nActionID: {a['ActionID']}\r\nMessage: no\r\n\r\n"
        with pytest.raises(AmiActionFailed):
            await client.db_get_tree("plan")


def channels(action: dict[str, str]) -> str:
    marked = f"ActionID: {action['ActionID']}\r\n"
    each = "".join(f"Event: CoreShowChannel\r\n{marked}Channel: PJSIP/{n}\r\nUniqueid: 7.{n}\r\n\r\n" for n in range(3))
    start = f"Response: Success\r\n{marked}EventList: start\r\nMessage: Channels will follow\r\n\r\n"
    return f"{start}{each}Event: CoreShowChannelsComplete\r\n{marked}EventList: Complete\r\nListItems: 3\r\n\r\n"


async def test_the_channels_that_stand(ami: FakeAmi) -> None:
    ami.replies["CoreShowChannels"] = channels
    client = ami.client()
    async with logged_in(client):
        assert await client.channels() == {"7.0", "7.1", "7.2"}
        ami.replies["CoreShowChannels"] = lambda a: (
            f"Response: Error\r\nActionID: {a['ActionID']}\r\nMessage: no\r\n\r\n"
        )
        with pytest.raises(AmiActionFailed):
            await client.channels()


async def test_many_changes_are_sent_before_their_answers_are_awaited(ami: FakeAmi) -> None:
    client = ami.client()
    async with logged_in(client):
        await client.db_write("plan", [*[(f"a/{n}", f"v{n}") for n in range(250)], ("b", None)])
    changes = [action for action in ami.actions if action["Action"].startswith("DB")]
    assert [change["Key"] for change in changes] == [*[f"a/{n}" for n in range(250)], "b"]
    assert {change["Family"] for change in changes} == {"plan"}
    assert (changes[249]["Val"], changes[250]["Action"]) == ("v249", "DBDel")
    assert len({change["ActionID"] for change in changes}) == 3


async def test_of_many_changes_the_refused_one_is_named(ami: FakeAmi) -> None:
    def reply(action: dict[str, str]) -> str:
        kind = "Error" if action["Key"] in {"two", "gone"} else "Success"
        return f"Response: {kind}\r\nActionID: {action['ActionID']}\r\nMessage: as you like\r\n\r\n"

    ami.replies["DBPut"] = ami.replies["DBDel"] = reply
    client = ami.client()
    async with logged_in(client):
        await client.db_write("f", [("one", "1"), ("gone", None)])  # deleting what is not there is no error
        with pytest.raises(AmiActionFailed, match="f/two: as you like"):
            await client.db_write("f", [("one", "1"), ("two", "2"), ("three", "3")])
        await client.db_write("f", [])


async def test_many_changes_and_a_lost_or_frozen_connection(ami: FakeAmi) -> None:
    ami.silent.add("DBPut")
    client = ami.client(action_seconds=0.1)
    async with logged_in(client):
        with pytest.raises(AmiTimeout, match="hung"):
            await client.db_write("f", [("k", "v")])
        ami.came.clear()
        writing = asyncio.create_task(client.db_write("f", [("k", "v")] * 3))
        await ami.came.wait()
        ami.hang_up()
        with pytest.raises(AmiUnreachable):
            await writing


@pytest.mark.parametrize("value", ["a\r\nAction: Originate", "x" * 1000, "é" * 500])
async def test_of_many_changes_none_is_sent_if_one_is_unsafe(ami: FakeAmi, value: str) -> None:
    client = ami.client()
    async with logged_in(client):
        with pytest.raises(UnsafeValue):
            await client.db_write("f", [("k", "v"), ("l", value)])
    assert ami.names() == ["Login"]


async def test_a_reload_is_told(ami: FakeAmi) -> None:
    async with logged_in(ami.client()) as events:
        await ami.send(b"Event: Reload\r\nPrivilege: system,all\r\nModule: All\r\nStatus: 0\r\n\r\n")
        assert await following(events) == Reloaded()


async def test_user_events_whole_in_pieces_and_with_headers_twice(ami: FakeAmi) -> None:
    event = (
        "Event: UserEvent\r\nPrivilege: user,all\r\nLinkedid: 1.0\r\nUserEvent: ComunikCall\r\n"
        "Call: 1.1\r\nLinkedid: 1.2\r\nName: Hélène\r\nPlan: \r\n\r\n"
    ).encode()
    cut = event.index("é".encode()) + 1  # in the middle of a letter
    async with logged_in(ami.client()) as events:
        await ami.send(event[:10], event[10:cut], event[cut:])
        got = await following(events)
        assert isinstance(got, UserEvent)
        assert got.name == "ComunikCall"
        headers = {name: got.headers[name] for name in ("call", "linkedid", "name")}
        assert headers == {"call": "1.1", "linkedid": "1.2", "name": "Hélène"}
        assert got.headers.get("plan", "") == ""


async def test_letters_beyond_ascii_are_sent_as_utf8(ami: FakeAmi) -> None:
    client = ami.client()
    async with logged_in(client):
        await client.db_put("f", "k", "Hélène €")
    assert ami.actions[-1]["Val"] == "Hélène €"


async def test_garbage_between_events_is_passed_over(ami: FakeAmi) -> None:
    async with logged_in(ami.client()) as events:
        await ami.send(b"nonsense\r\n\r\n\xff\xfe: \xff\r\n\r\nEvent: UserEvent\r\nUserEvent: A\r\n\r\n")
        got = await following(events)
        assert isinstance(got, UserEvent)
        assert got.name == "A"


async def test_of_more_events_than_can_be_read_the_newest_are_kept_and_it_is_said(
    ami: FakeAmi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comunik_pbx.asterisk.ami.MOST_EVENTS_WAITING", 5)
    client = ami.client()
    with structlog.testing.capture_logs() as said:
        async with logged_in(client) as events:
            flood = b"".join(b"Event: UserEvent\r\nUserEvent: E%d\r\n\r\n" % number for number in range(20))
            await ami.send(flood)
            await client.action("Ping")  # answered after all of them have come
            names = [
                event.name for event in [await following(events) for _ in range(5)] if isinstance(event, UserEvent)
            ]
    assert names == [f"E{number}" for number in range(15, 20)]
    assert [line["dropped"] for line in said if "some are dropped" in line["event"]] == [1, 2, 4, 8]


async def test_a_header_given_twice_costs_nothing(ami: FakeAmi) -> None:
    async with logged_in(ami.client()) as events:
        twice = b"Event: UserEvent\r\nUserEvent: A\r\nActionID: 1\r\nActionID: 2\r\nEvent: UserEvent\r\n\r\n"
        await ami.send(twice, b"Event: UserEvent\r\nUserEvent: B\r\n\r\n")
        names = [event.name for event in [await following(events) for _ in range(2)] if isinstance(event, UserEvent)]
    assert names == ["A", "B"]


async def test_a_message_without_an_end_is_a_lost_connection(ami: FakeAmi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comunik_pbx.asterisk.ami.MOST_UNFINISHED_CHARACTERS", 1000)
    async with logged_in(ami.client()) as events:
        await ami.send(b"Event: UserEvent\r\n" + b"X: 1\r\n" * 1000)
        lost = await following(events)
        assert isinstance(lost, AmiDisconnected)
        assert "longer than 1000" in str(lost.error)
        assert await following(events) == AmiConnected()
