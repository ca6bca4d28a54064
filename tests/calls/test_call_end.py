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


def test_a_transferred_caller_comes_a_second_time() -> None:
    assert call_end(headers(**{"pass": "2"})).passes == 2


@pytest.mark.parametrize("step", ["", "x", "1~A", "x~A~1~1~~0", "1~A~b~1~~0", "1~A~1~1~~0~7"])
def test_half_a_record_is_better_than_none(step: str) -> None:
    assert call_end(headers(steps=f"{step}|2~BUSY~17~0~~0")).outcomes == (StepOutcome(2, "BUSY", 17),)


def test_without_a_call_it_is_nothing() -> None:
    with pytest.raises(ValueError, match="Call"):
        call_end({"called": "101"})
