"""The forwarding page: rules are set, refused beside the field, switched, tested."""

from html import unescape
from pathlib import Path

import pytest

from comunik_pbx.forwarding.plan import Usage
from comunik_pbx.forwarding.rules import RuleKind, ToExtension, ToNumber, ToVoicemail
from tests.config.company import GOOD
from tests.web.conftest import site_of
from tests.web.site import Site, Visitor


async def page(visitor: Visitor, path: str = "/forwarding") -> str:
    answer = await visitor.get(path)
    assert answer.status_code == 200
    return unescape(answer.text).replace("\u00a0", " ").replace("\u202f", " ")


@pytest.mark.parametrize(
    ("kind", "fields", "to", "rings"),
    [
        ("always", {"number": "06 12 34 56 78"}, ToNumber("+33612345678"), 0),
        ("always", {"number": "103"}, ToExtension("103"), 0),
        ("internal", {"channel": "extension", "extension": "102 Bruno Petit", "rings": "2"}, ToExtension("102"), 2),
        ("internal", {"channel": "extension", "extension": "bruno", "rings": "0"}, ToExtension("102"), 0),
        ("external", {"channel": "number", "number": "+33 6 12 34 56 78", "rings": "12"}, ToNumber("+33612345678"), 12),
        ("external", {"channel": "voicemail", "rings": "4", "number": "left over"}, ToVoicemail(), 4),
    ],
)
async def test_a_rule_is_set(site: Site, kind: str, fields: dict[str, str], to: object, rings: int) -> None:
    alice = await site.signed_in("101")
    answer = await alice.post(f"/forwarding/{kind}", **fields)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/forwarding?done=forwarding#{kind}")
    rule = getattr((await site.store.rules())["101"], kind)
    assert (rule.to, rule.rings, rule.enabled, rule.changed_by) == (to, rings, True, "portal:101")


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("always", {"number": "15"}, "15 is an emergency number."),
        ("always", {"number": "08 99 12 34 56"}, "0\u00a0899\u00a012\u00a034\u00a056 is a premium-rate number."),
        ("always", {"number": "101"}, "101 would forward to itself."),
        ("always", {"number": ""}, "A number is needed."),
        ("internal", {"channel": "extension", "extension": "199", "rings": "3"}, "There is no extension 199."),
        ("internal", {"channel": "number", "number": "+44 20 7946 0000", "rings": "3"}, "is in a country that calls"),
        ("external", {"channel": "number", "number": "06 12", "rings": "3"}, "06 12 is not a telephone number."),
        ("external", {"channel": "number", "number": "0612345678", "rings": "13"}, "13 rings: the number of rings"),
        ("external", {"channel": "voicemail", "rings": "3", "until": "soon"}, "A date and a time are needed"),
        ("external", {"channel": "voicemail", "rings": "3", "until": "2020-01-01T10:00"}, "This moment has passed."),
    ],
)
async def test_what_is_refused_says_why_beside_the_field(
    site: Site, kind: str, fields: dict[str, str], words: str
) -> None:
    alice = await site.signed_in("101")
    answer = await alice.post(f"/forwarding/{kind}", **fields)
    text = unescape(answer.text)
    assert (answer.status_code, text.count('class="wrong"')) == (422, 1)
    assert words in text.partition('class="wrong"')[2].partition("</p>")[0]
    assert 'aria-invalid="true"' in text
    for typed in fields.values():
        assert typed in text  # what was typed is not lost
    assert await site.store.rules() == {}


async def test_off_keeps_the_number_and_on_takes_it_again(site: Site) -> None:
    alice = await site.signed_in("101")
    await alice.post("/forwarding/always", number="06 12 34 56 78")
    assert "All your calls go to 06 12 34 56 78 without ringing here." in await page(alice)
    assert (await alice.post("/forwarding/always/off")).status_code == 303
    off = await page(alice)
    assert "To 06 12 34 56 78" in off
    assert "without ringing here." not in off.partition('id="always"')[0]
    assert (await alice.post("/forwarding/always/on")).status_code == 303
    assert (await site.store.rules())["101"].always.enabled  # type: ignore[union-attr]
    assert (await alice.post("/forwarding/internal/on")).status_code == 404  # there is none


async def test_a_cycle_of_always_rules_is_refused_when_it_is_switched_on(site: Site) -> None:
    alice, chloe = await site.signed_in("101"), await site.signed_in("103")
    await alice.post("/forwarding/always", number="103")
    await alice.post("/forwarding/always/off")
    await chloe.post("/forwarding/always", number="101")
    answer = await alice.post("/forwarding/always/on")
    assert answer.status_code == 422
    assert "would forward to each other for ever" in unescape(answer.text)


async def test_a_locked_rule_says_so_and_cannot_be_changed(site: Site) -> None:
    bruno = await site.signed_in("102")
    text = await page(bruno)
    assert "Your administrator has set this and locked it." in text
    assert 'action="/forwarding/always"' not in text
    for path in ("/forwarding/always", "/forwarding/always/off"):
        answer = await bruno.post(path, number="103")
        assert (answer.status_code, "locked this rule" in unescape(answer.text)) == (422, True), path


async def test_until(site: Site) -> None:
    from datetime import timedelta

    alice = await site.signed_in("101")
    fields = {"channel": "voicemail", "rings": "3", "until": "2026-12-24T18:00"}
    assert (await alice.post("/forwarding/internal", **fields)).status_code == 303
    assert "until 24 December 2026, 18:00" in await page(alice)
    site.later = timedelta(days=31)
    alice = site.visitor()
    from tests.web.site import PASSWORD

    await alice.post("/sign-in", name="101", password=PASSWORD)
    assert ">ended<" in await page(alice)


@pytest.mark.parametrize(
    ("caller", "says"),
    [
        (
            "102",
            ["A call from inside (Bruno", "101 (Alice Martin) rings: 2 rings, about 10 s", "103 rings: 6"],
        ),
        ("102 Bruno Petit", ["A call from inside (Bruno Petit)"]),
        ("01 40 00 00 00", ["A call from outside", "the voicemail of 101"]),
        ("anonymous", ["A call from outside"]),
        ("Anonyme", ["A call from outside"]),
        ("petit", ["A call from inside (Bruno Petit)"]),
        ("+33170000101", ["A call from inside (Alice Martin)"]),
    ],
)
async def test_my_forwarding_is_tested_by_the_decision_itself(site: Site, caller: str, says: list[str]) -> None:
    alice = await site.signed_in("101")
    await alice.post("/forwarding/internal", channel="extension", extension="103", rings="2")
    answer = await alice.client.get("/forwarding", params={"caller": caller})
    text = unescape(answer.text).replace("\u00a0", " ")
    for words in says:
        assert words in text, words


@pytest.mark.parametrize(
    ("caller", "says"),
    [
        ("zoé", "This is neither an extension, nor a name, nor a number."),
        ("<script>", "This is neither an extension, nor a name, nor a number."),
        ("i", "Several people are called so: 101 Alice Martin, 102 Bruno Petit."),
    ],
)
async def test_a_caller_who_is_nobody_is_not_taken_for_a_withheld_number(site: Site, caller: str, says: str) -> None:
    alice = await site.signed_in("101")
    answer = await alice.client.get("/forwarding", params={"caller": caller})
    assert says in unescape(answer.text).partition('id="caller-wrong"')[2].partition("</p>")[0]
    assert "Because" not in answer.text
    assert "<script>" not in answer.text


async def test_a_name_that_several_have_is_asked_for_again(site: Site) -> None:
    alice = await site.signed_in("101")
    answer = await alice.post("/forwarding/internal", channel="extension", extension="i", rings="2")
    wrong = unescape(answer.text).partition('id="internal-extension-wrong"')[2].partition("</p>")[0]
    assert (answer.status_code, "Several people are called so: 101 Alice Martin, 102" in wrong) == (422, True)
    assert 'data-unsaved="already"' in answer.text


async def test_a_refusal_stands_beside_the_field_that_is_shown(site: Site) -> None:
    alice = await site.signed_in("101")
    answer = await alice.post("/forwarding/internal", channel="number", number="01 70 00 01 01", rings="2")
    assert answer.status_code == 422
    assert "would forward to itself" in answer.text.partition('id="internal-number-wrong"')[2].partition("</p>")[0]


async def test_the_limits_of_live_calls_count_in_the_test_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limited = GOOD.replace('name = "Alice Martin"', 'name = "Alice Martin"\nmax_outside_calls = 1')
    async with site_of(tmp_path, limited) as site:
        alice = await site.signed_in("101")
        await alice.post("/forwarding/always", number="06 12 34 56 78")
        assert "06 12 34 56 78 is called" in await page(alice, "/forwarding?caller=102")
        monkeypatch.setattr(site.app.state.needs.rules, "usage", lambda now: {"101": Usage(at_once=1, today=1)})
        assert "as many forwarded calls to outside as it may" in await page(alice, "/forwarding?caller=102")


async def test_the_mailbox_is_offered_only_where_there_is_one(site: Site) -> None:
    for name, offered in (("101", True), ("103", False)):
        assert ('value="voicemail"' in await page(await site.signed_in(name))) == offered, name


async def test_what_is_in_force_is_one_sentence(site: Site) -> None:
    alice = await site.signed_in("101")
    await alice.post("/forwarding/internal", channel="extension", extension="103", rings="2", until="2026-12-24T18:00")
    text = (await page(alice)).partition('class="now"')[2].partition("</section>")[0]
    assert text.count("<p>") == 1
    assert (
        "Calls from inside go to 103 after 2 rings (about 10 s), until 24 December 2026, 18:00; "
        "calls from outside go to your voicemail after 4 rings (about 20 s).</p>"
    ) in text


async def test_the_choice_of_rings_says_how_long(site: Site) -> None:
    alice = await site.signed_in("101", language="fr")
    text = (await alice.get("/forwarding")).text
    assert "3 sonneries\u00a0≈\u00a015\u00a0s" in text
    assert text.count('<option value="12">') == 2


async def test_ones_own_number_is_offered(site: Site) -> None:
    alice = await site.signed_in("101")
    await alice.get("/profile")
    await alice.post("/profile", full_name="", department="", email="", address="", phone="0612345678")
    assert '<option value="06 12 34 56 78">your own number</option>' in await page(alice)


async def test_kinds_there_are_none_of(site: Site) -> None:
    alice = await site.signed_in("101")
    assert (await alice.post("/forwarding/sometimes", number="103")).status_code == 404
    assert (await alice.post("/forwarding/always/perhaps")).status_code == 404
    assert (await alice.get("/forwarding/always")).status_code == 405
    assert [kind.value for kind in RuleKind] == ["always", "internal", "external"]
