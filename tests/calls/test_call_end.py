import pytest

from comunik_pbx.calls.call_end import Decided, StepOutcome, call_end


def headers(**changes: str) -> dict[str, str]:
    usual = {
        "call": "1795386765.7",
        "called": "101",
        "endpoint": "carrier",
        "callernum": "+33140000000",
        "callerpres": "allowed",
        "decided": "live",
        "plan": "1|end~17",
        "steps": "1~NOANSWER~19~15023~~0|2~ANSWER~16~4000~PJSIP/carrier-0000000a~012000",
        "status": "answered",
        "cause": "16",
    }
    return usual | changes


def test_all_of_it() -> None:
    end = call_end(headers())
    assert (end.channel, end.passes, end.decided, end.status, end.cause) == (
        "1795386765.7",
        1,
        Decided.LIVE,
        "answered",
        16,
    )
    assert end.outcomes == (
        StepOutcome(1, "NOANSWER", 19, 15023),
        StepOutcome(2, "ANSWER", 16, 4000, "PJSIP/carrier-0000000a", 12000),
    )


def test_hung_up_before_anything_was_decided() -> None:
    end = call_end({"call": "1.1", "decided": "", "steps": "", "status": "abandoned", "cause": ""})
    assert (end.decided, end.outcomes, end.status, end.cause) == (None, (), "abandoned", None)


def test_a_plan_of_which_the_dialplan_says_nothing_is_the_services() -> None:
    assert call_end(headers(decided="")).decided is Decided.LIVE


def test_a_transferred_caller_comes_a_second_time() -> None:
    assert call_end(headers(**{"pass": "2"})).passes == 2


@pytest.mark.parametrize("step", ["", "x", "1~A", "x~A~1~1~~0", "1~A~b~1~~0", "1~A~1~1~~0~7"])
def test_half_a_record_is_better_than_none(step: str) -> None:
    assert call_end(headers(steps=f"{step}|2~BUSY~17~0~~0")).outcomes == (StepOutcome(2, "BUSY", 17),)


def test_without_a_call_it_is_nothing() -> None:
    with pytest.raises(ValueError, match="Call"):
        call_end({"called": "101"})


BEGAN, ENDED = "1795386770000", "1795386790000"


def ended(now: str, **changes: str) -> tuple[str, int | None, tuple[StepOutcome, ...]]:
    """Status, cause and what came of the steps, as the dialplan of today tells a call that lasted 20 s from Dial()."""
    end = call_end(headers(now=now, ended=ENDED, status="", cause="17", steps="1~BUSY~17~0~~0") | changes)
    assert end.outcomes[0] == StepOutcome(1, "BUSY", 17)
    return end.status, end.cause, end.outcomes[1:]


PEER = "PJSIP/101-0000000a"


@pytest.mark.parametrize(
    ("now", "status", "outcome"),
    [
        pytest.param(
            f"2~dial~{BEGAN}~ANSWER~2000~15000~{PEER}~", "answered", ("ANSWER", 3000, PEER, 15000), id="answered"
        ),
        pytest.param(f"2~dial~{BEGAN}~ANSWER~~15000~{PEER}~", "answered", ("ANSWER", 0, PEER, 15000), id="never rang"),
        pytest.param(
            f"2~dial~{BEGAN}~ANSWER~0~0~{PEER}~", "answered", ("ANSWER", 20000, PEER, 0), id="in this instant"
        ),
        pytest.param(
            f"2~dial~{BEGAN}~ANSWER~2000~90000~{PEER}~",
            "answered",
            ("ANSWER", 0, PEER, 18000),
            id="connected long before, and transferred here",
        ),
        pytest.param(
            f"2~dial~{BEGAN}~ANSWER~2000~~{PEER}~en", "abandoned", ("CANCEL", 18000), id="before 1 was pressed"
        ),
        pytest.param(
            f"2~dial~{BEGAN}~ANSWER~2000~9000~{PEER}~en", "answered", ("ANSWER", 9000, PEER, 9000), id="after it"
        ),
        pytest.param(
            f"2~dial~{BEGAN}~ANSWER~2000~9000~{PEER}~0", "answered", ("ANSWER", 9000, PEER, 9000), id="none asked"
        ),
        pytest.param(f"2~dial~{BEGAN}~~2000~~~", "abandoned", ("CANCEL", 18000), id="the caller gave up"),
        pytest.param(f"2~dial~{BEGAN}~~~~~", "abandoned", ("CANCEL", 0), id="before it rang"),
        pytest.param(f"2~dial~{BEGAN}~NOANSWER~2000~~~", "abandoned", ("CANCEL", 18000), id="just when it rang out"),
        pytest.param(f"2~voicemail~{BEGAN}~NOANSWER~9~~~", "voicemail", ("VOICEMAIL", 0, None, 20000), id="mailbox"),
        pytest.param("2~", "abandoned", None, id="between two steps"),
        pytest.param("", "abandoned", None, id="nothing at all"),
    ],
)
def test_what_went_on_when_it_ended(now: str, status: str, outcome: tuple[str, int, str | None, int] | None) -> None:
    how, cause, last = ended(now)
    assert (how, cause) == (status, 16), "whatever the leg before it left as CK_CAUSE"
    if outcome is None:
        assert last == ()
    else:
        what, ring_ms, peer, talk = (*outcome, None, 0)[:4] if len(outcome) == 2 else outcome
        assert last == (StepOutcome(2, what, 16, ring_ms, peer, talk),)


def test_the_step_of_a_plan_begun_at_once_is_the_first() -> None:
    assert ended(f"~dial~{BEGAN}~ANSWER~2000~15000~{PEER}~")[2] == (StepOutcome(1, "ANSWER", 16, 3000, PEER, 15000),)


def test_a_call_that_the_dialplan_ended_has_its_cause() -> None:
    assert ended("3~", status="ended")[:2] == ("ended", 17)


@pytest.mark.parametrize("now", ["x~dial~y~ANSWER~z~-1~~", "1~dial~99999999999999999999~ANSWER~1~1~p~", "~~~~~~~~~~~"])
def test_what_cannot_be_read_counts_as_nothing(now: str) -> None:
    end = call_end(headers(now=now, ended=ENDED, status=""))
    assert all(outcome.ring_ms >= 0 and outcome.answered_ms >= 0 for outcome in end.outcomes)
