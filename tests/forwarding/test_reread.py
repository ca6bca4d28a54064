"""Reasons that were recorded in English are read in French as if they had been recorded so."""

import pytest

from comunik_pbx.forwarding.call import Origin
from comunik_pbx.forwarding.explain import trace_json, words
from comunik_pbx.forwarding.plan import TraceEntry, Why
from comunik_pbx.forwarding.refusals import CALL_CODES, Refusal, RefusalCode
from comunik_pbx.forwarding.reread import reason


@pytest.mark.parametrize("origin", Origin)
@pytest.mark.parametrize("why", Why)
@pytest.mark.parametrize("to", ["+33612345678", "102", "voicemail"])
def test_every_reason(why: Why, origin: Origin, to: str) -> None:
    entry = TraceEntry("101", "external", why, to=to, rings=3, seconds=13.5)
    recorded = trace_json(entry, origin)
    assert reason(recorded, "fr") == words(entry, origin, "fr")
    assert reason(recorded, "en") == recorded["why"]


@pytest.mark.parametrize("code", RefusalCode)
def test_every_refusal(code: RefusalCode) -> None:
    entry = TraceEntry("101", "internal", Refusal(code, "+33899123456"), to="+33899123456")
    recorded = trace_json(entry, Origin.INTERNAL)
    french = reason(recorded, "fr")
    assert french.startswith("renvoi interne non suivi : ")
    if code not in CALL_CODES:
        assert french.endswith(Refusal(code, "+33899123456").words("fr"))
    assert code.value not in french or code is RefusalCode.PREMIUM
    assert reason(recorded, "en").startswith("rule inside not followed: ")


def test_what_nobody_knows_stays_as_it_is() -> None:
    assert reason({"extension": "101", "followed": True, "why": "the moon was full"}, "fr") == "the moon was full"
    assert reason({}, "fr") == ""
