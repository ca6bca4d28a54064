"""Ring steps as tables of news and moments, and any news in any order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comunik_pbx.asterisk.ami_dial import LegEvent, LegNews
from comunik_pbx.calls.ring_watch import RingWatch, RungEnough

SECONDS = {"101": 10.0, "102": 5.0}
BEGUN, RINGING, PROGRESS, ANSWERED, OVER = LegNews

News = tuple[float, str, LegNews]


def seconds_of(call: str, extension: str) -> float | None:
    return SECONDS.get(extension)


def watch(*news: News, extension: str = "101") -> RingWatch:
    watched = RingWatch(seconds_of)
    for at, leg, what in news:
        watched.heard(LegEvent("call", extension, leg, what), at)
    return watched


@pytest.mark.parametrize(
    ("news", "due", "legs"),
    [
        pytest.param([(0, "a", BEGUN)], None, "", id="a phone that does not ring"),
        pytest.param([(0, "a", BEGUN), (4, "a", RINGING)], 14, "a", id="counted from the ringing"),
        pytest.param([(0, "a", BEGUN), (1, "a", RINGING), (3, "a", RINGING)], 11, "a", id="the first ringing counts"),
        pytest.param([(0, "a", BEGUN), (1, "a", PROGRESS)], 11, "a", id="183 alone counts"),
        pytest.param([(0, "a", BEGUN), (1, "a", PROGRESS), (2, "a", PROGRESS)], 11, "a", id="the first 183 counts"),
        pytest.param([(0, "a", BEGUN), (1, "a", PROGRESS), (3, "a", RINGING)], 13, "a", id="180 counts more than 183"),
        pytest.param([(0, "a", BEGUN), (1, "a", RINGING), (3, "a", PROGRESS)], 11, "a", id="183 after 180 is nothing"),
        pytest.param([(0, "a", BEGUN), (0, "b", BEGUN), (2, "b", RINGING)], 12, "ab", id="silent legs end with it"),
        pytest.param(
            [(0, "a", BEGUN), (0, "b", BEGUN), (2, "b", RINGING), (5, "a", RINGING)],
            12,
            "ab",
            id="the first leg counts",
        ),
        pytest.param(
            [(0, "a", BEGUN), (0, "b", BEGUN), (2, "b", RINGING), (3, "b", OVER)], 12, "a", id="a leg that is over"
        ),
        pytest.param([(0, "a", BEGUN), (1, "a", RINGING), (3, "a", OVER)], None, "", id="the last leg is over"),
        pytest.param(
            [(0, "a", BEGUN), (0, "b", BEGUN), (1, "a", RINGING), (2, "b", ANSWERED)], None, "", id="answered"
        ),
        pytest.param([(4, "a", RINGING)], 14, "a", id="its beginning was missed"),
        pytest.param([(4, "a", OVER)], None, "", id="all but its end was missed"),
    ],
)
def test_when_it_has_rung_enough(news: list[News], due: float | None, legs: str) -> None:
    watched = watch(*news)
    assert watched.next_due() == due
    if due is None:
        assert watched.due(1000) == []
    else:
        assert watched.due(due - 0.001) == []
        assert watched.due(due) == [RungEnough("call", "101", tuple(legs))]
        assert (watched.due(1000), len(watched)) == ([], 0)


def test_the_next_step_of_a_chain_has_its_own_rings() -> None:
    watched = watch((0, "a", BEGUN), (1, "a", RINGING))
    watched.heard(LegEvent("call", "102", "b", BEGUN), 3)
    assert watched.next_due() is None
    watched.heard(LegEvent("call", "101", "a", OVER), 3.1)  # told late
    watched.heard(LegEvent("call", "102", "b", RINGING), 4)
    assert watched.due(9) == [RungEnough("call", "102", ("b",))]


def test_the_end_of_what_we_ended_is_no_news() -> None:
    watched = watch((0, "a", RINGING))
    watched.due(10)
    watched.heard(LegEvent("call", "101", "a", OVER), 10.1)
    assert (len(watched), watched.next_due()) == (0, None)


def test_a_call_we_did_not_decide_is_left_alone() -> None:
    assert watch((0, "a", BEGUN), (1, "a", RINGING), extension="999").next_due() is None


def test_many_calls_in_the_order_they_are_due() -> None:
    watched = RingWatch(seconds_of)
    for number in (3, 1, 2):
        watched.heard(LegEvent(f"c{number}", "101", f"l{number}", RINGING), number)
    watched.heard(LegEvent("c1", "101", "l1", ANSWERED), 4)
    assert watched.next_due() == 12
    assert [enough.call for enough in watched.due(100)] == ["c2", "c3"]


def test_what_shows_no_sign_of_life_is_forgotten_when_news_was_missed() -> None:
    watched = watch((0, "a", BEGUN))
    watched.heard(LegEvent("other", "101", "b", RINGING), 1)
    watched.forget_silent()
    assert len(watched) == 1
    assert watched.next_due() == 11


legs_news = st.tuples(
    st.floats(0, 5),
    st.sampled_from("xy"),
    st.sampled_from(["101", "102"]),
    st.sampled_from("abc"),
    st.sampled_from(LegNews),
)


@given(st.lists(legs_news, max_size=40))
def test_any_news_ends_nothing_answered_and_nothing_twice(news: list[tuple[float, str, str, str, LegNews]]) -> None:
    watched, now = RingWatch(seconds_of), 0.0
    rung: dict[tuple[str, str], float] = {}  # the latest first ringing can be no earlier than the first of all
    gone: set[tuple[str, str, str]] = set()
    for after, call, extension, leg, what in news:
        now += after
        for enough in watched.due(now):
            assert now - rung[enough.call, enough.extension] >= SECONDS[enough.extension] - 1e-6
            assert not {(enough.call, enough.extension, one) for one in enough.legs} & gone
        watched.heard(LegEvent(call, extension, leg, what), now)
        if what in (RINGING, PROGRESS):
            rung.setdefault((call, extension), now)
        if what in (ANSWERED, OVER):
            gone.add((call, extension, leg))
        else:
            gone.discard((call, extension, leg))
    told = [enough.call for enough in watched.due(1e9)]
    assert len(told) == len(set(told))
    assert watched.next_due() is None
