"""The AMI adapter: connected only while it is needed, and each thing that panoramisk leaves out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from typing import Any

import pytest

from comunik_pbx.asterisk.ami import AmiClient
from comunik_pbx.asterisk.errors import AmiActionFailed, AmiRefused, AmiTimeout, AmiUnreachable, UnsafeValue

from .fake_ami import FakeAmi


@pytest.fixture
async def ami() -> AsyncIterator[FakeAmi]:
    async with FakeAmi() as fake:
        yield fake


@asynccontextmanager
async def logged_in(ami: FakeAmi, **options: Any) -> AsyncIterator[AmiClient]:
    """A client whose connection stands."""
    with closing(ami.client(**options)) as client:
        await client.action("Ping")
        ami.actions.clear()
        yield client


# Before the first action.


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


async def test_check_leaves_no_connection(ami: FakeAmi) -> None:
    await ami.client().check()
    async with asyncio.timeout(5):
        await ami.gone.wait()


async def test_no_events_are_asked_for(ami: FakeAmi) -> None:
    await ami.client().check()
    assert ami.actions[0]["Events"] == "off"


# A connection when it is needed.


async def test_there_is_a_connection_only_while_somebody_needs_it(ami: FakeAmi) -> None:
    with closing(ami.client(linger_seconds=0.05)) as client:
        assert ami.writers == []
        await client.action("Ping")
        await client.db_put("f", "k", "v")
        assert len(ami.writers) == 1
        async with asyncio.timeout(5):
            await ami.gone.wait()
        await client.action("Ping")
        assert len(ami.writers) == 2
    assert ami.names() == ["Login", "Ping", "DBPut", "Login", "Ping"]


async def test_it_stays_for_as_long_as_an_action_takes(ami: FakeAmi) -> None:
    ami.silent.add("DBPut")
    with closing(ami.client(linger_seconds=0.01, action_seconds=0.2)) as client:
        waiting = asyncio.create_task(client.db_put("f", "k", "v"))
        await ami.asked("DBPut")
        await client.action("Ping")  # whose end is not the end of all use
        with pytest.raises(AmiTimeout):
            await waiting
        await client.action("Ping")
        with pytest.raises(AmiTimeout):  # begun while the connection lingered
            await client.db_put("f", "k", "v")
    assert len(ami.writers) == 2


async def test_actions_at_once_share_one_connection(ami: FakeAmi) -> None:
    ami.replies["DBGetTree"] = tree
    with closing(ami.client()) as client:
        found, *_ = await asyncio.gather(
            client.db_get_tree("plan"), client.action("Ping"), client.db_write("f", [("k", "v")])
        )
    assert len(found) == 3
    assert ami.names().count("Login") == len(ami.writers) == 1


async def test_a_connection_lost_while_idle_is_made_again_by_the_next_action(ami: FakeAmi) -> None:
    async with logged_in(ami) as client:
        ami.hang_up()
        assert client._connection
        async with asyncio.timeout(5):
            await asyncio.wait([client._connection.lost])
        await client.db_put("f", "k", "v")
        assert client.reached
    assert ami.names() == ["Login", "DBPut"]


async def test_a_half_open_connection_is_noticed_by_the_next_action_and_made_again_by_the_one_after(
    ami: FakeAmi,
) -> None:
    """Asterisk's machine has gone without a word: nothing comes back, and nothing says so."""
    async with logged_in(ami, action_seconds=0.05) as client:
        ami.frozen = True
        with pytest.raises(AmiTimeout, match=r"DBPut in 0\.05 s: is Asterisk hung\?"):
            await client.db_put("f", "k", "v")
        ami.frozen = False
        await client.db_put("f", "k", "v")
    assert ami.names() == ["DBPut", "Login", "DBPut"]


async def test_a_frozen_asterisk_costs_each_action_its_time_and_no_more(ami: FakeAmi) -> None:
    ami.frozen = True
    clock = asyncio.get_running_loop().time
    with closing(ami.client(action_seconds=0.1)) as client:
        for _ in range(2):
            began = clock()
            with pytest.raises(AmiTimeout):
                await client.action("Ping")
            assert clock() - began < 1.0
        assert not client.reached
        ami.frozen = False
        await client.action("Ping")
        assert client.reached


async def test_what_a_timed_out_connection_still_says_is_nobodys_answer(ami: FakeAmi) -> None:
    ami.silent.add("DBPut")
    async with logged_in(ami, action_seconds=0.05) as client:
        with pytest.raises(AmiTimeout, match="DBPut"):
            await client.db_put("f", "k", "v")
        ami.gone.clear()
        await client.action("Ping")
    assert ami.names() == ["DBPut", "Login", "Ping"], "on a new one, and nothing is sent by itself later"


async def test_an_action_under_way_fails_at_once_when_the_connection_is_lost(ami: FakeAmi) -> None:
    ami.silent.add("DBPut")
    async with logged_in(ami, action_seconds=60) as client:
        put = asyncio.create_task(client.db_put("f", "k", "v"))
        await ami.asked("DBPut")
        ami.hang_up()
        with pytest.raises(AmiUnreachable):
            async with asyncio.timeout(2):
                await put
        assert not client.reached


async def test_closing_fails_what_is_under_way(ami: FakeAmi) -> None:
    ami.silent.add("DBPut")
    client = ami.client(action_seconds=60)
    put = asyncio.create_task(client.db_put("f", "k", "v"))
    await ami.asked("DBPut")
    client.close()
    with pytest.raises(AmiUnreachable, match="closed"):
        async with asyncio.timeout(2):
            await put
    async with asyncio.timeout(5):
        await ami.gone.wait()


async def test_whether_asterisk_was_reached_is_known(ami: FakeAmi) -> None:
    with closing(ami.client(linger_seconds=0.01)) as client:
        assert not client.reached
        await client.action("Ping")
        async with asyncio.timeout(5):
            await ami.gone.wait()
        ami.gone.clear()
        assert client.reached, "that we have gone says nothing of Asterisk"
        ami.replies["Ping"] = lambda a: f"Response: Error\r\nActionID: {a['ActionID']}\r\nMessage: no\r\n\r\n"
        with pytest.raises(AmiActionFailed):
            await client.action("Ping")
        assert client.reached, "a refusal is an answer"
        ami.secret = "changed"
        async with asyncio.timeout(5):
            await ami.gone.wait()
        with pytest.raises(AmiRefused):
            await client.action("Ping")
        assert not client.reached


async def test_a_secret_changed_meanwhile_is_said_and_tried_again(ami: FakeAmi) -> None:
    with closing(ami.client()) as client:
        ami.secret = "changed"
        with pytest.raises(AmiRefused):
            await client.action("Ping")
        ami.secret = "sesame"
        await client.action("Ping")


@pytest.mark.parametrize("where", ["connecting", "logging in", "waiting"])
async def test_a_cancelled_action_leaves_nothing_behind(ami: FakeAmi, where: str) -> None:
    with closing(ami.client(linger_seconds=0.02)) as client:
        ami.silent = {"connecting": set(), "logging in": {"Login"}, "waiting": {"DBPut"}}[where]
        put = asyncio.create_task(client.db_put("f", "k", "v"))
        if where == "connecting":
            await asyncio.sleep(0)
        else:
            await ami.asked("Login" if where == "logging in" else "DBPut")
        put.cancel()
        with pytest.raises(asyncio.CancelledError):
            await put
        if where != "connecting":  # else there may never have been one
            async with asyncio.timeout(5):
                await ami.gone.wait()
        ami.silent = set()
        async with asyncio.timeout(1):
            await client.action("Ping")
        assert ami.names()[-2:] == ["Login", "Ping"]
    async with asyncio.timeout(5):
        while any(not writer.is_closing() for writer in ami.writers):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_who_waits_for_a_connection_that_a_cancelled_one_was_making_makes_it(ami: FakeAmi) -> None:
    ami.silent = {"Login"}
    with closing(ami.client()) as client:
        first, second = (asyncio.create_task(client.action("Ping")) for _ in range(2))
        await ami.asked("Login")
        ami.silent = set()
        first.cancel()
        async with asyncio.timeout(1):
            assert (await second).success
        with suppress(asyncio.CancelledError):
            await first


async def test_a_late_answer_to_a_cancelled_action_is_passed_over(ami: FakeAmi) -> None:
    ami.silent = {"DBPut"}
    async with logged_in(ami) as client:
        put = asyncio.create_task(client.db_put("f", "k", "v"))
        await ami.asked("DBPut")
        put.cancel()
        await ami.send(f"Response: Success\r\nActionID: {ami.actions[-1]['ActionID']}\r\n\r\n".encode())
        await client.action("Ping")
    assert ami.names() == ["DBPut", "Ping"]


# What is sent, and what comes back.


@pytest.mark.parametrize("bad", ["x\r\nAction: Command", "x\ny", "x\ry", "x\0y"])
async def test_no_value_smuggles_in_another_header(ami: FakeAmi, bad: str) -> None:
    async with logged_in(ami) as client:
        for family, key, value in ((bad, "k", "v"), ("f", bad, "v"), ("f", "k", bad)):
            with pytest.raises(UnsafeValue):
                await client.db_put(family, key, value)
        with pytest.raises(UnsafeValue):
            await client.db_get_tree(bad)
        with pytest.raises(UnsafeValue):
            await client.action("DBPut", **{bad: "v"})
        with pytest.raises(UnsafeValue):
            await client.action(bad)
        await client.action("Ping")
        assert client.reached
    assert ami.names() == ["Ping"]


async def test_successfully_queued_does_not_kill_the_connection(ami: FakeAmi) -> None:
    ami.replies["PlayDTMF"] = lambda a: (
        f"Response: Success\r\nActionID: {a['ActionID']}\r\nMessage: DTMF successfully queued\r\n\r\n"
    )
    async with logged_in(ami) as client:
        response = await client.action("PlayDTMF", Digit="1")
        assert response.message == "DTMF successfully queued"
        await client.action("Ping")
    assert len(ami.writers) == 1


async def test_an_error_is_raised_in_asterisks_words(ami: FakeAmi) -> None:
    ami.replies["DBPut"] = ami.replies["DBDel"] = lambda a: (
        f"Response: Error\r\nActionID: {a['ActionID']}\r\nMessage: Permission denied\r\n\r\n"
    )
    async with logged_in(ami) as client:
        with pytest.raises(AmiActionFailed, match="Permission denied"):
            await client.db_put("f", "k", "v")
        assert await client.db_del("f", "k") is False
    assert len(ami.writers) == 1


def tree(action: dict[str, str]) -> str:
    marked = f"ActionID: {action['ActionID']}\r\n"
    entries = "".join(f"Event: DBGetTreeResponse\r\n{marked}Key: /plan/{n}\r\nVal: été|{n}\r\n\r\n" for n in range(3))
    start = f"Response: Success\r\n{marked}EventList: start\r\nMessage: Result will follow\r\n\r\n"
    return f"{start}{entries}Event: DBGetTreeComplete\r\n{marked}EventList: Complete\r\nListItems: 3\r\n\r\n"


async def test_a_whole_family_is_read(ami: FakeAmi) -> None:
    ami.replies["DBGetTree"] = tree
    async with logged_in(ami) as client:
        assert await client.db_get_tree("plan") == {f"/plan/{n}": f"été|{n}" for n in range(3)}
        ami.replies["DBGetTree"] = lambda a: f"Response: Error\r\nActionID: {a['ActionID']}\r\nMessage: no\r\n\r\n"
        with pytest.raises(AmiActionFailed):
            await client.db_get_tree("plan")


async def test_a_family_in_pieces_with_headers_twice_and_garbage_between(ami: FakeAmi) -> None:
    ami.silent.add("DBGetTree")
    async with logged_in(ami) as client:
        reading = asyncio.create_task(client.db_get_tree("plan"))
        await ami.asked("DBGetTree")
        marked = f"ActionID: {ami.actions[-1]['ActionID']}\r\n"
        entry = f"Event: DBGetTreeResponse\r\n{marked}{marked}Key: /plan/0\r\nVal: no\r\nVal: Hélène\r\n\r\n".encode()
        cut = entry.index("é".encode()) + 1  # in the middle of a letter
        await ami.send(b"nonsense\r\n\r\n\xff\xfe: \xff\r\n\r\nEvent: FullyBooted\r\nEvent: B\r\n\r\n")
        await ami.send(entry[:10], entry[10:cut], entry[cut:])
        await ami.send(f"Event: DBGetTreeComplete\r\n{marked}EventList: Complete\r\nListItems: 1\r\n\r\n".encode())
        assert await reading == {"/plan/0": "Hélène"}
    assert len(ami.writers) == 1


async def test_a_long_list_may_take_longer_than_an_action_as_long_as_it_goes_on(ami: FakeAmi) -> None:
    ami.silent.add("DBGetTree")
    async with logged_in(ami, action_seconds=0.2) as client:
        reading = asyncio.create_task(client.db_get_tree("plan"))
        await ami.asked("DBGetTree")
        marked = f"ActionID: {ami.actions[-1]['ActionID']}\r\n"
        for number in range(5):
            await asyncio.sleep(0.1)
            await ami.send(f"Event: DBGetTreeResponse\r\n{marked}Key: /plan/{number}\r\nVal: x\r\n\r\n".encode())
        with pytest.raises(AmiTimeout, match="DBGetTree"):  # which then stops
            async with asyncio.timeout(2):
                await reading


def channels(action: dict[str, str]) -> str:
    marked = f"ActionID: {action['ActionID']}\r\n"
    each = "".join(f"Event: CoreShowChannel\r\n{marked}Channel: PJSIP/{n}\r\nUniqueid: 7.{n}\r\n\r\n" for n in range(3))
    start = f"Response: Success\r\n{marked}EventList: start\r\nMessage: Channels will follow\r\n\r\n"
    return f"{start}{each}Event: CoreShowChannelsComplete\r\n{marked}EventList: Complete\r\nListItems: 3\r\n\r\n"


async def test_the_channels_that_stand(ami: FakeAmi) -> None:
    ami.replies["CoreShowChannels"] = channels
    async with logged_in(ami) as client:
        assert await client.channels() == {"7.0", "7.1", "7.2"}
        ami.replies["CoreShowChannels"] = lambda a: (
            f"Response: Error\r\nActionID: {a['ActionID']}\r\nMessage: no\r\n\r\n"
        )
        with pytest.raises(AmiActionFailed):
            await client.channels()


async def test_many_changes_are_sent_before_their_answers_are_awaited(ami: FakeAmi) -> None:
    async with logged_in(ami) as client:
        await client.db_write("plan", [*[(f"a/{n}", f"v{n}") for n in range(250)], ("b", None)])
    changes = ami.actions
    assert [change["Key"] for change in changes] == [*[f"a/{n}" for n in range(250)], "b"]
    assert {change["Family"] for change in changes} == {"plan"}
    assert (changes[249]["Val"], changes[250]["Action"]) == ("v249", "DBDel")
    assert len({change["ActionID"] for change in changes}) == 3


async def test_nothing_to_write_needs_no_connection(ami: FakeAmi) -> None:
    await ami.client().db_write("plan", [])
    assert ami.writers == []


async def test_of_many_changes_the_refused_one_is_named(ami: FakeAmi) -> None:
    def reply(action: dict[str, str]) -> str:
        kind = "Error" if action["Key"] in {"two", "gone"} else "Success"
        return f"Response: {kind}\r\nActionID: {action['ActionID']}\r\nMessage: as you like\r\n\r\n"

    ami.replies["DBPut"] = ami.replies["DBDel"] = reply
    async with logged_in(ami) as client:
        await client.db_write("f", [("one", "1"), ("gone", None)])  # deleting what is not there is no error
        with pytest.raises(AmiActionFailed, match="f/two: as you like"):
            await client.db_write("f", [("one", "1"), ("two", "2"), ("three", "3")])


async def test_many_changes_and_a_lost_or_frozen_connection(ami: FakeAmi) -> None:
    ami.silent.add("DBPut")
    async with logged_in(ami, action_seconds=0.1) as client:
        with pytest.raises(AmiTimeout, match="hung"):
            await client.db_write("f", [("k", "v")])
    async with logged_in(ami, action_seconds=60) as client:
        writing = asyncio.create_task(client.db_write("f", [("k", "v")] * 3))
        await ami.asked("DBPut", times=3)
        ami.hang_up()
        with pytest.raises(AmiUnreachable):
            await writing


@pytest.mark.parametrize("value", ["a\r\nAction: Originate", "x" * 1000, "é" * 500])
async def test_of_many_changes_none_is_sent_if_one_is_unsafe(ami: FakeAmi, value: str) -> None:
    async with logged_in(ami) as client:
        with pytest.raises(UnsafeValue):
            await client.db_write("f", [("k", "v"), ("l", value)])
    assert ami.names() == []


async def test_letters_beyond_ascii_are_sent_as_utf8(ami: FakeAmi) -> None:
    async with logged_in(ami) as client:
        await client.db_put("f", "k", "Hélène €")
    assert ami.actions[-1]["Val"] == "Hélène €"


async def test_a_message_without_an_end_is_a_lost_connection(ami: FakeAmi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comunik_pbx.asterisk.ami.MOST_UNFINISHED_CHARACTERS", 1000)
    ami.silent.add("DBPut")
    async with logged_in(ami) as client:
        put = asyncio.create_task(client.db_put("f", "k", "v"))
        await ami.asked("DBPut")
        await ami.send(b"Event: UserEvent\r\n" + b"X: 1\r\n" * 1000)
        with pytest.raises(AmiUnreachable, match="longer than 1000"):
            await put
        await client.action("Ping")
    assert ami.names() == ["DBPut", "Login", "Ping"]
